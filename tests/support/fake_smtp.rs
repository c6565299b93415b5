//! A mail server of our own for tests: it misbehaves on demand and remembers what it accepted.
//!
//! It shares no code with the worker: it speaks SMTP from the RFCs, so that the two cannot be wrong
//! together. Nothing here sleeps to wait for a mail; whoever waits is woken when it arrives.

use std::{path::Path, sync::Arc, time::Duration};

use tokio::{net::TcpListener, task::JoinHandle, time::timeout};

// The paths are spelt out because the worker's unit tests include this file from elsewhere.
pub mod behaviour;
pub mod ledger;
mod login;
pub mod mail;
mod session;
pub mod settings;
mod tls;
mod wire;

use behaviour::Behaviour;
use ledger::{Attempt, Ledger, State};
use mail::Mail;
use session::ServerConfig;
use settings::{Protection, Settings};
use tls::Certificates;

/// How long a test waits for something that should take milliseconds.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct FakeSmtpServer {
    port: u16,
    settings: Settings,
    certificates: Option<Certificates>,
    book: Ledger,
    listening: JoinHandle<()>,
}

impl FakeSmtpServer {
    pub async fn start() -> FakeSmtpServer {
        FakeSmtpServer::start_with(Settings::default()).await
    }

    /// One that must be talked to step by step.
    pub async fn without_pipelining() -> FakeSmtpServer {
        FakeSmtpServer::start_with(Settings { pipelining: false, ..Settings::default() }).await
    }

    pub async fn start_with(settings: Settings) -> FakeSmtpServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port on loopback");
        let port = listener.local_addr().expect("the port just bound").port();
        let with_tls = settings.protection != Protection::Plain;
        let certificates = with_tls.then(|| Certificates::new(settings.certificate_for, port));
        let acceptor = certificates.as_ref().map(|certificates| certificates.acceptor.clone());
        let book = Ledger::default();
        let house = ServerConfig { settings, acceptor, book: book.clone() };
        let listening = tokio::spawn(session::listen(listener, Arc::new(house)));
        FakeSmtpServer { port, settings, certificates, book, listening }
    }

    /// What belongs into SMTP_URL to reach this mail_server.
    pub fn url(&self) -> String {
        let login = self.settings.login.map(|(user, password)| format!("{}:{}@", escape(user), escape(password)));
        let login = login.unwrap_or_default();
        let ca = self.certificates.as_ref().map(|certificates| certificates.ca.display());
        let ca = ca.map(|path| format!("ca={path}")).unwrap_or_default();
        let port = self.port;
        match self.settings.protection {
            Protection::Plain => format!("smtp://{login}127.0.0.1:{port}"),
            Protection::StartTls => format!("smtp://{login}127.0.0.1:{port}?tls=required&{ca}"),
            Protection::Implicit => format!("smtps://{login}127.0.0.1:{port}?{ca}"),
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The file with the authority that signed this mail_server's certificate.
    pub fn ca(&self) -> Option<&Path> {
        self.certificates.as_ref().map(|certificates| certificates.ca.as_path())
    }

    /// One behaviour for each of the coming deliveries to this address; after them all is well.
    pub fn script(&self, to: &str, behaviours: impl IntoIterator<Item = Behaviour>) {
        self.book.write(|state| state.scripts.entry(to.into()).or_default().extend(behaviours));
    }

    /// The next connection behaves so, whoever the mail is for; several calls queue up.
    pub fn next_connection(&self, behaviour: Behaviour) {
        self.book.write(|state| state.next_connections.push_back(behaviour));
    }

    /// Waits until all of these have come.
    pub async fn next_connections_came(&self) {
        self.wait("next connection", |state| state.next_connections.is_empty().then_some(())).await;
    }

    /// Every new connection behaves so, until told otherwise.
    pub fn every_connection(&self, behaviour: Option<Behaviour>) {
        self.book.write(|state| state.every_connection = behaviour);
    }

    /// Every delivery behaves so once so many mails have been accepted, unless it has a script of its own.
    pub fn later(&self, after: usize, behaviour: Behaviour) {
        self.book.write(|state| state.later = Some((after, behaviour)));
    }

    /// Waits for the first mail to this address.
    pub async fn mail_to(&self, to: &str) -> Mail {
        self.nth_mail_to(to, 1).await
    }

    /// Waits for the n-th mail to this address, counting from 1.
    pub async fn nth_mail_to(&self, to: &str, n: usize) -> Mail {
        self.wait(&format!("mail {n} to {to}"), |state| state.mails_to(to).nth(n - 1).cloned()).await
    }

    /// Waits until somebody says RCPT TO this address for the n-th time, whatever comes of it.
    pub async fn nth_attempt(&self, to: &str, n: usize) -> Attempt {
        self.wait(&format!("attempt {n} to {to}"), |state| state.attempts_to(to).nth(n - 1).cloned()).await
    }

    /// Waits until there have been so many connections in all.
    pub async fn nth_connection(&self, n: usize) {
        self.wait(&format!("connection {n}"), |state| (state.connections >= n).then_some(())).await;
    }

    /// What has been accepted for this address until now.
    pub fn mails_to(&self, to: &str) -> Vec<Mail> {
        self.book.read(|state| state.mails_to(to).cloned().collect())
    }

    pub fn attempts(&self, to: &str) -> Vec<Attempt> {
        self.book.read(|state| state.attempts_to(to).cloned().collect())
    }

    /// How many mails have been accepted in all.
    pub fn count(&self) -> usize {
        self.book.read(|state| state.mails.len())
    }

    pub fn mails(&self) -> Vec<Mail> {
        self.book.read(|state| state.mails.clone())
    }

    /// How many connections have been made in all.
    pub fn connections(&self) -> usize {
        self.book.read(|state| state.connections)
    }

    /// How many connections said QUIT.
    pub fn goodbyes(&self) -> usize {
        self.book.read(|state| state.goodbyes)
    }

    /// How often MAIL came together with what should follow it.
    pub fn said_at_once(&self) -> usize {
        self.book.read(|state| state.said_at_once)
    }

    /// Every user and password AUTH has given, right or wrong.
    pub fn logins(&self) -> Vec<(String, String)> {
        self.book.read(|state| state.logins.clone())
    }

    async fn wait<T>(&self, what: &str, find: impl Fn(&State) -> Option<T>) -> T {
        let late = |_| panic!("no {what} within {PATIENCE:?}; {}", self.book.read(State::summary));
        timeout(PATIENCE, self.book.wait(&find)).await.unwrap_or_else(late)
    }
}

impl Drop for FakeSmtpServer {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// Percent-encodes everything that could mean something in a URL.
fn escape(text: &str) -> String {
    let escaped = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    escaped.collect()
}
