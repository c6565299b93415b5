//! A process of ours in a environment: an API or a worker, killed and started as a test likes.

use std::{
    collections::HashMap,
    os::unix::process::ExitStatusExt,
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

use crate::harness::servers;
use support::process::Process;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Api,
    Worker,
}

/// Where the APIs of a environment can be knocked at, as a balancer before them would know it.
#[derive(Clone, Default)]
pub(crate) struct ApiAddresses(Arc<Mutex<Vec<String>>>);

impl ApiAddresses {
    /// Any; `None` while there is none. Not one after the other: with people who ask for things in a fixed
    /// order, each door would have the same kind of request for ever.
    pub(crate) fn pick(&self, turn: usize) -> Option<String> {
        let (addresses, scattered) = (self.0.lock().unwrap(), turn.wrapping_mul(0x9E37_79B9) >> 16);
        (!addresses.is_empty()).then(|| addresses[scattered % addresses.len()].clone())
    }

    fn open(&self, door: &str) {
        self.0.lock().unwrap().push(door.to_owned());
    }

    fn close(&self, door: &str) {
        self.0.lock().unwrap().retain(|one| one != door);
    }
}

pub(crate) struct Node {
    process: Process,
    door: String,
    ops: String,
    addresses: ApiAddresses,
}

/// One of our two programs, as it was built beside this test.
pub(crate) fn command(program: &str, settings: &HashMap<String, String>) -> Command {
    let mut command = Command::new(support::process::program(program));
    command.env_clear().envs(settings).env("API_ADDR", "127.0.0.1:0").env("OPS_ADDR", "127.0.0.1:0");
    command
}

impl Node {
    /// Starts it, and returns when it says where it listens.
    pub(crate) fn start(part: Part, settings: &HashMap<String, String>, addresses: &ApiAddresses) -> Self {
        let mut command = command(if part == Part::Api { "api" } else { "worker" }, settings);
        tokio::task::block_in_place(|| {
            let mut process = Process::start(&mut command);
            let line = process.wait_for("127.0.0.1:");
            let address = |name: &str| {
                let found = line.split([' ', ',']).find_map(|field| field.strip_prefix(&format!("{name}=")));
                found.map(|address| format!("http://{address}")).unwrap_or_default()
            };
            let (door, ops) = (address("api"), address("ops"));
            if part == Part::Api {
                addresses.open(&door);
            }
            Self { process, door, ops, addresses: addresses.clone() }
        })
    }

    /// Waits until it has all it needs.
    pub(crate) async fn ready(&self) {
        let asked = format!("{}/health/ready", self.ops);
        let asking = async || {
            let Ok(answer) = reqwest::get(&asked).await else { return false };
            answer.text().await.is_ok_and(|text| !text.is_empty() && !text.contains("failing"))
        };
        servers::until("the process is ready", asking).await;
    }

    /// kill -9, from outside.
    pub(crate) fn kill(self) {
        self.addresses.close(&self.door);
        self.process.kill();
    }

    pub(crate) fn door(&self) -> &str {
        &self.door
    }

    /// Waits until it has come to the place where it was told to be killed.
    pub(crate) async fn dies(self) {
        let addresses = self.addresses.clone();
        let pid = self.pid();
        let mut ending = tokio::task::spawn_blocking(move || self.process.end_with_status());
        let Ok(ended) = tokio::time::timeout(servers::PATIENCE, &mut ending).await else {
            let _ = kill_process(pid, Signal::KILL);
            panic!("it never comes to where it was to be killed:\n{}", ending.await.unwrap().1);
        };
        let (status, log) = ended.unwrap();
        addresses.close(&self.door);
        assert_eq!(status.signal(), Some(9), "it was to be killed, and ended:\n{log}");
    }

    /// SIGTERM. It may take its time, and ends with 0.
    pub(crate) async fn stops(self) {
        let (code, log) = self.ends_when_told().await;
        assert_eq!(code, Some(0), "{log}");
    }

    /// The same where something is silent: this machine may be slower than the seconds that are left after it.
    pub(crate) async fn stops_or_says_that_it_was_cut_off(self) {
        let (code, log) = self.ends_when_told().await;
        assert!(code == Some(0) || code == Some(1) && log.contains("and were cut off"), "{code:?}: {log}");
    }

    /// A balancer that looks twice a second knows before it hears nobody.
    async fn ends_when_told(self) -> (Option<i32>, String) {
        self.process.signal();
        sleep(Duration::from_millis(500)).await;
        self.addresses.close(&self.door);
        tokio::task::spawn_blocking(move || self.process.end()).await.unwrap()
    }

    /// SIGSTOP and SIGCONT: a machine that stands still for a while.
    pub(crate) fn freeze(&self, frozen: bool) {
        kill_process(self.pid(), if frozen { Signal::STOP } else { Signal::CONT }).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.process.id().cast_signed()).unwrap()
    }
}
