//! Letters that the mail server is asked about and not given.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use support::fake_smtp::{
    FakeSmtpServer,
    behaviour::{Behaviour, Stage},
};

use super::{email, heard, mail_servers, never, patient, sends};
use crate::smtp::{Email, SendOutcome, pool::SmtpPool, server::Server};

fn muted(to: &str) -> Email {
    Email { bytes: vec![], is_muted: true, ..email(to) }
}

#[tokio::test]
async fn a_muted_letter_is_asked_about_and_leaves_a_good_connection() {
    for mail_server in mail_servers().await {
        let mut slot = patient(&mail_server);
        sends(&mut slot, "ann@example.org").await;
        assert_eq!(slot.send(&muted("bob@example.org")).await, SendOutcome::Accepted);
        sends(&mut slot, "ann@example.org").await;
        assert_eq!(
            (mail_server.attempts("bob@example.org").len(), mail_server.mails_to("bob@example.org").len()),
            (1, 0)
        );
        assert_eq!((mail_server.count(), mail_server.connections()), (2, 1));
    }
}

#[tokio::test]
async fn what_is_refused_with_a_letter_is_refused_without() {
    for mail_server in mail_servers().await {
        mail_server.script("bob@example.org", [Behaviour::Reply { at: Stage::Rcpt, code: 550 }]);
        let mut slot = patient(&mail_server);
        assert_eq!(slot.send(&muted("bob@example.org")).await, never("RCPT: 550 5.7.0"));
        assert!(slot.kept.is_none());
        mail_server.script("bob@example.org", [Behaviour::Reply { at: Stage::Rcpt, code: 451 }]);
        assert!(matches!(slot.send(&muted("bob@example.org")).await, SendOutcome::RetryLater(_)));
    }
}

#[tokio::test]
async fn it_takes_as_long_as_the_last_one_that_was_given() {
    const LONG: Duration = Duration::from_millis(300);
    let mail_server = FakeSmtpServer::start().await;
    let slots = SmtpPool::new(Arc::new(Server::parse(&mail_server.url()).unwrap()), 1, heard());
    mail_server.script("ann@example.org", [Behaviour::Slow(Stage::Dot, LONG)]);
    let mut loan = slots.borrow().await.unwrap();
    assert_eq!(loan.send(&email("ann@example.org")).await, SendOutcome::Accepted);
    for _ in 0..2 {
        let begun = Instant::now();
        assert_eq!(loan.send(&muted("bob@example.org")).await, SendOutcome::Accepted);
        assert!(begun.elapsed() >= LONG, "{:?}", begun.elapsed());
    }
}
