//! A binary under test as a child process: its log, signals and exit.

use std::{
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, Sender, TryRecvError, channel},
    time::Duration,
};

/// The path of a workspace binary, which cargo built beside this test.
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join(name);
    assert!(program.exists(), "{} is missing: run `cargo build --workspace --bins` first", program.display());
    program
}

/// How long to wait for a line of the log.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How long to wait for the exit, from the last line of the log: longer than the default of `DRAIN_SECONDS`.
const EXIT_TIMEOUT: Duration = Duration::from_secs(90);

/// A running child process, killed on drop. Collects its standard output and error as lines.
pub struct Process {
    child: Child,
    lines: Receiver<String>,
    log: String,
}

impl Process {
    /// Starts the command.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        forward_lines(child.stdout.take().unwrap(), sender.clone());
        forward_lines(child.stderr.take().unwrap(), sender);
        Self { child, lines, log: String::new() }
    }

    /// Waits for the next line of the log that contains this text, and returns it.
    pub fn wait_for(&mut self, text: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(TIMEOUT);
            let line = line.unwrap_or_else(|_| panic!("no line of the log contains {text}:\n{}", self.log));
            self.log.push_str(&line);
            self.log.push('\n');
            if line.contains(text) {
                return line;
            }
        }
    }

    /// The listening address that the process logs as the field `name`, in either log format.
    pub fn address(&mut self, name: &str) -> String {
        let line = self.wait_for("127.0.0.1:");
        let after = line.split([' ', ',', '{', '}']).find_map(|field| {
            field.strip_prefix(&format!("{name}=")).or_else(|| field.strip_prefix(&format!("\"{name}\":")))
        });
        after.unwrap_or_else(|| panic!("no address of {name} in {line}")).trim_matches('"').to_owned()
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A value in KiB from `/proc/PID/status`, such as `VmHWM`.
    pub fn memory_kib(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Sends SIGTERM.
    pub fn send_sigterm(&self) {
        self.send("TERM");
    }

    /// Freezes the process for this time (SIGSTOP, SIGCONT).
    pub async fn freeze(&self, time: Duration) {
        self.send("STOP");
        tokio::time::sleep(time).await;
        self.send("CONT");
    }

    fn send(&self, signal: &str) {
        let kill = format!("kill -{signal} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    /// Sends SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends SIGTERM and waits for the exit. Returns exit code and whole log.
    pub fn terminate(self) -> (Option<i32>, String) {
        self.send_sigterm();
        self.wait_for_exit()
    }

    /// Waits for the exit. Returns exit code and whole log.
    pub fn wait_for_exit(self) -> (Option<i32>, String) {
        let (status, log) = self.wait_for_exit_status();
        (status.code(), log)
    }

    /// Waits for the exit. Returns exit status and whole log.
    pub fn wait_for_exit_status(mut self) -> (ExitStatus, String) {
        // The log ends when the process does.
        while let Ok(line) = self.lines.recv_timeout(EXIT_TIMEOUT) {
            self.log.push_str(&line);
            self.log.push('\n');
        }
        let exited = self.child.try_wait().unwrap();
        assert!(
            exited.is_some() || self.lines.try_recv() == Err(TryRecvError::Disconnected),
            "the process does not exit:\n{}",
            self.log
        );
        (self.child.wait().unwrap(), std::mem::take(&mut self.log))
    }
}

/// Sends the lines of a pipe to a channel, from a thread.
fn forward_lines(pipe: impl Read + Send + 'static, lines: Sender<String>) {
    let pipe = BufReader::new(pipe);
    std::thread::spawn(move || pipe.lines().map_while(Result::ok).try_for_each(|line| lines.send(line)));
}

impl Drop for Process {
    fn drop(&mut self) {
        // A failed test must not leave the process running.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
