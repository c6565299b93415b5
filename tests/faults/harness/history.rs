//! The history of a test: what each simulated user observed, in order. Entries are only appended.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout};

/// A registration is acknowledged within this time, although it takes 50 ms on an idle machine.
const REGISTRATION_TIMEOUT: Duration = Duration::from_secs(3);

/// The same on a machine that starts three brokers at that moment.
const REGISTRATION_TIMEOUT_UNDER_LOAD: Duration = Duration::from_secs(30);

/// What a simulated user observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Observation {
    Started,
    /// A response with an error status; the user tries again.
    ErrorStatus(u16),
    /// The API did not accept the connection.
    ConnectionRefused,
    /// A connection broke or timed out: the request may have been processed.
    NoResponse,
    Acknowledged(uuid::Uuid),
    /// The mail server has the mail.
    Mailed,
    Activated,
    /// Every attempt of the code was counted by an API that was killed during the request.
    CodeExhausted,
    /// The receipt says that the mail server rejected the mail.
    Undeliverable,
    /// The user gave up after this status.
    GaveUp(u16),
    /// The user is done, however it went.
    Finished,
}

/// One observation of one user.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) at: Instant,
    /// The number of the user.
    pub(crate) user: usize,
    pub(crate) observation: Observation,
}

/// When a user started, and when the mail arrived.
#[derive(Clone, Copy)]
pub(crate) struct MailTimes {
    pub(crate) started: Instant,
    pub(crate) mailed: Option<Instant>,
}

/// Shared by all simulated users of a test.
#[derive(Clone, Default)]
pub(crate) struct History(Arc<Mutex<Vec<Entry>>>);

impl History {
    /// Appends an observation of a user, with the current time.
    pub(crate) fn record(&self, user: usize, observation: Observation) {
        self.0.lock().unwrap().push(Entry { at: Instant::now(), user, observation });
    }

    /// All entries so far, in order.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.0.lock().unwrap().clone()
    }

    /// Whether any user has received a mail.
    pub(crate) fn has_mail(&self) -> bool {
        self.entries().iter().any(|entry| entry.observation == Observation::Mailed)
    }

    /// How many registrations were acknowledged since then.
    pub(crate) fn acknowledged(&self, since: Instant) -> usize {
        self.count(since, |observation| matches!(observation, Observation::Acknowledged(_)))
    }

    /// How many accounts were activated since then.
    pub(crate) fn activated(&self, since: Instant) -> usize {
        self.count(since, |observation| observation == Observation::Activated)
    }

    /// How many users who started since then have a mail.
    pub(crate) fn mailed(&self, since: Instant) -> usize {
        self.mail_times(since, Instant::now()).iter().filter(|times| times.mailed.is_some()).count()
    }

    /// Users who were acknowledged in this time and have no mail.
    pub(crate) fn without_mail(&self, from: Instant, until: Instant) -> Vec<usize> {
        let entries = self.entries();
        let is_mailed =
            |user| entries.iter().any(|entry| entry.user == user && entry.observation == Observation::Mailed);
        let acknowledged = entries.iter().filter(|entry| {
            matches!(entry.observation, Observation::Acknowledged(_)) && (from..until).contains(&entry.at)
        });
        acknowledged.map(|entry| entry.user).filter(|&user| !is_mailed(user)).collect()
    }

    /// The mail times of all users who started in this time.
    pub(crate) fn mail_times(&self, from: Instant, until: Instant) -> Vec<MailTimes> {
        let entries = self.entries();
        let mailed = |user| {
            entries
                .iter()
                .find(|entry| entry.user == user && entry.observation == Observation::Mailed)
                .map(|entry| entry.at)
        };
        started_within(&entries, from, until)
            .map(|entry| MailTimes { started: entry.at, mailed: mailed(entry.user) })
            .collect()
    }

    /// Errors since then, and users since then who should be acknowledged by now and are not.
    pub(crate) fn failures(&self, since: Instant) -> Vec<(usize, Observation)> {
        [self.errors(since), self.unacknowledged(since, Instant::now() - REGISTRATION_TIMEOUT)].concat()
    }

    /// The same, after every user who has started by now had time to be acknowledged.
    pub(crate) async fn failures_after_waiting(&self, since: Instant) -> Vec<(usize, Observation)> {
        let until = Instant::now();
        let all_acknowledged = async {
            while !self.unacknowledged(since, until).is_empty() {
                sleep(Duration::from_millis(50)).await;
            }
        };
        let _ = timeout(REGISTRATION_TIMEOUT_UNDER_LOAD, all_acknowledged).await;
        [self.errors(since), self.unacknowledged(since, until)].concat()
    }

    /// Whether all users who started before this moment are done.
    pub(crate) fn is_finished_before(&self, until: Instant) -> bool {
        let entries = self.entries();
        let finished: HashSet<_> =
            entries.iter().filter(|entry| entry.observation == Observation::Finished).map(|entry| entry.user).collect();
        let mut started = entries.iter().filter(|entry| entry.observation == Observation::Started && entry.at < until);
        started.all(|entry| finished.contains(&entry.user))
    }

    fn count(&self, since: Instant, is_counted: fn(Observation) -> bool) -> usize {
        self.entries().iter().filter(|entry| entry.at >= since && is_counted(entry.observation)).count()
    }

    fn errors(&self, since: Instant) -> Vec<(usize, Observation)> {
        let entries = self.entries().into_iter().filter(|entry| entry.at >= since);
        let errors =
            entries.filter(|entry| matches!(entry.observation, Observation::ErrorStatus(_) | Observation::NoResponse));
        errors.map(|entry| (entry.user, entry.observation)).collect()
    }

    fn unacknowledged(&self, from: Instant, until: Instant) -> Vec<(usize, Observation)> {
        let entries = self.entries();
        let is_acknowledged = |user| {
            entries.iter().any(|entry| entry.user == user && matches!(entry.observation, Observation::Acknowledged(_)))
        };
        started_within(&entries, from, until)
            .filter(|entry| !is_acknowledged(entry.user))
            .map(|entry| (entry.user, entry.observation))
            .collect()
    }
}

fn started_within(entries: &[Entry], from: Instant, until: Instant) -> impl Iterator<Item = &Entry> {
    entries.iter().filter(move |entry| entry.observation == Observation::Started && (from..until).contains(&entry.at))
}
