//! What a connection that is kept from one email to the next may do.

use support::fake_smtp::{
    FakeSmtpServer,
    behaviour::{Behaviour, Stage},
    settings::{Protection, Settings},
};

use super::{email, later, mail_servers, patient, sends};
use crate::smtp::{LONGEST_IDLE, SendOutcome};

#[tokio::test]
async fn all_letters_of_a_slot_go_over_one_connection() {
    for mail_server in mail_servers().await {
        let mut slot = patient(&mail_server);
        for _ in 0..5 {
            sends(&mut slot, "ann@example.org").await;
        }
        assert_eq!((mail_server.count(), mail_server.connections()), (5, 1));
    }
}

#[tokio::test]
async fn a_letter_arrives_as_it_was_sent_dots_and_all() {
    let mail_server = FakeSmtpServer::start().await;
    sends(&mut patient(&mail_server), "ann@example.org").await;
    let mail = mail_server.mail_to("ann@example.org").await;
    assert_eq!((mail.from.as_str(), mail.to.as_str()), ("no-reply@example.com", "ann@example.org"));
    assert!(mail.raw.ends_with("\r\n\r\nfirst\r\n.second\r\n..third\r\n\r\n"), "{:?}", mail.raw);
}

#[tokio::test]
async fn a_connection_the_server_closed_while_idle_costs_nothing() {
    let protections = [Protection::Plain, Protection::StartTls, Protection::Implicit];
    for (protection, pipelining) in protections.into_iter().flat_map(|way| [(way, true), (way, false)]) {
        let mail_server = FakeSmtpServer::start_with(Settings { protection, pipelining, ..Settings::default() }).await;
        for goodbye in [Behaviour::AcceptThenCut, Behaviour::AcceptThen421, Behaviour::Twice(Stage::Dot)] {
            let (mails, connections) = (mail_server.count(), mail_server.connections());
            let mut slot = patient(&mail_server);
            mail_server.script("ann@example.org", [goodbye]);
            sends(&mut slot, "ann@example.org").await;
            sends(&mut slot, "bob@example.org").await;
            let found = (mail_server.count(), mail_server.connections());
            assert_eq!(found, (mails + 2, connections + 2), "{goodbye:?}, {protection:?}");
        }
        assert_eq!(mail_server.mails_to("bob@example.org").len(), 3);
    }
}

#[tokio::test]
async fn a_kept_connection_that_fails_before_the_dot_is_replaced_at_once() {
    let closing = |at| Behaviour::Reply { at, code: 421 };
    let faults = [closing(Stage::Rcpt), closing(Stage::Data), Behaviour::Cut(Stage::Rcpt), Behaviour::Cut(Stage::Data)];
    for mail_server in mail_servers().await {
        for fault in faults {
            is_replaced(&mail_server, fault).await;
        }
        assert_eq!(
            (mail_server.mails_to("ann@example.org").len(), mail_server.attempts("ann@example.org").len()),
            (4, 8)
        );
    }
    is_replaced(&FakeSmtpServer::without_pipelining().await, Behaviour::Twice(Stage::Rcpt)).await;
}

async fn is_replaced(mail_server: &FakeSmtpServer, fault: Behaviour) {
    let connections = mail_server.connections();
    let mut slot = patient(mail_server);
    sends(&mut slot, "bob@example.org").await;
    mail_server.script("ann@example.org", [fault]);
    sends(&mut slot, "ann@example.org").await;
    assert_eq!(mail_server.connections(), connections + 2, "{fault:?}");
}

#[tokio::test]
async fn there_is_one_second_try_and_no_third() {
    let mail_server = FakeSmtpServer::start().await;
    let mut slot = patient(&mail_server);
    sends(&mut slot, "bob@example.org").await;
    mail_server.script("ann@example.org", [Behaviour::Reply { at: Stage::Rcpt, code: 421 }; 3]);
    assert_eq!(slot.send(&email("ann@example.org")).await, later("RCPT: 421 4.7.0"));
    assert_eq!(mail_server.attempts("ann@example.org").len(), 2);
}

#[tokio::test]
async fn after_the_dot_nothing_is_sent_again() {
    let [mail_server, step_by_step] = mail_servers().await;
    let faults = [Behaviour::Cut(Stage::Dot), Behaviour::Reply { at: Stage::Dot, code: 421 }];
    for (mail_server, fault) in faults.into_iter().flat_map(|fault| [(&mail_server, fault), (&step_by_step, fault)]) {
        let attempts = mail_server.attempts("ann@example.org").len();
        let mut slot = patient(mail_server);
        sends(&mut slot, "bob@example.org").await;
        mail_server.script("ann@example.org", [fault]);
        assert!(matches!(slot.send(&email("ann@example.org")).await, SendOutcome::RetryLater(_)));
        assert_eq!(mail_server.attempts("ann@example.org").len(), attempts + 1, "{fault:?}");
    }
}

#[tokio::test]
async fn a_refusal_on_a_kept_connection_is_not_tried_again() {
    let mail_server = FakeSmtpServer::start().await;
    let mut slot = patient(&mail_server);
    sends(&mut slot, "bob@example.org").await;
    mail_server.script("ann@example.org", [Behaviour::Reply { at: Stage::Rcpt, code: 451 }]);
    assert_eq!(slot.send(&email("ann@example.org")).await, later("RCPT: 451 4.7.0"));
    assert_eq!(mail_server.attempts("ann@example.org").len(), 1);
}

#[tokio::test]
async fn a_connection_that_idled_too_long_is_not_tried() {
    let mail_server = FakeSmtpServer::start().await;
    let mut slot = patient(&mail_server);
    sends(&mut slot, "ann@example.org").await;
    slot.kept.as_mut().unwrap().since -= LONGEST_IDLE;
    sends(&mut slot, "ann@example.org").await;
    assert_eq!(mail_server.connections(), 2);
}

#[tokio::test]
async fn closing_says_goodbye_once_and_a_closed_slot_can_send_again() {
    let mail_server = FakeSmtpServer::start().await;
    let mut slot = patient(&mail_server);
    slot.close().await;
    sends(&mut slot, "ann@example.org").await;
    slot.close().await;
    slot.close().await;
    assert_eq!(mail_server.goodbyes(), 1);
    sends(&mut slot, "ann@example.org").await;
}
