//! The standalone binary (`cargo run`) as a child process, with its data folder, startup banner and mailbox.

use std::{path::Path, process::Command, time::Duration};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    client::{Client, PASSWORD},
    process::Process,
};

/// A temporary working folder, in which the binary can be started several times.
pub struct StandaloneFolder {
    folder: TempDir,
}

/// A running standalone process that is ready.
pub struct StandaloneProcess {
    pub client: Client,
    pub inbox: MailboxClient,
    pub process: Process,
    /// The lines it printed until it was ready.
    pub banner: Vec<String>,
}

/// A client of the development mailbox, which has the HTTP API of MailDev.
pub struct MailboxClient(String);

impl StandaloneFolder {
    /// Creates an empty folder.
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// The command, with an environment that has nothing but free ports to listen on, test defaults and `settings`.
    pub fn command(&self, settings: &[(&str, &str)]) -> Command {
        let mut command = Command::new(crate::process::program("vestibule"));
        command.current_dir(self.folder.path()).env_clear();
        for (name, port) in [("API_ADDR", 0), ("OPS_ADDR", 0), ("INBOX_ADDR", 0)] {
            command.env(name, format!("127.0.0.1:{port}"));
        }
        // Tests run in parallel on few cores, and none of them is about the timeout of the hash queue.
        command.envs([("PUBLIC_URL", "http://localhost:8000"), ("HASH_QUEUE_MS", "60000")]);
        command.env("TRUSTED_PROXIES", "127.0.0.1");
        command.envs(settings.iter().copied());
        // The embedded Postgres unpacks itself there, once for all tests.
        command.envs(std::env::var_os("HOME").map(|home| ("HOME", home)));
        command
    }

    /// Starts the binary and waits until it is ready.
    pub fn start(&self, settings: &[(&str, &str)]) -> StandaloneProcess {
        StandaloneProcess::start(&mut self.command(settings))
    }

    /// Runs the binary, which must fail to start, and returns the error it prints.
    pub fn start_error(&self, settings: &[(&str, &str)], arguments: &[&str]) -> String {
        let output = self.command(settings).args(arguments).output().unwrap();
        assert!(output.status.code().is_some_and(|code| code != 0), "{output:?}");
        let errors = String::from_utf8(output.stderr).unwrap();
        let last = errors.lines().last().unwrap_or_default().to_owned();
        assert!(last.starts_with("vestibule: "), "{errors}");
        last
    }
}

impl StandaloneProcess {
    /// Starts the command and reads the banner.
    pub fn start(command: &mut Command) -> Self {
        let mut process = Process::start(command);
        let mut banner = vec![];
        while !banner.last().is_some_and(|line: &String| line.contains("Ctrl-C to stop")) {
            banner.push(process.wait_for(""));
        }
        let banner_value = |name: &str| {
            let line = banner.iter().find_map(|line| line.trim_start().strip_prefix(name));
            line.unwrap_or_default().trim().split(' ').next().unwrap_or_default().to_owned()
        };
        let inbox = banner_value("inbox").replace("localhost", "127.0.0.1");
        let client = Client::new(format!("http://{}", banner_value("listens")));
        Self { client, inbox: MailboxClient(inbox), process, banner }
    }

    /// Registers and returns the code from the mailbox.
    pub async fn sign_up(&self, email: &str) -> String {
        let answer = self.client.register(email).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        let mail = self.inbox.mail_to(email).await;
        self.client.wait_for_receipt(&answer.registration(), "sent").await;
        code(&mail)
    }

    /// Registers and activates.
    pub async fn sign_up_and_activate(&self, email: &str) {
        let code = self.sign_up(email).await;
        let answer = self.client.activate_with(email, PASSWORD, &serde_json::json!({ "code": code })).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    /// Stops the process by SIGTERM; it must exit with 0. Returns the log.
    pub fn stop(self) -> String {
        let (code, log) = self.process.terminate();
        assert_eq!(code, Some(0), "{log}");
        log
    }
}

impl MailboxClient {
    /// `GET` a path of the mailbox.
    pub async fn get(&self, path: &str) -> reqwest::Response {
        reqwest::get(format!("{}{path}", self.0)).await.unwrap()
    }

    /// Deletes all mails.
    pub async fn clear(&self) {
        let cleared = reqwest::Client::new().delete(format!("{}/email/all", self.0)).send().await.unwrap();
        assert!(cleared.status().is_success(), "{cleared:?}");
    }

    /// All mails to this email address, oldest first.
    pub async fn mails_to(&self, email: &str) -> Vec<Value> {
        let mails: Vec<Value> = self.get("/email").await.json().await.unwrap();
        mails.into_iter().filter(|mail| mail["to"][0]["address"] == email).collect()
    }

    /// Waits for a mail to this email address, and returns the newest.
    pub async fn mail_to(&self, email: &str) -> Value {
        let wait = async {
            loop {
                if let Some(mail) = self.mails_to(email).await.pop() {
                    return mail;
                }
            }
        };
        let timeout = Duration::from_secs(40);
        tokio::time::timeout(timeout, wait).await.unwrap_or_else(|_| panic!("no mail for {email}"))
    }
}

/// The code in a mail: alone on a line of its text.
pub fn code(mail: &Value) -> String {
    let text = mail["text"].as_str().unwrap();
    let digits = |line: &&str| line.len() >= 4 && line.bytes().all(|byte| byte.is_ascii_digit());
    text.lines().map(str::trim).find(digits).unwrap_or_else(|| panic!("no code in {text}")).to_owned()
}

/// All files below the folder, with their contents, sorted by path.
pub fn contents(folder: &Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let mut files = vec![];
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(contents(&path));
        } else {
            files.push((path.clone(), std::fs::read(&path).unwrap()));
        }
    }
    files.sort();
    files
}
