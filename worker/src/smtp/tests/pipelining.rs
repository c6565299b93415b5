//! Pipelining of MAIL, RCPT and DATA: when it is used, and how the replies are interpreted.

use std::sync::Arc;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use support::fake_smtp::{
    FakeSmtpServer,
    behaviour::{Behaviour, Stage},
    settings::{FakeSmtpSettings, Protection},
};

use super::{assert_sends, client, email, mail_servers, permanent, transient};
use crate::smtp::{SendOutcome, client::SmtpClient, config::SmtpConfig};

const PROTECTIONS: [Protection; 3] = [Protection::Plain, Protection::StartTls, Protection::Implicit];

#[tokio::test]
async fn pipelining_is_used_only_if_offered() {
    for (protection, pipelining) in
        PROTECTIONS.into_iter().flat_map(|protection| [(protection, true), (protection, false)])
    {
        let mail_server =
            FakeSmtpServer::start_with(FakeSmtpSettings { protection, pipelining, ..FakeSmtpSettings::default() })
                .await;
        let mut client = client(&mail_server);
        assert_sends(&mut client, "ann@example.org").await;
        assert_sends(&mut client, "ann@example.org").await;
        let found = (mail_server.count(), mail_server.connections(), mail_server.pipelined());
        assert_eq!(found, (2, 1, if pipelining { 2 } else { 0 }), "{protection:?}");
    }
}

/// An attacker on the network can inject plain-text replies before the handshake.
#[tokio::test]
async fn capabilities_before_tls_do_not_count() {
    let settings =
        FakeSmtpSettings { protection: Protection::StartTls, pipelining: false, ..FakeSmtpSettings::default() };
    let mail_server = FakeSmtpServer::start_with(settings).await;
    let bytes = b"250-mail\r\n250-PIPELINING\r\n250 STARTTLS\r\n";
    mail_server.next_connection(Behaviour::Raw { at: Stage::Ehlo, bytes });
    assert_sends(&mut client(&mail_server), "ann@example.org").await;
    assert_eq!((mail_server.count(), mail_server.pipelined()), (1, 0));
}

#[tokio::test]
async fn login_is_not_pipelined() {
    for pipelining in [true, false] {
        let settings = FakeSmtpSettings { login: Some(("ann", "secret")), pipelining, ..FakeSmtpSettings::default() };
        let mail_server = FakeSmtpServer::start_with(settings).await;
        assert_sends(&mut client(&mail_server), "ann@example.org").await;
        assert_eq!((mail_server.logins().len(), mail_server.pipelined()), (1, usize::from(pipelining)));
    }
}

/// A rejection closes the connection in both cases, and the next email is not affected.
#[tokio::test]
async fn outcome_does_not_depend_on_pipelining() {
    let [pipelining, without_pipelining] = mail_servers().await;
    for (at, code) in [(Stage::Rcpt, 550), (Stage::Rcpt, 451), (Stage::Data, 554), (Stage::Dot, 452)] {
        let mut sent = Vec::new();
        for mail_server in [&pipelining, &without_pipelining] {
            mail_server.script("ann@example.org", [Behaviour::Reply { at, code }]);
            let mut client = client(mail_server);
            sent.push(client.send(&email("ann@example.org")).await);
            assert!(client.idle.is_none(), "{at:?}");
            assert_sends(&mut client, "bob@example.org").await;
        }
        assert_eq!(sent[0], sent[1], "{at:?}");
    }
}

/// All replies arrive in one packet, as servers send them, in every combination.
#[tokio::test]
async fn first_rejection_decides_and_no_email_follows() {
    for (replies, expected) in [
        ("250 ok\r\n250-so\r\n250 ok\r\n354 go\r\n", SendOutcome::Accepted),
        ("250 ok\r\n550 5.1.1 no\r\n354 go\r\n", permanent("RCPT: 550 5.1.1")),
        ("250 ok\r\n550 5.1.1 no\r\n554 no\r\n", permanent("RCPT: 550 5.1.1")),
        ("250 ok\r\n451 later\r\n354 go\r\n", transient("RCPT: 451")),
        ("250 ok\r\n451 later\r\n503 what\r\n", transient("RCPT: 451")),
        ("451 later\r\n503 what\r\n503 what\r\n", transient("MAIL: 451")),
        ("550 no\r\n503 what\r\n503 what\r\n", permanent("MAIL: 550")),
        ("550 no\r\n250 ok\r\n354 go\r\n", permanent("MAIL: 550")),
        ("250 ok\r\n250 ok\r\n554 no\r\n", permanent("DATA: 554")),
        ("250 ok\r\n250 ok\r\n250 ok\r\n", transient("DATA: 250")),
        ("250 ok\r\n354 go\r\n354 go\r\n", transient("RCPT: 354")),
        ("250 ok\r\n250 ok\r\n354 go\r\n250 taken\r\n", transient("end of data: connection aborted")),
        ("250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n", transient("DATA: 250")),
        ("421 bye\r\n", transient("MAIL: 421")),
        ("250 ok\r\nhello\r\n354 go\r\n", transient("RCPT: invalid data")),
    ] {
        let (mut client, server) = server_replying(replies.to_owned()).await;
        assert_eq!(client.send(&email("ann@example.org")).await, expected, "{replies:?}");
        let was_accepted = expected == SendOutcome::Accepted;
        assert_eq!(client.idle.is_some(), was_accepted, "{replies:?}");
        drop(client);
        let received = server.await.unwrap();
        assert_eq!(!received.is_empty(), was_accepted, "{replies:?}: {received:?}");
    }
}

#[tokio::test]
async fn pipelined_replies_are_bounded_like_one() {
    let endless = format!("250 ok\r\n{}", "250-and another thing\r\n".repeat(1000));
    let (mut client, _server) = server_replying(endless).await;
    assert_eq!(client.send(&email("ann@example.org")).await, transient("RCPT: invalid data"));
}

/// A server that accepts one connection, answers pipelined commands with these bytes, and accepts an email if one is
/// sent. The task returns what it received after them, and the client is connected to it.
async fn server_replying(replies: String) -> (SmtpClient, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        tcp.write_all(b"220 here\r\n").await.unwrap();
        read_until(&mut tcp, "\r\n").await;
        tcp.write_all(b"250-here\r\n250 PIPELINING\r\n").await.unwrap();
        read_until(&mut tcp, "DATA\r\n").await;
        // A client that has read enough may close the connection before everything is sent.
        let _ = tcp.write_all(replies.as_bytes()).await;
        let received = read_until(&mut tcp, "\r\n.\r\n").await;
        let _ = tcp.write_all(b"250 taken\r\n").await;
        received
    });
    (SmtpClient::new(Arc::new(SmtpConfig::parse(&url).unwrap())), server)
}

/// Reads until these bytes have arrived, or the client has closed the connection.
async fn read_until(tcp: &mut TcpStream, until: &str) -> String {
    let mut received = Vec::new();
    while !received.ends_with(until.as_bytes()) && tcp.read_buf(&mut received).await.is_ok_and(|read| read > 0) {}
    String::from_utf8(received).unwrap()
}
