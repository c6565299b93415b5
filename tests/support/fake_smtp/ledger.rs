//! What the mail_server has been told to do and what it has seen, shared by all its connections.

use std::collections::{HashMap, VecDeque};

use tokio::{sync::watch, time::Instant};

use super::{behaviour::Behaviour, mail::Mail};

/// Somebody said RCPT TO.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub to: String,
    pub connection: usize,
    pub at: Instant,
}

#[derive(Default)]
pub struct State {
    pub scripts: HashMap<String, VecDeque<Behaviour>>,
    pub next_connections: VecDeque<Behaviour>,
    pub every_connection: Option<Behaviour>,
    /// How deliveries behave once so many mails have been accepted.
    pub later: Option<(usize, Behaviour)>,
    pub mails: Vec<Mail>,
    pub attempts: Vec<Attempt>,
    pub logins: Vec<(String, String)>,
    pub connections: usize,
    pub goodbyes: usize,
    pub said_at_once: usize,
}

impl State {
    pub fn mails_to(&self, to: &str) -> impl Iterator<Item = &Mail> {
        self.mails.iter().filter(move |mail| mail.to == to)
    }

    pub fn attempts_to(&self, to: &str) -> impl Iterator<Item = &Attempt> {
        self.attempts.iter().filter(move |attempt| attempt.to == to)
    }

    /// For the sentence a waiting test dies with.
    pub fn summary(&self) -> String {
        let mails: Vec<String> = self.mails.iter().map(|mail| format!("{} ({})", mail.to, mail.subject)).collect();
        let attempts: Vec<&str> = self.attempts.iter().map(|attempt| attempt.to.as_str()).collect();
        format!("accepted: {mails:?}; attempts: {attempts:?}; connections: {}", self.connections)
    }
}

#[derive(Clone, Default)]
pub struct Ledger(watch::Sender<State>);

impl Ledger {
    pub fn write<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut result = None;
        self.0.send_modify(|state| result = Some(change(state)));
        result.expect("send_modify runs its closure")
    }

    pub fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.0.borrow())
    }

    /// Waits until there is something to find.
    pub async fn wait<T>(&self, find: impl Fn(&State) -> Option<T>) -> T {
        let mut changes = self.0.subscribe();
        loop {
            if let Some(found) = find(&changes.borrow_and_update()) {
                return found;
            }
            changes.changed().await.expect("the sender is ours");
        }
    }
}
