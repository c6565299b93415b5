//! Postgres and RabbitMQ servers that a test may kill: started from the installed binaries, stopped with the test.

pub(crate) mod postgres;
pub(crate) mod rabbitmq;

use std::{
    fs::File,
    net::TcpListener,
    os::unix::process::{CommandExt, ExitStatusExt},
    path::Path,
    process::{Command, ExitStatus},
    sync::{
        atomic::{AtomicU16, Ordering},
        mpsc::{Receiver, channel},
    },
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// How long a start or an end may take on a busy machine.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(90);

/// The process of a server, in its own process group. Dropping it kills the group.
pub(crate) struct ServerProcess {
    pid: Pid,
    ended: Receiver<ExitStatus>,
}

impl ServerProcess {
    /// Starts the command in a process group of its own; its output goes to the file `log`.
    pub(crate) fn start(mut command: Command, log: &Path) -> Self {
        let log = File::options().create(true).append(true).open(log).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log).stdin(std::process::Stdio::null()).process_group(0);
        let (pid_sender, pid) = channel();
        let (exit_sender, ended) = channel();
        // `setpriv --pdeathsig` kills the server when the thread that started it ends, so this thread waits for the
        // server.
        std::thread::spawn(move || {
            let mut child = command.spawn().unwrap();
            pid_sender.send(child.id()).unwrap();
            let _ = exit_sender.send(child.wait().unwrap());
        });
        let pid = Pid::from_raw(pid.recv().unwrap().cast_signed()).unwrap();
        Self { pid, ended }
    }

    /// Sends a signal to the process.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).unwrap();
    }

    /// Waits until the process has ended.
    pub(crate) fn wait(self) -> ExitStatus {
        let status = tokio::task::block_in_place(|| self.ended.recv_timeout(TIMEOUT)).expect("the server does not end");
        assert!(status.code().is_some() || status.signal().is_some());
        status
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = kill_process_group(self.pid, Signal::KILL);
        let _ = self.ended.recv_timeout(TIMEOUT);
    }
}

/// A command in a clean environment, run as a user that the program accepts, and killed when the test ends.
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>, user: &str, home: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if rustix::process::getuid().is_root() {
        command.args(["--reuid", user, "--regid", user, "--clear-groups"]);
    }
    command.args(["--pdeathsig", "KILL", "--"]).arg(program).current_dir("/").env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", home).env("LANG", "C.UTF-8");
    command
}

/// A temporary folder that this user owns.
pub(crate) fn temporary_home(user: &str) -> tempfile::TempDir {
    // Not in TMPDIR, which may not be accessible to other users.
    let home = tempfile::Builder::new().prefix("vestibule-faults.").tempdir_in("/tmp").unwrap();
    if rustix::process::getuid().is_root() {
        run(Command::new("chown").arg(format!("{user}:{user}")).arg(home.path()));
    }
    home
}

/// Runs a command that must succeed, and returns its standard output.
pub(crate) fn run(command: &mut Command) -> String {
    let output = tokio::task::block_in_place(|| command.output().unwrap());
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{stdout}{stderr}");
    stdout
}

/// A free port outside the range of ephemeral ports, so that no outgoing connection takes it.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = 12_000 + (std::process::id() % 400) as u16 * 20;
    loop {
        let port = base + NEXT.fetch_add(1, Ordering::Relaxed) % 4_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Polls a condition until it is true.
pub(crate) async fn wait_until(condition: &str, mut is_true: impl AsyncFnMut() -> bool) {
    let polling = async {
        while !is_true().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(TIMEOUT, polling).await.unwrap_or_else(|_| panic!("never: {condition}"));
}
