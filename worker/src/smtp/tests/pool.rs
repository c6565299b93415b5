//! The SMTP connection pool: its limit, the return of connections, and draining.

use std::{panic::AssertUnwindSafe, sync::Arc};

use futures_util::FutureExt;

use support::fake_smtp::{
    FakeSmtpServer,
    behaviour::{Behaviour, Stage},
};

use super::{assert_sends, email, health};
use crate::smtp::{config::SmtpConfig, pool::SmtpPool};

fn pool_of(mail_server: &FakeSmtpServer, connections: u16) -> SmtpPool {
    SmtpPool::new(Arc::new(SmtpConfig::parse(&mail_server.url()).unwrap()), connections, health())
}

#[tokio::test]
async fn second_acquire_waits_for_the_only_connection() {
    let mail_server = FakeSmtpServer::start().await;
    let pool = pool_of(&mail_server, 1);
    let mut first = pool.acquire().await.unwrap();
    let mut waiting = Box::pin(pool.acquire());
    assert!(waiting.as_mut().now_or_never().is_none(), "the pool has one connection");
    assert_sends(&mut first.client, "ann@example.org").await;
    drop(first);
    assert_sends(&mut waiting.await.unwrap().client, "bob@example.org").await;
    assert_eq!((mail_server.count(), mail_server.connections()), (2, 1));
}

#[tokio::test]
async fn connection_returns_to_pool_after_a_panic() {
    let mail_server = FakeSmtpServer::start().await;
    let pool = pool_of(&mail_server, 1);
    let panics = async {
        assert_sends(&mut pool.acquire().await.unwrap().client, "ann@example.org").await;
        let _connection = pool.acquire().await.unwrap();
        panic!("expected panic");
    };
    assert!(AssertUnwindSafe(panics).catch_unwind().await.is_err());
    assert!(pool.acquire().await.unwrap().client.idle.is_some(), "no command was under way");
}

/// A reply may still arrive on its connection.
#[tokio::test]
async fn dropped_send_frees_its_permit_and_closes_connection() {
    let mail_server = FakeSmtpServer::start().await;
    let pool = pool_of(&mail_server, 1);
    assert_sends(&mut pool.acquire().await.unwrap().client, "ann@example.org").await;
    mail_server.script("bob@example.org", [Behaviour::Silence(Stage::Dot)]);
    let to_bob = email("bob@example.org");
    let sending = async { pool.acquire().await.unwrap().client.send(&to_bob).await };
    tokio::select! {
        sent = sending => panic!("{sent:?}"),
        _ = mail_server.nth_attempt("bob@example.org", 1) => {}
    }
    let mut connection = pool.acquire().await.unwrap();
    assert!(connection.client.idle.is_none());
    assert_sends(&mut connection.client, "ann@example.org").await;
    assert_eq!(mail_server.connections(), 2);
}

#[tokio::test]
async fn draining_pool_lends_none_and_lent_can_finish() {
    let mail_server = FakeSmtpServer::start().await;
    let pool = pool_of(&mail_server, 2);
    let mut first = pool.acquire().await.unwrap();
    let mut second = pool.acquire().await.unwrap();
    assert_sends(&mut first.client, "ann@example.org").await;
    let (waiting, ()) = tokio::join!(pool.acquire(), async { pool.begin_drain() });
    assert!(waiting.is_none());
    drop(first);
    assert!(pool.acquire().await.is_none());
    assert_sends(&mut second.client, "bob@example.org").await;
    drop(second);
    pool.close().await;
    assert_eq!((mail_server.count(), mail_server.connections(), mail_server.quits()), (2, 2, 2));
}
