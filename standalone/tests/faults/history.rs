//! What happened in a scene, in its order: nothing is ever changed in it or taken out.

use std::sync::{Arc, Mutex};

use tokio::time::Instant;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Began,
    /// An answer that is not the one that was hoped for; the attempt goes on.
    Answered(u16),
    /// A connection broke, or there was none: nobody knows what came of it.
    Unanswered,
    Acknowledged(uuid::Uuid),
    /// Its mail was seen at the mail server.
    Mailed,
    Activated,
    /// The API was away for longer than the code lived.
    TooLate,
    /// The receipt says that the mail was refused for good.
    Undeliverable,
    /// Given up.
    Failed(u16),
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

    /// What was answered since, other than success.
    pub(crate) fn refusals(&self, from: Instant) -> Vec<u16> {
        let events = self.events().into_iter().filter(|event| event.at >= from);
        events.filter_map(|event| if let What::Answered(status) = event.what { Some(status) } else { None }).collect()
    }
}
