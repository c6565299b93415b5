//! A chromedriver process for one test, on a free port.

use std::{fs, path::Path, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use thirtyfour::Capabilities;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdout, Command},
};

/// The options of a browser.
#[derive(Clone, Copy)]
pub(crate) struct BrowserOptions {
    /// The preferred languages: the first one is the language of the browser, all are sent as `Accept-Language`.
    pub(crate) languages: &'static str,
}

impl Default for BrowserOptions {
    fn default() -> Self {
        Self { languages: "en" }
    }
}

/// A running chromedriver.
pub(crate) struct Driver {
    /// Where it accepts WebDriver commands.
    pub(crate) url: String,
    process: Child,
    /// Kept open: writing to a closed pipe would end chromedriver.
    _stdout: BufReader<ChildStdout>,
    /// The home directory and the browser profile.
    profile: tempfile::TempDir,
}

impl Driver {
    /// Starts chromedriver and waits until it listens.
    pub(crate) async fn start() -> Self {
        let profile = tempfile::tempdir().unwrap();
        let mut output = String::new();
        // chromedriver takes a free port of IPv6 and then the same port of IPv4, and ends if that one is in use.
        for _ in 0..5 {
            let mut process = spawn(profile.path());
            let mut stdout = BufReader::new(process.stdout.take().unwrap());
            let mut line = String::new();
            while stdout.read_line(&mut line).await.unwrap() > 0 {
                let port = line.trim_end().trim_end_matches('.').split_once("started successfully on port ");
                if let Some((_, port)) = port {
                    return Self { url: format!("http://127.0.0.1:{port}"), process, _stdout: stdout, profile };
                }
                output += &std::mem::take(&mut line);
            }
        }
        panic!("chromedriver did not print its port, but: {output}");
    }

    /// The WebDriver capabilities of a new session with these options.
    pub(crate) fn capabilities(&self, options: BrowserOptions) -> Capabilities {
        let profile = format!("--user-data-dir={}", self.profile.path().join("profile").display());
        let language = format!("--lang={}", options.languages.split(',').next().unwrap());
        // Chromium has no sandbox for root, and containers have little in /dev/shm.
        let fixed = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1280,900"];
        let arguments: Vec<&str> = fixed.into_iter().chain([&*profile, &*language]).collect();
        let capabilities = json!({
            "browserName": "chrome",
            "goog:chromeOptions": { "args": arguments, "prefs": { "intl.accept_languages": options.languages } },
            "goog:loggingPrefs": { "browser": "ALL", "performance": "ALL" },
            "timeouts": { "script": 30_000 },
        });
        capabilities.as_object().unwrap().clone().into()
    }

    /// Kills chromedriver, and Chromium if it is still running, and deletes their profile.
    pub(crate) fn end(&mut self, chromium: Option<i32>) {
        for id in self.process.id().and_then(|id| i32::try_from(id).ok()).into_iter().chain(chromium) {
            // An error means that the process has already ended.
            let _ = Pid::from_raw(id).map(|id| kill_process(id, Signal::KILL));
        }
        // Chromium consists of many processes; until the last one has ended, they still write to the profile.
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
    // Chromium writes more to the home directory than its profile.
    command.arg("--port=0").env("HOME", home).env_remove("XDG_CONFIG_HOME").env_remove("XDG_CACHE_HOME");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    command.spawn().expect("chromedriver: run the tests with `make test-browser`")
}
