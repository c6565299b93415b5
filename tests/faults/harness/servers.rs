//! Servers of a test's own, which it may kill: started from the installed binaries, gone with the test.

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

/// What a start or an end may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// A server's process, with a process group of its own.
pub(crate) struct Server {
    pid: Pid,
    ended: Receiver<ExitStatus>,
}

impl Server {
    pub(crate) fn start(mut command: Command, log: &Path) -> Self {
        let log = File::options().create(true).append(true).open(log).unwrap();
        command.stdout(log.try_clone().unwrap()).stderr(log).stdin(std::process::Stdio::null()).process_group(0);
        let (pids, pid) = channel();
        let (ends, ended) = channel();
        // The thread that starts a process is its parent, whose end ends it: so this one stays for as long.
        std::thread::spawn(move || {
            let mut child = command.spawn().unwrap();
            pids.send(child.id()).unwrap();
            let _ = ends.send(child.wait().unwrap());
        });
        let pid = Pid::from_raw(pid.recv().unwrap().cast_signed()).unwrap();
        Self { pid, ended }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).unwrap();
    }

    pub(crate) fn wait(self) -> ExitStatus {
        let status = tokio::task::block_in_place(|| self.ended.recv_timeout(PATIENCE)).expect("a server that ends");
        assert!(status.code().is_some() || status.signal().is_some());
        status
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = kill_process_group(self.pid, Signal::KILL);
        let _ = self.ended.recv_timeout(PATIENCE);
    }
}

/// A command in a clean environment, as a user that its program accepts, ended when we are.
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>, user: &str, home: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if rustix::process::getuid().is_root() {
        command.args(["--reuid", user, "--regid", user, "--clear-groups"]);
    }
    command.args(["--pdeathsig", "KILL", "--"]).arg(program).current_dir("/").env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", home).env("LANG", "C.UTF-8");
    command
}

/// A folder that the user of that name owns.
pub(crate) fn home(user: &str) -> tempfile::TempDir {
    // Not under TMPDIR, which another user may not enter.
    let home = tempfile::Builder::new().prefix("vestibule-faults.").tempdir_in("/tmp").unwrap();
    if rustix::process::getuid().is_root() {
        run(Command::new("chown").arg(format!("{user}:{user}")).arg(home.path()));
    }
    home
}

/// Runs a command that must succeed, and returns what it says.
pub(crate) fn run(command: &mut Command) -> String {
    let output = tokio::task::block_in_place(|| command.output().unwrap());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{said}{complaint}");
    said
}

/// A port that nobody has, and that no outgoing connection is given.
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

/// Asks again and again until it is so.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let asking = async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("never: {what}"));
}
