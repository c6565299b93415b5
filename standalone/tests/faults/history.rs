//! What happened in a scene, in its order: nothing is ever changed in it or taken out.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::Instant;

/// For an answer that takes a twentieth of a second on an idle machine.
const TIME_ENOUGH: Duration = Duration::from_secs(3);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Began,
    /// An answer that is not the one that was hoped for; the attempt goes on.
    Answered(u16),
    /// Nobody opened at that door.
    Closed,
    /// A connection broke, or stood still: nobody knows what came of it.
    Unanswered,
    Acknowledged(uuid::Uuid),
    /// Its mail was seen at the mail server.
    Mailed,
    Activated,
    /// Every try that the code had was counted for an API that died with it.
    Spent,
    /// The API was away for longer than the code lived.
    TooLate,
    /// The receipt says that the mail was refused for good.
    Undeliverable,
    /// Given up.
    Failed(u16),
    /// Has gone home, however it went.
    Left,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub(crate) at: Instant,
    /// Which attempt.
    pub(crate) who: usize,
    pub(crate) what: What,
}

#[derive(Clone, Default)]
pub(crate) struct History(Arc<Mutex<Vec<Event>>>);

impl History {
    pub(crate) fn note(&self, who: usize, what: What) {
        self.0.lock().unwrap().push(Event { at: Instant::now(), who, what });
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }

    /// When each attempt began that did so within this time, and when its mail came.
    pub(crate) fn mails_of(&self, from: Instant, until: Instant) -> Vec<(Instant, Option<Instant>)> {
        let events = self.events();
        let began = events.iter().filter(|event| event.what == What::Began && (from..until).contains(&event.at));
        let mailed = |who| events.iter().find(|event| event.who == who && event.what == What::Mailed);
        began.map(|event| (event.at, mailed(event.who).map(|mailed| mailed.at))).collect()
    }

    /// What those met who asked for anything since then, other than success; and those who came since then, had
    /// time enough, and have no answer.
    pub(crate) fn hindrances(&self, since: Instant) -> Vec<(usize, What)> {
        let events = self.events();
        let recent = events.iter().filter(|event| event.at >= since);
        let met = recent.clone().filter(|event| matches!(event.what, What::Answered(_) | What::Unanswered));
        let acknowledged =
            |who| events.iter().any(|event| event.who == who && matches!(event.what, What::Acknowledged(_)));
        let came = recent.filter(|event| event.what == What::Began && event.at.elapsed() > TIME_ENOUGH);
        let waiting = came.filter(|event| !acknowledged(event.who));
        met.chain(waiting).map(|event| (event.who, event.what)).collect()
    }
}
