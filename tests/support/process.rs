//! A process of ours under test: what it says, its signals, its end.

use std::{
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, Sender, TryRecvError, channel},
    time::Duration,
};

/// One of our programs, as cargo built it beside this test.
pub fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let program = test.ancestors().nth(2).unwrap().join(name);
    assert!(program.exists(), "{} is missing: run `cargo build --workspace --bins` first", program.display());
    program
}

const PATIENCE: Duration = Duration::from_secs(30);

pub struct Process {
    child: Child,
    lines: Receiver<String>,
    log: String,
}

impl Process {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = channel();
        listen(child.stdout.take().unwrap(), sender.clone());
        listen(child.stderr.take().unwrap(), sender);
        Self { child, lines, log: String::new() }
    }

    /// Waits until the log has a line with this.
    pub fn wait_for(&mut self, what: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|_| panic!("the log never says {what}:\n{}", self.log));
            self.log.push_str(&line);
            self.log.push('\n');
            if line.contains(what) {
                return line;
            }
        }
    }

    /// The address that the process says it listens on, in either log format.
    pub fn address(&mut self, name: &str) -> String {
        let line = self.wait_for("127.0.0.1:");
        let after = line.split([' ', ',', '{', '}']).find_map(|field| {
            field.strip_prefix(&format!("{name}=")).or_else(|| field.strip_prefix(&format!("\"{name}\":")))
        });
        after.unwrap_or_else(|| panic!("no address of {name} in {line}")).trim_matches('"').to_owned()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// A line of what the system says about its memory.
    pub fn memory_kib(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Sends SIGTERM.
    pub fn signal(&self) {
        self.send("TERM");
    }

    /// As if the machine stood still for so long.
    pub async fn stands_still(&self, time: Duration) {
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

    /// Sends SIGTERM and waits for the end: exit code and whole log.
    pub fn terminate(self) -> (Option<i32>, String) {
        self.signal();
        self.end()
    }

    pub fn end(self) -> (Option<i32>, String) {
        let (status, log) = self.end_with_status();
        (status.code(), log)
    }

    pub fn end_with_status(mut self) -> (ExitStatus, String) {
        // The log ends when the process does.
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.log.push_str(&line);
            self.log.push('\n');
        }
        let left = self.child.try_wait().unwrap();
        assert!(
            left.is_some() || self.lines.try_recv() == Err(TryRecvError::Disconnected),
            "never ends:\n{}",
            self.log
        );
        (self.child.wait().unwrap(), std::mem::take(&mut self.log))
    }
}

fn listen(pipe: impl Read + Send + 'static, lines: Sender<String>) {
    let pipe = BufReader::new(pipe);
    std::thread::spawn(move || pipe.lines().map_while(Result::ok).try_for_each(|line| lines.send(line)));
}

impl Drop for Process {
    fn drop(&mut self) {
        // A test that failed must leave nothing behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
