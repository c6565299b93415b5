//! The connection against a mail server that does everything wrong a mail server can do.

use std::{sync::Arc, time::Duration};

use crate::smtp::{
    Email, SendOutcome, Slot,
    health::SmtpHealth,
    server::{Server, Timeouts},
    verdict,
};

mod faults;
mod kept;
mod muted;
mod pipelining;
mod setup;
mod slots;
mod turns;
mod whole;

use support::fake_smtp::{FakeSmtpServer, behaviour::Behaviour};

impl Slot {
    async fn send(&mut self, email: &Email) -> SendOutcome {
        verdict(&self.deliver(email).await)
    }
}

fn email(to: &str) -> Email {
    Email {
        from: "no-reply@example.com".parse().unwrap(),
        to: to.parse().unwrap(),
        bytes: b"Subject: hello\r\n\r\nfirst\r\n.second\r\n..third\r\n".to_vec(),
        is_muted: false,
    }
}

/// For a test that does not ask what was counted.
fn heard() -> Arc<SmtpHealth> {
    Arc::new(SmtpHealth::new(&shared::telemetry::metrics::Registry::default()))
}

/// Both kinds of server: one that takes several commands at once, and one that does not.
async fn mail_servers() -> [FakeSmtpServer; 2] {
    [FakeSmtpServer::start().await, FakeSmtpServer::without_pipelining().await]
}

/// A slot that has all the time in the world.
fn patient(mail_server: &FakeSmtpServer) -> Slot {
    Slot::new(Arc::new(Server::parse(&mail_server.url()).unwrap()))
}

/// A slot that soon gives up: for tests in which the server never answers.
fn hasty(mail_server: &FakeSmtpServer) -> Slot {
    let mut server = Server::parse(&mail_server.url()).unwrap();
    let soon = Duration::from_secs(1);
    server.timeouts = Timeouts { connect: soon, step: soon, dot: soon };
    Slot::new(Arc::new(server))
}

/// Sends a email into a fault on a connection of its own.
async fn send_into(mail_server: &FakeSmtpServer, fault: Behaviour) -> SendOutcome {
    mail_server.next_connection(fault);
    let endless = matches!(fault, Behaviour::Silence(_) | Behaviour::Drip(..));
    let mut slot = if endless { hasty(mail_server) } else { patient(mail_server) };
    let sent = slot.send(&email("ann@example.org")).await;
    assert!(slot.kept.is_none(), "{fault:?} has left a connection behind");
    assert!(mail_server.mails_to("ann@example.org").is_empty(), "{fault:?} has let the mail through");
    sent
}

fn later(sentence: &str) -> SendOutcome {
    SendOutcome::RetryLater(sentence.into())
}

fn never(sentence: &str) -> SendOutcome {
    SendOutcome::Never(sentence.into())
}

/// Sends a email that has to go well.
async fn sends(slot: &mut Slot, to: &str) {
    assert_eq!(slot.send(&email(to)).await, SendOutcome::Accepted, "to {to}");
}
