//! The connection against a mail server that does everything wrong a mail server can do.

use std::{sync::Arc, time::Duration};

use crate::smtp::{
    Letter, Sent, Slot,
    health::Heard,
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

use support::fake_smtp::{Sink, behaviour::Behaviour};

impl Slot {
    async fn send(&mut self, letter: &Letter) -> Sent {
        verdict(&self.deliver(letter).await)
    }
}

fn letter(to: &str) -> Letter {
    Letter {
        from: "no-reply@example.com".parse().unwrap(),
        to: to.parse().unwrap(),
        bytes: b"Subject: hello\r\n\r\nfirst\r\n.second\r\n..third\r\n".to_vec(),
        is_muted: false,
    }
}

/// For a test that does not ask what was counted.
fn heard() -> Arc<Heard> {
    Arc::new(Heard::new(&shared::telemetry::metrics::Registry::default()))
}

/// Both kinds of server: one that takes several commands at once, and one that does not.
async fn sinks() -> [Sink; 2] {
    [Sink::start().await, Sink::without_pipelining().await]
}

/// A slot that has all the time in the world.
fn patient(sink: &Sink) -> Slot {
    Slot::new(Arc::new(Server::parse(&sink.url()).unwrap()))
}

/// A slot that soon gives up: for tests in which the server never answers.
fn hasty(sink: &Sink) -> Slot {
    let mut server = Server::parse(&sink.url()).unwrap();
    let soon = Duration::from_secs(1);
    server.timeouts = Timeouts { connect: soon, step: soon, dot: soon };
    Slot::new(Arc::new(server))
}

/// Sends a letter into a fault on a connection of its own.
async fn send_into(sink: &Sink, fault: Behaviour) -> Sent {
    sink.next_connection(fault);
    let endless = matches!(fault, Behaviour::Silence(_) | Behaviour::Drip(..));
    let mut slot = if endless { hasty(sink) } else { patient(sink) };
    let sent = slot.send(&letter("ann@example.org")).await;
    assert!(slot.kept.is_none(), "{fault:?} has left a connection behind");
    assert!(sink.mails_to("ann@example.org").is_empty(), "{fault:?} has let the mail through");
    sent
}

fn later(sentence: &str) -> Sent {
    Sent::Later(sentence.into())
}

fn never(sentence: &str) -> Sent {
    Sent::Never(sentence.into())
}

/// Sends a letter that has to go well.
async fn sends(slot: &mut Slot, to: &str) {
    assert_eq!(slot.send(&letter(to)).await, Sent::Accepted, "to {to}");
}
