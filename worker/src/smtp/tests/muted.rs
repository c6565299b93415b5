//! Letters that the mail server is asked about and not given.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use support::fake_smtp::{
    Sink,
    behaviour::{Behaviour, Stage},
};

use super::{heard, letter, never, patient, sends, sinks};
use crate::smtp::{Letter, Sent, pool::Slots, server::Server};

fn muted(to: &str) -> Letter {
    Letter { bytes: vec![], is_muted: true, ..letter(to) }
}

#[tokio::test]
async fn a_muted_letter_is_asked_about_and_leaves_a_good_connection() {
    for sink in sinks().await {
        let mut slot = patient(&sink);
        sends(&mut slot, "ann@example.org").await;
        assert_eq!(slot.send(&muted("bob@example.org")).await, Sent::Accepted);
        sends(&mut slot, "ann@example.org").await;
        assert_eq!((sink.attempts("bob@example.org").len(), sink.mails_to("bob@example.org").len()), (1, 0));
        assert_eq!((sink.count(), sink.connections()), (2, 1));
    }
}

#[tokio::test]
async fn what_is_refused_with_a_letter_is_refused_without() {
    for sink in sinks().await {
        sink.script("bob@example.org", [Behaviour::Reply { at: Stage::Rcpt, code: 550 }]);
        let mut slot = patient(&sink);
        assert_eq!(slot.send(&muted("bob@example.org")).await, never("RCPT: 550 5.7.0"));
        assert!(slot.kept.is_none());
        sink.script("bob@example.org", [Behaviour::Reply { at: Stage::Rcpt, code: 451 }]);
        assert!(matches!(slot.send(&muted("bob@example.org")).await, Sent::Later(_)));
    }
}

#[tokio::test]
async fn it_takes_as_long_as_the_last_one_that_was_given() {
    const LONG: Duration = Duration::from_millis(300);
    let sink = Sink::start().await;
    let slots = Slots::new(Arc::new(Server::parse(&sink.url()).unwrap()), 1, heard());
    sink.script("ann@example.org", [Behaviour::Slow(Stage::Dot, LONG)]);
    let mut loan = slots.borrow().await.unwrap();
    assert_eq!(loan.send(&letter("ann@example.org")).await, Sent::Accepted);
    for _ in 0..2 {
        let begun = Instant::now();
        assert_eq!(loan.send(&muted("bob@example.org")).await, Sent::Accepted);
        assert!(begun.elapsed() >= LONG, "{:?}", begun.elapsed());
    }
}
