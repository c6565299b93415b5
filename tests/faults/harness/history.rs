//! What happened in a environment, in its order: nothing is ever changed in it or taken out.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout};

/// For an answer that takes a twentieth of a second on an idle machine.
const SOON: Duration = Duration::from_secs(3);

/// For the same on one that boots three brokers at that moment.
const TIME_ENOUGH: Duration = Duration::from_secs(30);

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

    pub(crate) fn somebody_is_mailed(&self) -> bool {
        self.events().iter().any(|event| event.what == What::Mailed)
    }

    /// When each attempt began that did so within this time, and when its mail came.
    pub(crate) fn mails_of(&self, from: Instant, until: Instant) -> Vec<(Instant, Option<Instant>)> {
        let events = self.events();
        let began = events.iter().filter(|event| event.what == What::Began && (from..until).contains(&event.at));
        let mailed = |who| events.iter().find(|event| event.who == who && event.what == What::Mailed);
        began.map(|event| (event.at, mailed(event.who).map(|mailed| mailed.at))).collect()
    }

    /// What those met who asked for anything since then, other than success; and those who should be registered by now.
    pub(crate) fn hindrances(&self, since: Instant) -> Vec<(usize, What)> {
        [self.met(since), self.waiting(since, Instant::now() - SOON)].concat()
    }

    /// The same, when all who came by now have had time enough.
    pub(crate) async fn hindrances_in_the_end(&self, since: Instant) -> Vec<(usize, What)> {
        let until = Instant::now();
        let all_answered = async {
            while !self.waiting(since, until).is_empty() {
                sleep(Duration::from_millis(50)).await;
            }
        };
        let _ = timeout(TIME_ENOUGH, all_answered).await;
        [self.met(since), self.waiting(since, until)].concat()
    }

    fn met(&self, since: Instant) -> Vec<(usize, What)> {
        let events = self.events().into_iter().filter(|event| event.at >= since);
        let met = events.filter(|event| matches!(event.what, What::Answered(_) | What::Unanswered));
        met.map(|event| (event.who, event.what)).collect()
    }

    fn waiting(&self, from: Instant, until: Instant) -> Vec<(usize, What)> {
        let events = self.events();
        let acknowledged =
            |who| events.iter().any(|event| event.who == who && matches!(event.what, What::Acknowledged(_)));
        let came = events.iter().filter(|event| event.what == What::Began && (from..until).contains(&event.at));
        came.filter(|event| !acknowledged(event.who)).map(|event| (event.who, event.what)).collect()
    }
}
