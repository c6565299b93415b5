//! The binary of `cargo run` as its users have it: a process, a data folder, a banner.

use std::{path::Path, process::Command, time::Duration};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    client::{Client, PASSWORD},
    process::Process,
};

/// A place to start it at, again and again.
pub struct Home {
    folder: TempDir,
}

/// One that runs.
pub struct Vestibule {
    pub client: Client,
    pub inbox: Inbox,
    pub process: Process,
    /// What it said until it was ready.
    pub banner: Vec<String>,
}

/// The calls of MailDev.
pub struct Inbox(String);

impl Home {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// With nothing in its environment but where to listen.
    pub fn command(&self, settings: &[(&str, &str)]) -> Command {
        let mut command = Command::new(crate::process::program("vestibule"));
        command.current_dir(self.folder.path()).env_clear();
        for (name, port) in [("API_ADDR", 0), ("OPS_ADDR", 0), ("INBOX_ADDR", 0)] {
            command.env(name, format!("127.0.0.1:{port}"));
        }
        // Tests run side by side on few cores: patience is not what they are about.
        command.envs([("PUBLIC_URL", "http://localhost:8000"), ("HASH_QUEUE_MS", "60000")]);
        command.env("TRUSTED_PROXIES", "127.0.0.1");
        command.envs(settings.iter().copied());
        // Where the embedded Postgres unpacks itself: once for all tests.
        command.envs(std::env::var_os("HOME").map(|home| ("HOME", home)));
        command
    }

    pub fn start(&self, settings: &[(&str, &str)]) -> Vestibule {
        Vestibule::start(&mut self.command(settings))
    }

    /// What it says when it does not start.
    pub fn refusal(&self, settings: &[(&str, &str)], arguments: &[&str]) -> String {
        let output = self.command(settings).args(arguments).output().unwrap();
        assert!(output.status.code().is_some_and(|code| code != 0), "{output:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        let last = said.lines().last().unwrap_or_default().to_owned();
        assert!(last.starts_with("vestibule: "), "{said}");
        last
    }
}

impl Vestibule {
    pub fn start(command: &mut Command) -> Self {
        let mut process = Process::start(command);
        let mut banner = vec![];
        while !banner.last().is_some_and(|line: &String| line.contains("Ctrl-C to stop")) {
            banner.push(process.wait_for(""));
        }
        let after = |name: &str| {
            let line = banner.iter().find_map(|line| line.trim_start().strip_prefix(name));
            line.unwrap_or_default().trim().split(' ').next().unwrap_or_default().to_owned()
        };
        let inbox = after("inbox").replace("localhost", "127.0.0.1");
        let client = Client::new(format!("http://{}", after("listens")));
        Self { client, inbox: Inbox(inbox), process, banner }
    }

    /// Signs somebody up and returns the code from the inbox.
    pub async fn sign_up(&self, email: &str) -> String {
        let answer = self.client.register(email).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        let mail = self.inbox.mail_to(email).await;
        self.client.receipt_when(&answer.registration(), "sent").await;
        code(&mail)
    }

    pub async fn sign_up_and_activate(&self, email: &str) {
        let code = self.sign_up(email).await;
        let answer = self.client.activate_with(email, PASSWORD, &serde_json::json!({ "code": code })).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// Ends as Ctrl-C or SIGTERM end it: cleanly.
    pub fn stop(self) -> String {
        let (code, log) = self.process.terminate();
        assert_eq!(code, Some(0), "{log}");
        log
    }
}

impl Inbox {
    pub async fn get(&self, path: &str) -> reqwest::Response {
        reqwest::get(format!("{}{path}", self.0)).await.unwrap()
    }

    pub async fn clear(&self) {
        let cleared = reqwest::Client::new().delete(format!("{}/email/all", self.0)).send().await.unwrap();
        assert!(cleared.status().is_success(), "{cleared:?}");
    }

    pub async fn mails_to(&self, email: &str) -> Vec<Value> {
        let mails: Vec<Value> = self.get("/email").await.json().await.unwrap();
        mails.into_iter().filter(|mail| mail["to"][0]["address"] == email).collect()
    }

    /// Waits for the newest mail to this address.
    pub async fn mail_to(&self, email: &str) -> Value {
        let wait = async {
            loop {
                if let Some(mail) = self.mails_to(email).await.pop() {
                    return mail;
                }
            }
        };
        let patience = Duration::from_secs(40);
        tokio::time::timeout(patience, wait).await.unwrap_or_else(|_| panic!("no mail for {email}"))
    }
}

/// The code stands alone on a line of the text.
pub fn code(mail: &Value) -> String {
    let text = mail["text"].as_str().unwrap();
    let digits = |line: &&str| line.len() >= 4 && line.bytes().all(|byte| byte.is_ascii_digit());
    text.lines().map(str::trim).find(digits).unwrap_or_else(|| panic!("no code in {text}")).to_owned()
}

/// Every file below, with what is in it.
pub fn contents(folder: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut found = vec![];
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            found.push((path.clone(), std::fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}
