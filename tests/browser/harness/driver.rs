//! A chromedriver of one test, on a port that was free.

use std::{fs, path::Path, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use thirtyfour::Capabilities;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdout, Command},
};

/// What the browser of a test is like, where that is not left to random_id.
#[derive(Clone, Copy)]
pub(crate) struct Form {
    /// What it tells servers to prefer, as its settings have it.
    pub(crate) languages: &'static str,
}

impl Default for Form {
    fn default() -> Self {
        Self { languages: "en" }
    }
}

pub(crate) struct Driver {
    pub(crate) url: String,
    process: Child,
    /// Kept, or what it says would end it.
    _says: BufReader<ChildStdout>,
    profile: tempfile::TempDir,
}

impl Driver {
    pub(crate) async fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut said = String::new();
        // It asks for any port of IPv6 and then for the same of IPv4: when somebody has that, it ends.
        for _ in 0..5 {
            let mut process = spawn(profile.path());
            let mut says = BufReader::new(process.stdout.take().unwrap());
            let mut line = String::new();
            while says.read_line(&mut line).await.unwrap() > 0 {
                let port = line.trim_end().trim_end_matches('.').split_once("started successfully on port ");
                if let Some((_, port)) = port {
                    return Self { url: format!("http://127.0.0.1:{port}"), process, _says: says, profile };
                }
                said += &std::mem::take(&mut line);
            }
        }
        panic!("chromedriver does not say where it listens, but: {said}");
    }

    pub(crate) fn capabilities(&self, form: Form) -> Capabilities {
        let profile = format!("--user-data-dir={}", self.profile.path().join("profile").display());
        let language = format!("--lang={}", form.languages.split(',').next().unwrap());
        // Chromium has no sandbox for root, and containers have little in /dev/shm.
        let fixed = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,900"];
        let arguments: Vec<&str> = fixed.into_iter().chain([&*profile, &*language]).collect();
        let wanted = json!({
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments, "prefs": { "intl.accept_languages": form.languages } },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
            "timeouts": { "script": 30_000 },
        });
        wanted.as_object().unwrap().clone().into()
    }

    /// Ends Chromium if it did not end with its session, and the driver, and takes away what they kept.
    pub(crate) fn end(&mut self, chromium: Option<i32>) {
        for id in self.process.id().and_then(|id| i32::try_from(id).ok()).into_iter().chain(chromium) {
            // Gone already is as good.
            let _ = Pid::from_raw(id).map(|id| kill_process(id, Signal::KILL));
        }
        // Its many processes end one after the other, and the last of them still write.
        for _ in 0..100 {
            if fs::remove_dir_all(self.profile.path()).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn spawn(home: &Path) -> Child {
    let mut command = Command::new("chromedriver");
    // Chromium keeps more in the home folder than its profile.
    command.arg("--port=0").env("HOME", home).env_remove("XDG_CONFIG_HOME").env_remove("XDG_CACHE_HOME");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    command.spawn().expect("chromedriver: run the tests with `make test-browser`")
}
