//! A fake SMTP server for tests: it misbehaves on demand and records the mails it accepted.
//!
//! It is written from the RFCs and shares no code with the worker, so that both cannot be wrong in the same way.
//! Waiting for a mail does not poll: arriving mails wake the waiting test.

use std::{path::Path, sync::Arc, time::Duration};

use tokio::{net::TcpListener, task::JoinHandle, time::timeout};

pub mod behaviour;
pub mod ledger;
mod login;
pub mod mail;
mod session;
pub mod settings;
mod tls;
mod wire;

use behaviour::Behaviour;
use ledger::{Attempt, Ledger, Records};
use mail::Mail;
use session::Shared;
use settings::{FakeSmtpSettings, Protection};
use tls::Certificates;

/// How long a test waits for something that should take milliseconds.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A mail server on a free port of loopback. It stops listening on drop.
pub struct FakeSmtpServer {
    port: u16,
    settings: FakeSmtpSettings,
    certificates: Option<Certificates>,
    ledger: Ledger,
    accept_task: JoinHandle<()>,
}

impl FakeSmtpServer {
    /// Starts a server with plain SMTP, without AUTH, with PIPELINING.
    pub async fn start() -> FakeSmtpServer {
        FakeSmtpServer::start_with(FakeSmtpSettings::default()).await
    }

    /// Starts a server that does not offer PIPELINING.
    pub async fn without_pipelining() -> FakeSmtpServer {
        FakeSmtpServer::start_with(FakeSmtpSettings { pipelining: false, ..FakeSmtpSettings::default() }).await
    }

    /// Starts a server with these settings.
    pub async fn start_with(settings: FakeSmtpSettings) -> FakeSmtpServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port on loopback");
        let port = listener.local_addr().expect("the port just bound").port();
        let with_tls = settings.protection != Protection::Plain;
        let certificates = with_tls.then(|| Certificates::new(settings.certificate_for, port));
        let acceptor = certificates.as_ref().map(|certificates| certificates.acceptor.clone());
        let ledger = Ledger::default();
        let shared = Shared { settings, acceptor, ledger: ledger.clone() };
        let accept_task = tokio::spawn(session::accept(listener, Arc::new(shared)));
        FakeSmtpServer { port, settings, certificates, ledger, accept_task }
    }

    /// The value of `SMTP_URL` for this server.
    pub fn url(&self) -> String {
        let login = self
            .settings
            .login
            .map(|(user, password)| format!("{}:{}@", percent_encode(user), percent_encode(password)));
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

    /// The port on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The PEM file of the certificate authority of this server's certificate, if it has TLS.
    pub fn ca(&self) -> Option<&Path> {
        self.certificates.as_ref().map(|certificates| certificates.ca.as_path())
    }

    /// Sets one behaviour for each of the next deliveries to this email address; later ones succeed.
    pub fn script(&self, to: &str, behaviours: impl IntoIterator<Item = Behaviour>) {
        self.ledger.write(|records| records.scripts.entry(to.into()).or_default().extend(behaviours));
    }

    /// Sets the behaviour of the next connection, whatever the recipient; repeated calls queue up.
    pub fn next_connection(&self, behaviour: Behaviour) {
        self.ledger.write(|records| records.next_connections.push_back(behaviour));
    }

    /// Waits until all connections that [`FakeSmtpServer::next_connection`] announced have been made.
    pub async fn wait_for_next_connections(&self) {
        self.wait("next connection", |records| records.next_connections.is_empty().then_some(())).await;
    }

    /// Sets the behaviour of every new connection; `None` makes them succeed again.
    pub fn every_connection(&self, behaviour: Option<Behaviour>) {
        self.ledger.write(|records| records.every_connection = behaviour);
    }

    /// Sets the behaviour of every delivery without a script, once this number of mails has been accepted.
    pub fn script_after(&self, after: usize, behaviour: Behaviour) {
        self.ledger.write(|records| records.later = Some((after, behaviour)));
    }

    /// Waits for the first mail to this email address.
    pub async fn mail_to(&self, to: &str) -> Mail {
        self.nth_mail_to(to, 1).await
    }

    /// Waits for the n-th mail to this email address, counting from 1.
    pub async fn nth_mail_to(&self, to: &str, n: usize) -> Mail {
        self.wait(&format!("mail {n} to {to}"), |records| records.mails_to(to).nth(n - 1).cloned()).await
    }

    /// Waits for the n-th RCPT TO with this email address, accepted or not.
    pub async fn nth_attempt(&self, to: &str, n: usize) -> Attempt {
        self.wait(&format!("attempt {n} to {to}"), |records| records.attempts_to(to).nth(n - 1).cloned()).await
    }

    /// Waits until this number of connections has been made in all.
    pub async fn nth_connection(&self, n: usize) {
        self.wait(&format!("connection {n}"), |records| (records.connections >= n).then_some(())).await;
    }

    /// The mails accepted for this email address so far.
    pub fn mails_to(&self, to: &str) -> Vec<Mail> {
        self.ledger.read(|records| records.mails_to(to).cloned().collect())
    }

    /// Every RCPT TO with this email address so far.
    pub fn attempts(&self, to: &str) -> Vec<Attempt> {
        self.ledger.read(|records| records.attempts_to(to).cloned().collect())
    }

    /// The number of mails accepted so far.
    pub fn count(&self) -> usize {
        self.ledger.read(|records| records.mails.len())
    }

    /// All mails accepted so far.
    pub fn mails(&self) -> Vec<Mail> {
        self.ledger.read(|records| records.mails.clone())
    }

    /// The number of connections so far.
    pub fn connections(&self) -> usize {
        self.ledger.read(|records| records.connections)
    }

    /// The number of connections that ended with QUIT.
    pub fn quits(&self) -> usize {
        self.ledger.read(|records| records.quits)
    }

    /// How often MAIL arrived in one packet with the following commands (PIPELINING).
    pub fn pipelined(&self) -> usize {
        self.ledger.read(|records| records.pipelined)
    }

    /// User and password of every AUTH, correct or not.
    pub fn logins(&self) -> Vec<(String, String)> {
        self.ledger.read(|records| records.logins.clone())
    }

    /// Waits until `find` finds something; fails with a summary of the records.
    async fn wait<T>(&self, what: &str, find: impl Fn(&Records) -> Option<T>) -> T {
        let fail = |_| panic!("no {what} within {TIMEOUT:?}; {}", self.ledger.read(Records::summary));
        timeout(TIMEOUT, self.ledger.wait(&find)).await.unwrap_or_else(fail)
    }
}

impl Drop for FakeSmtpServer {
    fn drop(&mut self) {
        self.accept_task.abort();
    }
}

/// Percent-encodes all characters but ASCII letters and digits.
fn percent_encode(text: &str) -> String {
    let encoded = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    });
    encoded.collect()
}
