//! MAIL, RCPT and DATA at once: when it is done, and what is made of the replies.

use std::sync::Arc;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use support::fake_smtp::{
    FakeSmtpServer,
    behaviour::{Behaviour, Stage},
    settings::{Protection, Settings},
};

use super::{email, later, mail_servers, never, patient, sends};
use crate::smtp::{SendOutcome, Slot, server::Server};

const PROTECTIONS: [Protection; 3] = [Protection::Plain, Protection::StartTls, Protection::Implicit];

#[tokio::test]
async fn it_is_done_where_it_is_offered_and_nowhere_else() {
    for (protection, pipelining) in PROTECTIONS.into_iter().flat_map(|way| [(way, true), (way, false)]) {
        let mail_server = FakeSmtpServer::start_with(Settings { protection, pipelining, ..Settings::default() }).await;
        let mut slot = patient(&mail_server);
        sends(&mut slot, "ann@example.org").await;
        sends(&mut slot, "ann@example.org").await;
        let found = (mail_server.count(), mail_server.connections(), mail_server.said_at_once());
        assert_eq!(found, (2, 1, if pipelining { 2 } else { 0 }), "{protection:?}");
    }
}

/// They may have been anybody's: whoever is on the way can say what he likes before the handshake.
#[tokio::test]
async fn an_offer_before_tls_does_not_count_inside() {
    let settings = Settings { protection: Protection::StartTls, pipelining: false, ..Settings::default() };
    let mail_server = FakeSmtpServer::start_with(settings).await;
    let bytes = b"250-mail\r\n250-PIPELINING\r\n250 STARTTLS\r\n";
    mail_server.next_connection(Behaviour::Raw { at: Stage::Ehlo, bytes });
    sends(&mut patient(&mail_server), "ann@example.org").await;
    assert_eq!((mail_server.count(), mail_server.said_at_once()), (1, 0));
}

#[tokio::test]
async fn a_login_comes_before_and_alone() {
    for pipelining in [true, false] {
        let settings = Settings { login: Some(("ann", "secret")), pipelining, ..Settings::default() };
        let mail_server = FakeSmtpServer::start_with(settings).await;
        sends(&mut patient(&mail_server), "ann@example.org").await;
        assert_eq!((mail_server.logins().len(), mail_server.said_at_once()), (1, usize::from(pipelining)));
    }
}

/// A refusal costs a connection in both cases, and the next email is none the worse.
#[tokio::test]
async fn both_kinds_of_server_are_understood_alike() {
    let [at_once, step_by_step] = mail_servers().await;
    for (at, code) in [(Stage::Rcpt, 550), (Stage::Rcpt, 451), (Stage::Data, 554), (Stage::Dot, 452)] {
        let mut sent = Vec::new();
        for mail_server in [&at_once, &step_by_step] {
            mail_server.script("ann@example.org", [Behaviour::Reply { at, code }]);
            let mut slot = patient(mail_server);
            sent.push(slot.send(&email("ann@example.org")).await);
            assert!(slot.kept.is_none(), "{at:?}");
            sends(&mut slot, "bob@example.org").await;
        }
        assert_eq!(sent[0], sent[1], "{at:?}");
    }
}

/// All replies in one packet, as servers send them, in every mixture.
#[tokio::test]
async fn the_first_refusal_is_the_verdict_and_no_letter_follows_one() {
    for (replies, expected) in [
        ("250 ok\r\n250-so\r\n250 ok\r\n354 go\r\n", SendOutcome::Accepted),
        ("250 ok\r\n550 5.1.1 no\r\n354 go\r\n", never("RCPT: 550 5.1.1")),
        ("250 ok\r\n550 5.1.1 no\r\n554 no\r\n", never("RCPT: 550 5.1.1")),
        ("250 ok\r\n451 later\r\n354 go\r\n", later("RCPT: 451")),
        ("250 ok\r\n451 later\r\n503 what\r\n", later("RCPT: 451")),
        ("451 later\r\n503 what\r\n503 what\r\n", later("MAIL: 451")),
        ("550 no\r\n503 what\r\n503 what\r\n", never("MAIL: 550")),
        ("550 no\r\n250 ok\r\n354 go\r\n", never("MAIL: 550")),
        ("250 ok\r\n250 ok\r\n554 no\r\n", never("DATA: 554")),
        ("250 ok\r\n250 ok\r\n250 ok\r\n", later("DATA: 250")),
        ("250 ok\r\n354 go\r\n354 go\r\n", later("RCPT: 354")),
        ("250 ok\r\n250 ok\r\n354 go\r\n250 taken\r\n", later("end of data: connection aborted")),
        ("250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n", later("DATA: 250")),
        ("421 bye\r\n", later("MAIL: 421")),
        ("250 ok\r\nhello\r\n354 go\r\n", later("RCPT: invalid data")),
    ] {
        let (mut slot, server) = says(replies.to_owned()).await;
        assert_eq!(slot.send(&email("ann@example.org")).await, expected, "{replies:?}");
        let was_taken = expected == SendOutcome::Accepted;
        assert_eq!(slot.kept.is_some(), was_taken, "{replies:?}");
        drop(slot);
        let heard = server.await.unwrap();
        assert_eq!(!heard.is_empty(), was_taken, "{replies:?}: {heard:?}");
    }
}

#[tokio::test]
async fn three_replies_have_a_bound_like_one() {
    let endless = format!("250 ok\r\n{}", "250-and another thing\r\n".repeat(1000));
    let (mut slot, _server) = says(endless).await;
    assert_eq!(slot.send(&email("ann@example.org")).await, later("RCPT: invalid data"));
}

/// A server that takes one connection, answers what is said at once with these bytes, and takes a email if one
/// comes. What it heard after them is the task's result.
async fn says(replies: String) -> (Slot, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://{}", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        tcp.write_all(b"220 here\r\n").await.unwrap();
        hear(&mut tcp, "\r\n").await;
        tcp.write_all(b"250-here\r\n250 PIPELINING\r\n").await.unwrap();
        hear(&mut tcp, "DATA\r\n").await;
        // A client that has heard enough may be gone before all is said.
        let _ = tcp.write_all(replies.as_bytes()).await;
        let heard = hear(&mut tcp, "\r\n.\r\n").await;
        let _ = tcp.write_all(b"250 taken\r\n").await;
        heard
    });
    (Slot::new(Arc::new(Server::parse(&url).unwrap())), server)
}

/// Until this has come, or the client has gone.
async fn hear(tcp: &mut TcpStream, until: &str) -> String {
    let mut heard = Vec::new();
    while !heard.ends_with(until.as_bytes()) && tcp.read_buf(&mut heard).await.is_ok_and(|read| read > 0) {}
    String::from_utf8(heard).unwrap()
}
