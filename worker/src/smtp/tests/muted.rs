//! Muted emails: the envelope is sent, the email is not.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use support::fake_smtp::{
    FakeSmtpServer,
    behaviour::{Behaviour, Stage},
};

use super::{assert_sends, client, email, health, mail_servers, permanent};
use crate::smtp::{Email, SendOutcome, config::SmtpConfig, pool::SmtpPool};

fn muted(to: &str) -> Email {
    Email { bytes: vec![], is_muted: true, ..email(to) }
}

#[tokio::test]
async fn muted_email_sends_envelope_and_keeps_connection() {
    for mail_server in mail_servers().await {
        let mut client = client(&mail_server);
        assert_sends(&mut client, "ann@example.org").await;
        assert_eq!(client.send(&muted("bob@example.org")).await, SendOutcome::Accepted);
        assert_sends(&mut client, "ann@example.org").await;
        assert_eq!(
            (mail_server.attempts("bob@example.org").len(), mail_server.mails_to("bob@example.org").len()),
            (1, 0)
        );
        assert_eq!((mail_server.count(), mail_server.connections()), (2, 1));
    }
}

#[tokio::test]
async fn rejected_recipient_is_rejected_for_muted_email() {
    for mail_server in mail_servers().await {
        mail_server.script("bob@example.org", [Behaviour::Reply { at: Stage::Rcpt, code: 550 }]);
        let mut client = client(&mail_server);
        assert_eq!(client.send(&muted("bob@example.org")).await, permanent("RCPT: 550 5.7.0"));
        assert!(client.idle.is_none());
        mail_server.script("bob@example.org", [Behaviour::Reply { at: Stage::Rcpt, code: 451 }]);
        assert!(matches!(client.send(&muted("bob@example.org")).await, SendOutcome::TransientFailure(_)));
    }
}

#[tokio::test]
async fn muted_email_takes_as_long_as_last_accepted() {
    const SLOW: Duration = Duration::from_millis(300);
    let mail_server = FakeSmtpServer::start().await;
    let pool = SmtpPool::new(Arc::new(SmtpConfig::parse(&mail_server.url()).unwrap()), 1, health());
    mail_server.script("ann@example.org", [Behaviour::Slow(Stage::Dot, SLOW)]);
    let mut connection = pool.acquire().await.unwrap();
    assert_eq!(connection.send(&email("ann@example.org")).await, SendOutcome::Accepted);
    for _ in 0..2 {
        let started = Instant::now();
        assert_eq!(connection.send(&muted("bob@example.org")).await, SendOutcome::Accepted);
        assert!(started.elapsed() >= SLOW, "{:?}", started.elapsed());
    }
}
