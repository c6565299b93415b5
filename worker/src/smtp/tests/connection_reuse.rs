//! Reuse of a connection for the next email, and replacement of one that broke while it was idle.

use support::fake_smtp::{
    FakeSmtpServer,
    behaviour::{Behaviour, Stage},
    settings::{FakeSmtpSettings, Protection},
};

use super::{assert_sends, client, email, mail_servers, transient};
use crate::smtp::{SendOutcome, client::MAX_IDLE};

#[tokio::test]
async fn consecutive_emails_reuse_one_connection() {
    for mail_server in mail_servers().await {
        let mut client = client(&mail_server);
        for _ in 0..5 {
            assert_sends(&mut client, "ann@example.org").await;
        }
        assert_eq!((mail_server.count(), mail_server.connections()), (5, 1));
    }
}

#[tokio::test]
async fn email_with_leading_dots_arrives_unchanged() {
    let mail_server = FakeSmtpServer::start().await;
    assert_sends(&mut client(&mail_server), "ann@example.org").await;
    let mail = mail_server.mail_to("ann@example.org").await;
    assert_eq!((mail.from.as_str(), mail.to.as_str()), ("no-reply@example.com", "ann@example.org"));
    assert!(mail.raw.ends_with("\r\n\r\nfirst\r\n.second\r\n..third\r\n\r\n"), "{:?}", mail.raw);
}

#[tokio::test]
async fn connection_closed_while_idle_is_replaced() {
    let protections = [Protection::Plain, Protection::StartTls, Protection::Implicit];
    for (protection, pipelining) in
        protections.into_iter().flat_map(|protection| [(protection, true), (protection, false)])
    {
        let mail_server =
            FakeSmtpServer::start_with(FakeSmtpSettings { protection, pipelining, ..FakeSmtpSettings::default() })
                .await;
        for fault in [Behaviour::AcceptThenCut, Behaviour::AcceptThen421, Behaviour::Twice(Stage::Dot)] {
            let (mails, connections) = (mail_server.count(), mail_server.connections());
            let mut client = client(&mail_server);
            mail_server.script("ann@example.org", [fault]);
            assert_sends(&mut client, "ann@example.org").await;
            assert_sends(&mut client, "bob@example.org").await;
            let found = (mail_server.count(), mail_server.connections());
            assert_eq!(found, (mails + 2, connections + 2), "{fault:?}, {protection:?}");
        }
        assert_eq!(mail_server.mails_to("bob@example.org").len(), 3);
    }
}

#[tokio::test]
async fn reused_connection_failing_before_end_of_data_is_replaced() {
    let closing = |at| Behaviour::Reply { at, code: 421 };
    let faults = [closing(Stage::Rcpt), closing(Stage::Data), Behaviour::Cut(Stage::Rcpt), Behaviour::Cut(Stage::Data)];
    for mail_server in mail_servers().await {
        for fault in faults {
            assert_replaced(&mail_server, fault).await;
        }
        assert_eq!(
            (mail_server.mails_to("ann@example.org").len(), mail_server.attempts("ann@example.org").len()),
            (4, 8)
        );
    }
    assert_replaced(&FakeSmtpServer::without_pipelining().await, Behaviour::Twice(Stage::Rcpt)).await;
}

async fn assert_replaced(mail_server: &FakeSmtpServer, fault: Behaviour) {
    let connections = mail_server.connections();
    let mut client = client(mail_server);
    assert_sends(&mut client, "bob@example.org").await;
    mail_server.script("ann@example.org", [fault]);
    assert_sends(&mut client, "ann@example.org").await;
    assert_eq!(mail_server.connections(), connections + 2, "{fault:?}");
}

#[tokio::test]
async fn reconnect_is_tried_once_per_delivery() {
    let mail_server = FakeSmtpServer::start().await;
    let mut client = client(&mail_server);
    assert_sends(&mut client, "bob@example.org").await;
    mail_server.script("ann@example.org", [Behaviour::Reply { at: Stage::Rcpt, code: 421 }; 3]);
    assert_eq!(client.send(&email("ann@example.org")).await, transient("RCPT: 421 4.7.0"));
    assert_eq!(mail_server.attempts("ann@example.org").len(), 2);
}

#[tokio::test]
async fn failure_after_end_of_data_is_not_resent() {
    let [pipelining, without_pipelining] = mail_servers().await;
    let faults = [Behaviour::Cut(Stage::Dot), Behaviour::Reply { at: Stage::Dot, code: 421 }];
    for (mail_server, fault) in
        faults.into_iter().flat_map(|fault| [(&pipelining, fault), (&without_pipelining, fault)])
    {
        let attempts = mail_server.attempts("ann@example.org").len();
        let mut client = client(mail_server);
        assert_sends(&mut client, "bob@example.org").await;
        mail_server.script("ann@example.org", [fault]);
        assert!(matches!(client.send(&email("ann@example.org")).await, SendOutcome::TransientFailure(_)));
        assert_eq!(mail_server.attempts("ann@example.org").len(), attempts + 1, "{fault:?}");
    }
}

#[tokio::test]
async fn rejection_on_reused_connection_is_not_retried() {
    let mail_server = FakeSmtpServer::start().await;
    let mut client = client(&mail_server);
    assert_sends(&mut client, "bob@example.org").await;
    mail_server.script("ann@example.org", [Behaviour::Reply { at: Stage::Rcpt, code: 451 }]);
    assert_eq!(client.send(&email("ann@example.org")).await, transient("RCPT: 451 4.7.0"));
    assert_eq!(mail_server.attempts("ann@example.org").len(), 1);
}

#[tokio::test]
async fn connection_idle_for_too_long_is_not_reused() {
    let mail_server = FakeSmtpServer::start().await;
    let mut client = client(&mail_server);
    assert_sends(&mut client, "ann@example.org").await;
    client.idle.as_mut().unwrap().since -= MAX_IDLE;
    assert_sends(&mut client, "ann@example.org").await;
    assert_eq!(mail_server.connections(), 2);
}

#[tokio::test]
async fn closed_client_sends_quit_once_and_can_reconnect() {
    let mail_server = FakeSmtpServer::start().await;
    let mut client = client(&mail_server);
    client.close().await;
    assert_sends(&mut client, "ann@example.org").await;
    client.close().await;
    client.close().await;
    assert_eq!(mail_server.quits(), 1);
    assert_sends(&mut client, "ann@example.org").await;
}
