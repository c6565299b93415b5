//! STARTTLS, implicit TLS, certificates and AUTH, as required by `SMTP_URL`.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;

use support::fake_smtp::{
    FakeSmtpServer,
    behaviour::{Behaviour, Stage},
    settings::{FakeSmtpSettings, Protection},
};

use super::{assert_sends, client, email, send_into, transient};
use crate::smtp::{SendOutcome, client::SmtpClient, config::SmtpConfig};

const LOGIN: (&str, &str) = ("worker@example.com", "p@ss:w/rd?#%");

async fn mail_server(protection: Protection) -> FakeSmtpServer {
    FakeSmtpServer::start_with(FakeSmtpSettings { protection, ..FakeSmtpSettings::default() }).await
}

fn client_for(url: &str) -> SmtpClient {
    SmtpClient::new(Arc::new(SmtpConfig::parse(url).unwrap()))
}

#[tokio::test]
async fn email_is_sent_over_starttls_and_implicit_tls() {
    for protection in [Protection::StartTls, Protection::Implicit] {
        let mail_server = mail_server(protection).await;
        let mut client = client(&mail_server);
        assert_sends(&mut client, "ann@example.org").await;
        assert_sends(&mut client, "ann@example.org").await;
        client.close().await;
        assert_eq!((mail_server.count(), mail_server.connections(), mail_server.quits()), (2, 1, 1), "{protection:?}");
    }
}

#[tokio::test]
async fn certificate_of_unknown_authority_is_rejected() {
    let mail_server = mail_server(Protection::Implicit).await;
    let mut client = client_for(&format!("smtps://127.0.0.1:{}", mail_server.port()));
    assert_eq!(client.send(&email("ann@example.org")).await, transient("TLS: certificate not trusted"));
    assert_eq!(mail_server.count(), 0);
}

#[tokio::test]
async fn certificate_for_another_host_is_rejected() {
    for protection in [Protection::StartTls, Protection::Implicit] {
        let settings =
            FakeSmtpSettings { protection, certificate_for: "mail.example.com", ..FakeSmtpSettings::default() };
        let mail_server = FakeSmtpServer::start_with(settings).await;
        assert_eq!(
            client(&mail_server).send(&email("ann@example.org")).await,
            transient("TLS: certificate not trusted")
        );
        assert_eq!(mail_server.count(), 0);
    }
}

#[tokio::test]
async fn nothing_is_sent_without_required_starttls() {
    let mail_server = mail_server(Protection::Plain).await;
    let mut client = client_for(&format!("smtp://user:secret@127.0.0.1:{}?tls=required", mail_server.port()));
    assert_eq!(client.send(&email("ann@example.org")).await, transient("STARTTLS: not offered by the server"));
    assert_eq!((mail_server.count(), mail_server.logins().len()), (0, 0));
}

#[tokio::test]
async fn fault_before_or_during_tls_handshake_is_transient() {
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
        assert_sends(&mut client(&mail_server), "bob@example.org").await;
        (fault, sent)
    });
    for (fault, sent) in join_all(running).await {
        let name = match fault.stage() {
            Stage::StartTls => "STARTTLS: ",
            Stage::Tls => "TLS: ",
            _ => "EHLO: ",
        };
        assert!(
            matches!(&sent, SendOutcome::TransientFailure(reason) if reason.starts_with(name)),
            "{fault:?}: {sent:?}"
        );
    }
}

#[tokio::test]
async fn bytes_injected_before_the_handshake_are_rejected() {
    let mail_server = mail_server(Protection::StartTls).await;
    let sent = send_into(&mail_server, Behaviour::Twice(Stage::StartTls)).await;
    assert_eq!(sent, transient("STARTTLS: connection aborted"));
}

/// Found by the fuzzer: only the code of the first line was checked.
#[tokio::test]
async fn reply_with_differing_codes_is_rejected() {
    for (at, bytes) in [
        (Stage::Ehlo, b"250-here\r\n550 STARTTLS\r\n".as_slice()),
        (Stage::StartTls, b"220-go on\r\n554 or rather not\r\n"),
    ] {
        let mail_server = mail_server(Protection::StartTls).await;
        let sent = send_into(&mail_server, Behaviour::Raw { at, bytes }).await;
        assert!(
            matches!(&sent, SendOutcome::TransientFailure(reason) if reason.ends_with("invalid data")),
            "{at:?}: {sent:?}"
        );
    }
}

#[tokio::test]
async fn login_is_percent_decoded() {
    for (mechanisms, protection) in
        [("PLAIN LOGIN", Protection::Plain), ("LOGIN", Protection::Plain), ("PLAIN", Protection::StartTls)]
    {
        let settings = FakeSmtpSettings { login: Some(LOGIN), mechanisms, protection, ..FakeSmtpSettings::default() };
        let mail_server = FakeSmtpServer::start_with(settings).await;
        assert_sends(&mut client(&mail_server), "ann@example.org").await;
        assert_eq!(mail_server.logins(), [(LOGIN.0.to_owned(), LOGIN.1.to_owned())]);
    }
}

#[tokio::test]
async fn failed_login_is_transient() {
    let mail_server =
        FakeSmtpServer::start_with(FakeSmtpSettings { login: Some(LOGIN), ..FakeSmtpSettings::default() }).await;
    let url = format!("smtp://user:wrong@127.0.0.1:{}", mail_server.port());
    assert_eq!(client_for(&url).send(&email("ann@example.org")).await, transient("AUTH: 535 5.7.8"));
    let url = format!("smtp://127.0.0.1:{}", mail_server.port());
    assert_eq!(client_for(&url).send(&email("ann@example.org")).await, transient("MAIL: 530 5.7.0"));
    let at = Stage::Auth;
    for fault in [
        Behaviour::Reply { at, code: 354 },
        Behaviour::Reply { at, code: 454 },
        Behaviour::Silence(at),
        Behaviour::Cut(at),
    ] {
        let sent = send_into(&mail_server, fault).await;
        assert!(
            matches!(&sent, SendOutcome::TransientFailure(reason) if reason.starts_with("AUTH: ")),
            "{fault:?}: {sent:?}"
        );
    }
    assert_eq!(send_into(&mail_server, Behaviour::Twice(at)).await, transient("MAIL: connection aborted"));
}

#[tokio::test]
async fn password_is_not_sent_without_auth_capability() {
    let mail_server = mail_server(Protection::Plain).await;
    let url = format!("smtp://user:secret@127.0.0.1:{}", mail_server.port());
    assert_eq!(client_for(&url).send(&email("ann@example.org")).await, transient("AUTH: not offered by the server"));
}
