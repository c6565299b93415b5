//! SmtpPool that are lent: never more than there are, and always as many.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;

use support::fake_smtp::{
    FakeSmtpServer,
    behaviour::{Behaviour, Stage},
};

use super::{email, heard, sends};
use crate::smtp::{pool::SmtpPool, server::Server};

fn slots(mail_server: &FakeSmtpServer, connections: u16) -> SmtpPool {
    SmtpPool::new(Arc::new(Server::parse(&mail_server.url()).unwrap()), connections, heard())
}

#[tokio::test]
async fn one_connection_serves_one_after_the_other() {
    let mail_server = FakeSmtpServer::start().await;
    let slots = slots(&mail_server, 1);
    let mut first = slots.borrow().await.unwrap();
    let mut waits = Box::pin(slots.borrow());
    assert!(waits.as_mut().now_or_never().is_none(), "there is only one");
    sends(&mut first.slot, "ann@example.org").await;
    drop(first);
    sends(&mut waits.await.unwrap().slot, "bob@example.org").await;
    assert_eq!((mail_server.count(), mail_server.connections()), (2, 1));
}

#[tokio::test]
async fn a_slot_comes_back_whatever_happens_to_who_has_it() {
    let mail_server = FakeSmtpServer::start().await;
    let slots = slots(&mail_server, 1);
    let panics = async {
        sends(&mut slots.borrow().await.unwrap().slot, "ann@example.org").await;
        let _loan = slots.borrow().await.unwrap();
        panic!("on purpose");
    };
    assert!(AssertUnwindSafe(panics).catch_unwind().await.is_err());
    assert!(slots.borrow().await.unwrap().slot.kept.is_some(), "nothing was under way");
}

/// Its connection may have any reply on its way.
#[tokio::test]
async fn what_is_dropped_on_its_way_gives_a_slot_back_and_no_connection() {
    let mail_server = FakeSmtpServer::start().await;
    let slots = slots(&mail_server, 1);
    sends(&mut slots.borrow().await.unwrap().slot, "ann@example.org").await;
    mail_server.script("bob@example.org", [Behaviour::Silence(Stage::Dot)]);
    let to_bob = email("bob@example.org");
    let sending = async { slots.borrow().await.unwrap().slot.send(&to_bob).await };
    tokio::select! {
        sent = sending => panic!("{sent:?}"),
        _ = mail_server.nth_attempt("bob@example.org", 1) => {}
    }
    let mut loan = slots.borrow().await.unwrap();
    assert!(loan.slot.kept.is_none());
    sends(&mut loan.slot, "ann@example.org").await;
    assert_eq!(mail_server.connections(), 2);
}

#[tokio::test]
async fn at_the_end_no_more_are_lent_and_those_that_are_lent_are_used() {
    let mail_server = FakeSmtpServer::start().await;
    let slots = slots(&mail_server, 2);
    let (mut one, mut two) = (slots.borrow().await.unwrap(), slots.borrow().await.unwrap());
    sends(&mut one.slot, "ann@example.org").await;
    let (waits, ()) = tokio::join!(slots.borrow(), async { slots.lend_no_more() });
    assert!(waits.is_none());
    drop(one);
    assert!(slots.borrow().await.is_none());
    sends(&mut two.slot, "bob@example.org").await;
    drop(two);
    slots.close().await;
    assert_eq!((mail_server.count(), mail_server.connections(), mail_server.goodbyes()), (2, 2, 2));
}
