//! Every fault at every step: what is said of the email, and that the next one is none the worse.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::time::Instant;

use support::fake_smtp::{
    FakeSmtpServer,
    behaviour::{Behaviour, Stage},
};

use super::{email, hasty, later, mail_servers, never, patient, send_into, sends};
use crate::smtp::{SendOutcome, Slot, server::Server};

/// The steps of a delivery, with their names in our sentences.
const STEPS: [(Stage, &str); 6] = [
    (Stage::Greeting, "EHLO"),
    (Stage::Ehlo, "EHLO"),
    (Stage::Mail, "MAIL"),
    (Stage::Rcpt, "RCPT"),
    (Stage::Data, "DATA"),
    (Stage::Dot, "end of data"),
];

/// Sends one email into a fault and another one after it.
async fn through(mail_server: FakeSmtpServer, fault: Behaviour) -> SendOutcome {
    let sent = send_into(&mail_server, fault).await;
    sends(&mut patient(&mail_server), "bob@example.org").await;
    sent
}

/// Runs the fault at all these steps at the same time, each on mail_servers of its own of both kinds, and gives what was said
/// with the name of the step.
async fn at_each(
    steps: &[(Stage, &'static str)],
    fault: impl Fn(Stage) -> Behaviour,
) -> Vec<(SendOutcome, &'static str)> {
    let running = steps.iter().map(|(at, name)| {
        let fault = fault(*at);
        async move { mail_servers().await.map(|mail_server| async move { (through(mail_server, fault).await, *name) }) }
    });
    join_all(join_all(running).await.into_iter().flatten()).await
}

#[tokio::test]
async fn a_temporary_refusal_at_any_step_means_later() {
    for (sent, name) in at_each(&STEPS, |at| Behaviour::Reply { at, code: 451 }).await {
        assert_eq!(sent, later(&format!("{name}: 451 4.7.0")));
    }
}

#[tokio::test]
async fn a_final_refusal_of_the_mail_means_never() {
    for (sent, name) in at_each(&STEPS[2..], |at| Behaviour::Reply { at, code: 550 }).await {
        assert_eq!(sent, never(&format!("{name}: 550 5.7.0")));
    }
}

#[tokio::test]
async fn a_final_refusal_of_us_is_not_one_of_the_mail() {
    for (sent, name) in at_each(&STEPS[..2], |at| Behaviour::Reply { at, code: 554 }).await {
        assert_eq!(sent, later(&format!("{name}: 554 5.7.0")));
    }
    for (sent, _) in at_each(&[STEPS[2]], |at| Behaviour::Reply { at, code: 530 }).await {
        assert_eq!(sent, later("MAIL: 530 5.7.0"));
    }
}

#[tokio::test]
async fn silence_at_any_step_means_later_and_ends_in_time() {
    let begun = Instant::now();
    for (sent, name) in at_each(&STEPS, Behaviour::Silence).await {
        assert_eq!(sent, later(&format!("{name}: no answer in time")));
    }
    assert!(begun.elapsed() < Duration::from_secs(8), "it took {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_cut_at_any_step_means_later() {
    for (sent, name) in at_each(&STEPS, Behaviour::Cut).await {
        assert!(matches!(&sent, SendOutcome::RetryLater(why) if why.starts_with(name)), "{name}: {sent:?}");
    }
}

#[tokio::test]
async fn one_byte_after_the_other_is_not_an_answer_in_time() {
    let drip = |at| Behaviour::Drip(at, Duration::from_millis(200));
    for (sent, name) in at_each(&STEPS[..5], drip).await {
        assert_eq!(sent, later(&format!("{name}: no answer in time")));
    }
}

#[tokio::test]
async fn an_endless_reply_is_not_listened_to() {
    for babble in [Behaviour::Endless, Behaviour::EndlessLines] {
        for (sent, name) in at_each(&STEPS, babble).await {
            assert_eq!(sent, later(&format!("{name}: invalid data")));
        }
    }
}

#[tokio::test]
async fn go_on_is_not_a_yes() {
    for (sent, name) in at_each(&[STEPS[2], STEPS[3], STEPS[5]], |at| Behaviour::Reply { at, code: 354 }).await {
        assert_eq!(sent, later(&format!("{name}: 354")));
    }
    for (sent, _) in at_each(&[STEPS[4]], |at| Behaviour::Reply { at, code: 250 }).await {
        assert_eq!(sent, later("DATA: 250"));
    }
}

#[tokio::test]
async fn replies_that_lettre_does_not_know_are_understood() {
    for mail_server in mail_servers().await {
        understands_replies_that_lettre_does_not_know(&mail_server).await;
    }
}

async fn understands_replies_that_lettre_does_not_know(mail_server: &FakeSmtpServer) {
    let mut slot = patient(mail_server);
    for (at, bytes) in [
        (Stage::Greeting, b"220\r\n".as_slice()),
        (Stage::Mail, b"250-\r\n250\r\n"),
        (Stage::Rcpt, b"251 b\xfccher\r\n"),
        (Stage::Data, b"354\r\n"),
        (Stage::Dot, b"250\n"),
    ] {
        mail_server.next_connection(Behaviour::Raw { at, bytes });
        slot.close().await;
        sends(&mut slot, "ann@example.org").await;
    }
    mail_server.script("ann@example.org", [Behaviour::Raw { at: Stage::Rcpt, bytes: b"571 5.7.1 unerw\xfcnscht\r\n" }]);
    assert_eq!(slot.send(&email("ann@example.org")).await, never("RCPT: 550 5.7.1"));
}

#[tokio::test]
async fn garbage_is_no_reply() {
    for bytes in [b"\r\n".as_slice(), b"hello\r\n", b"\0\xff\r\n", b"650 ok\r\n", b"451-a\r\n250 b\r\n"] {
        for (sent, name) in at_each(&STEPS, |at| Behaviour::Raw { at, bytes }).await {
            assert_eq!(sent, later(&format!("{name}: invalid data")), "{bytes:?}");
        }
    }
}

#[tokio::test]
async fn a_second_reply_is_never_taken_for_the_next_ones() {
    for (sent, name) in at_each(&STEPS[..5], Behaviour::Twice).await {
        // Of several replies that are due nobody can tell which is the one too many; but it is seen before the dot.
        let is_seen = |why: &str| why.ends_with("connection aborted") || why == "DATA: 250";
        assert!(matches!(&sent, SendOutcome::RetryLater(why) if is_seen(why)), "{name}: {sent:?}");
    }
}

#[tokio::test]
async fn a_late_250_is_not_taken_for_the_next_mails() {
    let mail_server = FakeSmtpServer::start().await;
    let mut server = Server::parse(&mail_server.url()).unwrap();
    server.timeouts.dot = Duration::from_secs(1);
    let mut slot = Slot::new(Arc::new(server));
    // Read by the next delivery, the late 250 would move every reply by one, and 354 would seem to
    // be the answer to its dot.
    mail_server.script("ann@example.org", [Behaviour::Slow(Stage::Dot, Duration::from_millis(1500))]);
    mail_server.script("bob@example.org", [Behaviour::Reply { at: Stage::Dot, code: 451 }]);
    assert_eq!(slot.send(&email("ann@example.org")).await, later("end of data: no answer in time"));
    assert_eq!(slot.send(&email("bob@example.org")).await, later("end of data: 451 4.7.0"));
    mail_server.mail_to("ann@example.org").await;
    assert!(mail_server.mails_to("bob@example.org").is_empty());
}

#[tokio::test]
async fn a_delivery_dropped_in_the_middle_leaves_no_connection_behind() {
    let mail_server = FakeSmtpServer::start().await;
    let mut slot = patient(&mail_server);
    sends(&mut slot, "bob@example.org").await;
    let to_ann = email("ann@example.org");
    for at in [Stage::Rcpt, Stage::Data, Stage::Dot] {
        mail_server.script("ann@example.org", [Behaviour::Silence(at)]);
        tokio::select! {
            sent = slot.send(&to_ann) => panic!("{sent:?}"),
            _ = mail_server.nth_attempt("ann@example.org", mail_server.attempts("ann@example.org").len() + 1) => {}
        }
        assert!(slot.kept.is_none(), "kept after {at:?}");
        sends(&mut slot, "bob@example.org").await;
    }
}

#[tokio::test]
async fn nobody_at_home_means_later() {
    let mail_server = FakeSmtpServer::start().await;
    let mut slot = hasty(&mail_server);
    drop(mail_server);
    match slot.send(&email("ann@example.org")).await {
        SendOutcome::RetryLater(why) => assert!(why.contains("connect"), "{why}"),
        other => panic!("{other:?}"),
    }
}
