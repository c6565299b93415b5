//! An API or worker process that a test starts, signals and kills.

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

/// Which program a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    Api,
    Worker,
}

/// The base URLs of the APIs that accept requests, as a load balancer in front of them would know them.
#[derive(Clone, Default)]
pub(crate) struct ApiAddresses(Arc<Mutex<Vec<String>>>);

impl ApiAddresses {
    /// The address for this request; `None` while there is no API.
    ///
    /// Pseudo-random instead of round robin: users send their requests in a fixed order, and each API would always get
    /// requests of the same kind.
    pub(crate) fn pick(&self, request_number: usize) -> Option<String> {
        let addresses = self.0.lock().unwrap();
        let scattered = request_number.wrapping_mul(0x9E37_79B9) >> 16;
        (!addresses.is_empty()).then(|| addresses[scattered % addresses.len()].clone())
    }

    fn add(&self, url: &str) {
        self.0.lock().unwrap().push(url.to_owned());
    }

    fn remove(&self, url: &str) {
        self.0.lock().unwrap().retain(|address| address != url);
    }
}

/// A running process. Dropping it kills the process.
pub(crate) struct ServiceProcess {
    process: Process,
    /// The base URL of an API; empty for a worker.
    api_url: String,
    ops: String,
    addresses: ApiAddresses,
}

/// The command for `api` or `worker`, as cargo built them, with these settings and free ports.
pub(crate) fn command(program: &str, settings: &HashMap<String, String>) -> Command {
    let mut command = Command::new(support::process::program(program));
    command.env_clear().envs(settings).env("API_ADDR", "127.0.0.1:0").env("OPS_ADDR", "127.0.0.1:0");
    command
}

impl ServiceProcess {
    /// Starts a process, and returns when it has logged its addresses.
    pub(crate) fn start(service: Service, settings: &HashMap<String, String>, addresses: &ApiAddresses) -> Self {
        let mut command = command(if service == Service::Api { "api" } else { "worker" }, settings);
        tokio::task::block_in_place(|| {
            let mut process = Process::start(&mut command);
            let line = process.wait_for("127.0.0.1:");
            let address = |name: &str| {
                let found = line.split([' ', ',']).find_map(|field| field.strip_prefix(&format!("{name}=")));
                found.map(|address| format!("http://{address}")).unwrap_or_default()
            };
            let api_url = address("api");
            let ops = address("ops");
            if service == Service::Api {
                addresses.add(&api_url);
            }
            Self { process, api_url, ops, addresses: addresses.clone() }
        })
    }

    /// Waits until no readiness check fails, not even an optional one.
    pub(crate) async fn ready(&self) {
        let url = format!("{}/health/ready", self.ops);
        let is_ready = async || {
            let Ok(response) = reqwest::get(&url).await else { return false };
            response.text().await.is_ok_and(|text| !text.is_empty() && !text.contains("failing"))
        };
        servers::wait_until("the process is ready", is_ready).await;
    }

    /// Sends SIGKILL.
    pub(crate) fn kill(self) {
        self.addresses.remove(&self.api_url);
        self.process.kill();
    }

    /// The base URL of an API.
    pub(crate) fn api_url(&self) -> &str {
        &self.api_url
    }

    /// Waits until the process has killed itself at its fault point.
    pub(crate) async fn wait_for_death(self) {
        let addresses = self.addresses.clone();
        let pid = self.pid();
        let mut exit = tokio::task::spawn_blocking(move || self.process.wait_for_exit_status());
        let Ok(ended) = tokio::time::timeout(servers::TIMEOUT, &mut exit).await else {
            let _ = kill_process(pid, Signal::KILL);
            panic!("the process never reaches its fault point:\n{}", exit.await.unwrap().1);
        };
        let (status, log) = ended.unwrap();
        addresses.remove(&self.api_url);
        assert_eq!(status.signal(), Some(9), "the process exited instead of being killed:\n{log}");
    }

    /// Sends SIGTERM, and asserts that the process ends with code 0.
    pub(crate) async fn stop(self) {
        let (code, log) = self.terminate().await;
        assert_eq!(code, Some(0), "{log}");
    }

    /// The same while a server is silent: then a slow machine may exceed the shutdown timeout, which must be logged.
    pub(crate) async fn stop_or_log_timeout(self) {
        let (code, log) = self.terminate().await;
        assert!(code == Some(0) || code == Some(1) && log.contains("and were cut off"), "{code:?}: {log}");
    }

    /// Sends SIGTERM, and removes the address half a second later, as a load balancer would that polls readiness.
    async fn terminate(self) -> (Option<i32>, String) {
        self.process.send_sigterm();
        sleep(Duration::from_millis(500)).await;
        self.addresses.remove(&self.api_url);
        tokio::task::spawn_blocking(move || self.process.wait_for_exit()).await.unwrap()
    }

    /// SIGSTOP or SIGCONT: simulates a machine that stalls.
    pub(crate) fn freeze(&self, frozen: bool) {
        kill_process(self.pid(), if frozen { Signal::STOP } else { Signal::CONT }).unwrap();
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.process.id().cast_signed()).unwrap()
    }
}
