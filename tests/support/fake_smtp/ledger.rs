//! The scripts and the records of a fake SMTP server, shared by all its connections.

use std::collections::{HashMap, VecDeque};

use tokio::{sync::watch, time::Instant};

use super::{behaviour::Behaviour, mail::Mail};

/// One RCPT TO.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub to: String,
    pub connection: usize,
    pub at: Instant,
}

/// Scripts set by the test, and what the server recorded.
#[derive(Default)]
pub struct Records {
    /// The behaviours of the next deliveries, by recipient.
    pub scripts: HashMap<String, VecDeque<Behaviour>>,
    pub next_connections: VecDeque<Behaviour>,
    pub every_connection: Option<Behaviour>,
    /// The behaviour of deliveries once this number of mails has been accepted.
    pub later: Option<(usize, Behaviour)>,
    pub mails: Vec<Mail>,
    pub attempts: Vec<Attempt>,
    /// User and password of every AUTH.
    pub logins: Vec<(String, String)>,
    pub connections: usize,
    /// Connections that ended with QUIT.
    pub quits: usize,
    /// MAIL commands that arrived together with the following ones.
    pub pipelined: usize,
}

impl Records {
    /// The mails accepted for this email address.
    pub fn mails_to(&self, to: &str) -> impl Iterator<Item = &Mail> {
        self.mails.iter().filter(move |mail| mail.to == to)
    }

    /// Every RCPT TO with this email address.
    pub fn attempts_to(&self, to: &str) -> impl Iterator<Item = &Attempt> {
        self.attempts.iter().filter(move |attempt| attempt.to == to)
    }

    /// A summary for the message of a test that waited in vain.
    pub fn summary(&self) -> String {
        let mails: Vec<String> = self.mails.iter().map(|mail| format!("{} ({})", mail.to, mail.subject)).collect();
        let attempts: Vec<&str> = self.attempts.iter().map(|attempt| attempt.to.as_str()).collect();
        format!("accepted: {mails:?}; attempts: {attempts:?}; connections: {}", self.connections)
    }
}

/// Shared access to the records; changes wake waiting tests.
#[derive(Clone, Default)]
pub struct Ledger(watch::Sender<Records>);

impl Ledger {
    /// Changes the records and wakes waiting tests.
    pub fn write<T>(&self, change: impl FnOnce(&mut Records) -> T) -> T {
        let mut result = None;
        self.0.send_modify(|records| result = Some(change(records)));
        result.expect("send_modify runs its closure")
    }

    /// Reads the records.
    pub fn read<T>(&self, read: impl FnOnce(&Records) -> T) -> T {
        read(&self.0.borrow())
    }

    /// Waits until `find` returns something.
    pub async fn wait<T>(&self, find: impl Fn(&Records) -> Option<T>) -> T {
        let mut changes = self.0.subscribe();
        loop {
            if let Some(found) = find(&changes.borrow_and_update()) {
                return found;
            }
            changes.changed().await.expect("self holds the sender");
        }
    }
}
