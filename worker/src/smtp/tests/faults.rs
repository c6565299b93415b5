//! Every fault at every step: the outcome for the email, and that the next email is not affected.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::time::Instant;

use support::fake_smtp::{
    FakeSmtpServer,
    behaviour::{Behaviour, Stage},
};

use super::{assert_sends, client, client_with_short_timeouts, email, mail_servers, permanent, send_into, transient};
use crate::smtp::{SendOutcome, client::SmtpClient, config::SmtpConfig};

/// The steps of a delivery, with their names in failure reasons.
const STEPS: [(Stage, &str); 6] = [
    (Stage::Greeting, "EHLO"),
    (Stage::Ehlo, "EHLO"),
    (Stage::Mail, "MAIL"),
    (Stage::Rcpt, "RCPT"),
    (Stage::Data, "DATA"),
    (Stage::Dot, "end of data"),
];

/// Sends one email into a fault, then another one that must be accepted.
async fn send_into_fault_and_recover(mail_server: FakeSmtpServer, fault: Behaviour) -> SendOutcome {
    let sent = send_into(&mail_server, fault).await;
    assert_sends(&mut client(&mail_server), "bob@example.org").await;
    sent
}

/// Runs the fault at all these steps concurrently, each on its own mail servers with and without PIPELINING. Returns
/// the outcomes with the names of the steps.
async fn outcomes_at(
    steps: &[(Stage, &'static str)],
    fault: impl Fn(Stage) -> Behaviour,
) -> Vec<(SendOutcome, &'static str)> {
    let running = steps.iter().map(|(at, name)| {
        let fault = fault(*at);
        async move {
            mail_servers()
                .await
                .map(|mail_server| async move { (send_into_fault_and_recover(mail_server, fault).await, *name) })
        }
    });
    join_all(join_all(running).await.into_iter().flatten()).await
}

#[tokio::test]
async fn transient_rejection_at_any_step_is_transient() {
    for (sent, name) in outcomes_at(&STEPS, |at| Behaviour::Reply { at, code: 451 }).await {
        assert_eq!(sent, transient(&format!("{name}: 451 4.7.0")));
    }
}

#[tokio::test]
async fn permanent_rejection_of_the_email_is_permanent() {
    for (sent, name) in outcomes_at(&STEPS[2..], |at| Behaviour::Reply { at, code: 550 }).await {
        assert_eq!(sent, permanent(&format!("{name}: 550 5.7.0")));
    }
}

#[tokio::test]
async fn permanent_rejection_of_the_worker_is_transient() {
    for (sent, name) in outcomes_at(&STEPS[..2], |at| Behaviour::Reply { at, code: 554 }).await {
        assert_eq!(sent, transient(&format!("{name}: 554 5.7.0")));
    }
    for (sent, _) in outcomes_at(&[STEPS[2]], |at| Behaviour::Reply { at, code: 530 }).await {
        assert_eq!(sent, transient("MAIL: 530 5.7.0"));
    }
}

#[tokio::test]
async fn silence_at_any_step_is_a_transient_timeout() {
    let started = Instant::now();
    for (sent, name) in outcomes_at(&STEPS, Behaviour::Silence).await {
        assert_eq!(sent, transient(&format!("{name}: no answer in time")));
    }
    assert!(started.elapsed() < Duration::from_secs(8), "it took {:?}", started.elapsed());
}

#[tokio::test]
async fn lost_connection_at_any_step_is_transient() {
    for (sent, name) in outcomes_at(&STEPS, Behaviour::Cut).await {
        assert!(matches!(&sent, SendOutcome::TransientFailure(reason) if reason.starts_with(name)), "{name}: {sent:?}");
    }
}

#[tokio::test]
async fn slow_drip_of_bytes_times_out() {
    let drip = |at| Behaviour::Drip(at, Duration::from_millis(200));
    for (sent, name) in outcomes_at(&STEPS[..5], drip).await {
        assert_eq!(sent, transient(&format!("{name}: no answer in time")));
    }
}

#[tokio::test]
async fn endless_reply_is_aborted() {
    for endless in [Behaviour::Endless, Behaviour::EndlessLines] {
        for (sent, name) in outcomes_at(&STEPS, endless).await {
            assert_eq!(sent, transient(&format!("{name}: invalid data")));
        }
    }
}

#[tokio::test]
async fn intermediate_reply_does_not_complete_a_step() {
    for (sent, name) in outcomes_at(&[STEPS[2], STEPS[3], STEPS[5]], |at| Behaviour::Reply { at, code: 354 }).await {
        assert_eq!(sent, transient(&format!("{name}: 354")));
    }
    for (sent, _) in outcomes_at(&[STEPS[4]], |at| Behaviour::Reply { at, code: 250 }).await {
        assert_eq!(sent, transient("DATA: 250"));
    }
}

#[tokio::test]
async fn replies_unknown_to_lettre_are_understood() {
    for mail_server in mail_servers().await {
        assert_unusual_replies_are_understood(&mail_server).await;
    }
}

async fn assert_unusual_replies_are_understood(mail_server: &FakeSmtpServer) {
    let mut client = client(mail_server);
    for (at, bytes) in [
        (Stage::Greeting, b"220\r\n".as_slice()),
        (Stage::Mail, b"250-\r\n250\r\n"),
        (Stage::Rcpt, b"251 b\xfccher\r\n"),
        (Stage::Data, b"354\r\n"),
        (Stage::Dot, b"250\n"),
    ] {
        mail_server.next_connection(Behaviour::Raw { at, bytes });
        client.close().await;
        assert_sends(&mut client, "ann@example.org").await;
    }
    mail_server.script("ann@example.org", [Behaviour::Raw { at: Stage::Rcpt, bytes: b"571 5.7.1 unerw\xfcnscht\r\n" }]);
    assert_eq!(client.send(&email("ann@example.org")).await, permanent("RCPT: 550 5.7.1"));
}

#[tokio::test]
async fn malformed_reply_is_transient() {
    for bytes in [b"\r\n".as_slice(), b"hello\r\n", b"\0\xff\r\n", b"650 ok\r\n", b"451-a\r\n250 b\r\n"] {
        for (sent, name) in outcomes_at(&STEPS, |at| Behaviour::Raw { at, bytes }).await {
            assert_eq!(sent, transient(&format!("{name}: invalid data")), "{bytes:?}");
        }
    }
}

#[tokio::test]
async fn surplus_reply_is_never_matched_to_next_command() {
    for (sent, name) in outcomes_at(&STEPS[..5], Behaviour::Twice).await {
        // Among several expected replies the surplus one cannot be identified, but it is detected before the end of
        // data.
        let is_detected = |reason: &str| reason.ends_with("connection aborted") || reason == "DATA: 250";
        assert!(matches!(&sent, SendOutcome::TransientFailure(reason) if is_detected(reason)), "{name}: {sent:?}");
    }
}

#[tokio::test]
async fn late_250_is_not_matched_to_next_email() {
    let mail_server = FakeSmtpServer::start().await;
    let mut config = SmtpConfig::parse(&mail_server.url()).unwrap();
    config.timeouts.end_of_data = Duration::from_secs(1);
    let mut client = SmtpClient::new(Arc::new(config));
    // If the next delivery read the late 250, every reply would be shifted by one, and 354 would seem to be the reply
    // to its end of data.
    mail_server.script("ann@example.org", [Behaviour::Slow(Stage::Dot, Duration::from_millis(1500))]);
    mail_server.script("bob@example.org", [Behaviour::Reply { at: Stage::Dot, code: 451 }]);
    assert_eq!(client.send(&email("ann@example.org")).await, transient("end of data: no answer in time"));
    assert_eq!(client.send(&email("bob@example.org")).await, transient("end of data: 451 4.7.0"));
    mail_server.mail_to("ann@example.org").await;
    assert!(mail_server.mails_to("bob@example.org").is_empty());
}

#[tokio::test]
async fn dropped_delivery_closes_its_connection() {
    let mail_server = FakeSmtpServer::start().await;
    let mut client = client(&mail_server);
    assert_sends(&mut client, "bob@example.org").await;
    let to_ann = email("ann@example.org");
    for at in [Stage::Rcpt, Stage::Data, Stage::Dot] {
        mail_server.script("ann@example.org", [Behaviour::Silence(at)]);
        tokio::select! {
            sent = client.send(&to_ann) => panic!("{sent:?}"),
            _ = mail_server.nth_attempt("ann@example.org", mail_server.attempts("ann@example.org").len() + 1) => {}
        }
        assert!(client.idle.is_none(), "connection kept after {at:?}");
        assert_sends(&mut client, "bob@example.org").await;
    }
}

#[tokio::test]
async fn refused_connection_is_transient() {
    let mail_server = FakeSmtpServer::start().await;
    let mut client = client_with_short_timeouts(&mail_server);
    drop(mail_server);
    match client.send(&email("ann@example.org")).await {
        SendOutcome::TransientFailure(reason) => assert!(reason.contains("connect"), "{reason}"),
        other => panic!("{other:?}"),
    }
}
