//! What SMTP_URL asks for on the way to the server: TLS, a certificate, a login.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;

use support::fake_smtp::{
    FakeSmtpServer,
    behaviour::{Behaviour, Stage},
    settings::{Protection, Settings},
};

use super::{email, later, patient, send_into, sends};
use crate::smtp::{SendOutcome, Slot, server::Server};

const LOGIN: (&str, &str) = ("worker@example.com", "p@ss:w/rd?#%");

async fn mail_server(protection: Protection) -> FakeSmtpServer {
    FakeSmtpServer::start_with(Settings { protection, ..Settings::default() }).await
}

fn slot(url: &str) -> Slot {
    Slot::new(Arc::new(Server::parse(url).unwrap()))
}

#[tokio::test]
async fn mail_goes_over_starttls_and_over_implicit_tls() {
    for protection in [Protection::StartTls, Protection::Implicit] {
        let mail_server = mail_server(protection).await;
        let mut slot = patient(&mail_server);
        sends(&mut slot, "ann@example.org").await;
        sends(&mut slot, "ann@example.org").await;
        slot.close().await;
        assert_eq!(
            (mail_server.count(), mail_server.connections(), mail_server.goodbyes()),
            (2, 1, 1),
            "{protection:?}"
        );
    }
}

#[tokio::test]
async fn a_certificate_of_an_unknown_authority_is_not_trusted() {
    let mail_server = mail_server(Protection::Implicit).await;
    let mut slot = slot(&format!("smtps://127.0.0.1:{}", mail_server.port()));
    assert_eq!(slot.send(&email("ann@example.org")).await, later("TLS: certificate not trusted"));
    assert_eq!(mail_server.count(), 0);
}

#[tokio::test]
async fn a_certificate_for_another_host_is_not_trusted() {
    for protection in [Protection::StartTls, Protection::Implicit] {
        let settings = Settings { protection, certificate_for: "mail.example.com", ..Settings::default() };
        let mail_server = FakeSmtpServer::start_with(settings).await;
        assert_eq!(patient(&mail_server).send(&email("ann@example.org")).await, later("TLS: certificate not trusted"));
        assert_eq!(mail_server.count(), 0);
    }
}

#[tokio::test]
async fn required_tls_that_is_not_offered_sends_nothing() {
    let mail_server = mail_server(Protection::Plain).await;
    let mut slot = slot(&format!("smtp://user:secret@127.0.0.1:{}?tls=required", mail_server.port()));
    assert_eq!(slot.send(&email("ann@example.org")).await, later("STARTTLS: not offered by the server"));
    assert_eq!((mail_server.count(), mail_server.logins().len()), (0, 0));
}

#[tokio::test]
async fn every_fault_on_the_way_into_tls_means_later() {
    let mut faults = vec![Behaviour::Silence(Stage::Tls), Behaviour::Cut(Stage::Tls)];
    for at in [Stage::Greeting, Stage::Ehlo, Stage::StartTls] {
        faults.extend([
            Behaviour::Reply { at, code: 354 },
            Behaviour::Reply { at, code: 454 },
            Behaviour::Reply { at, code: 554 },
            Behaviour::Silence(at),
            Behaviour::Cut(at),
            Behaviour::Drip(at, Duration::from_millis(200)),
            Behaviour::Endless(at),
            Behaviour::EndlessLines(at),
        ]);
    }
    let running = faults.into_iter().map(|fault| async move {
        let mail_server = mail_server(Protection::StartTls).await;
        let sent = send_into(&mail_server, fault).await;
        sends(&mut patient(&mail_server), "bob@example.org").await;
        (fault, sent)
    });
    for (fault, sent) in join_all(running).await {
        let name = match fault.stage() {
            Stage::StartTls => "STARTTLS: ",
            Stage::Tls => "TLS: ",
            _ => "EHLO: ",
        };
        assert!(matches!(&sent, SendOutcome::RetryLater(why) if why.starts_with(name)), "{fault:?}: {sent:?}");
    }
}

#[tokio::test]
async fn words_slipped_in_before_the_handshake_are_not_believed() {
    let mail_server = mail_server(Protection::StartTls).await;
    let sent = send_into(&mail_server, Behaviour::Twice(Stage::StartTls)).await;
    assert_eq!(sent, later("STARTTLS: connection aborted"));
}

/// Found by the fuzzer: the first line spoke for all of them.
#[tokio::test]
async fn a_reply_of_two_minds_is_not_an_agreement() {
    for (at, bytes) in [
        (Stage::Ehlo, b"250-here\r\n550 STARTTLS\r\n".as_slice()),
        (Stage::StartTls, b"220-go on\r\n554 or rather not\r\n"),
    ] {
        let mail_server = mail_server(Protection::StartTls).await;
        let sent = send_into(&mail_server, Behaviour::Raw { at, bytes }).await;
        assert!(matches!(&sent, SendOutcome::RetryLater(why) if why.ends_with("invalid data")), "{at:?}: {sent:?}");
    }
}

#[tokio::test]
async fn a_login_is_given_as_it_was_before_percent_encoding() {
    for (mechanisms, protection) in
        [("PLAIN LOGIN", Protection::Plain), ("LOGIN", Protection::Plain), ("PLAIN", Protection::StartTls)]
    {
        let settings = Settings { login: Some(LOGIN), mechanisms, protection, ..Settings::default() };
        let mail_server = FakeSmtpServer::start_with(settings).await;
        sends(&mut patient(&mail_server), "ann@example.org").await;
        assert_eq!(mail_server.logins(), [(LOGIN.0.to_owned(), LOGIN.1.to_owned())]);
    }
}

#[tokio::test]
async fn a_login_that_fails_is_our_fault_and_means_later() {
    let mail_server = FakeSmtpServer::start_with(Settings { login: Some(LOGIN), ..Settings::default() }).await;
    let url = format!("smtp://user:wrong@127.0.0.1:{}", mail_server.port());
    assert_eq!(slot(&url).send(&email("ann@example.org")).await, later("AUTH: 535 5.7.8"));
    let url = format!("smtp://127.0.0.1:{}", mail_server.port());
    assert_eq!(slot(&url).send(&email("ann@example.org")).await, later("MAIL: 530 5.7.0"));
    let at = Stage::Auth;
    for fault in [
        Behaviour::Reply { at, code: 354 },
        Behaviour::Reply { at, code: 454 },
        Behaviour::Silence(at),
        Behaviour::Cut(at),
    ] {
        let sent = send_into(&mail_server, fault).await;
        assert!(matches!(&sent, SendOutcome::RetryLater(why) if why.starts_with("AUTH: ")), "{fault:?}: {sent:?}");
    }
    assert_eq!(send_into(&mail_server, Behaviour::Twice(at)).await, later("MAIL: connection aborted"));
}

#[tokio::test]
async fn a_server_without_login_is_not_told_the_password() {
    let mail_server = mail_server(Protection::Plain).await;
    let url = format!("smtp://user:secret@127.0.0.1:{}", mail_server.port());
    assert_eq!(slot(&url).send(&email("ann@example.org")).await, later("AUTH: not offered by the server"));
}
