//! Relays that take the outbox from each other.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::anyhow;
use api::{DeliveryError, OutboxDelivery, OutboxMessage, Services};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use support::stack::Stack;

/// What it takes waits until it may fail.
struct Relay {
    takes_more: Arc<AtomicBool>,
    taken: Arc<watch::Sender<u32>>,
    /// Of these.
    events: Arc<AtomicU32>,
    may_fail: Arc<Semaphore>,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Relay {
    async fn start(stack: &Stack) -> Self {
        let (takes_more, may_fail) = (Arc::new(AtomicBool::new(true)), Arc::new(Semaphore::new(0)));
        let (is_up, waiting) = (Arc::clone(&takes_more), Arc::clone(&may_fail));
        let taken = Arc::new(watch::Sender::new(0));
        let events = Arc::new(AtomicU32::new(0));
        let (counted, counted_events) = (Arc::clone(&taken), Arc::clone(&events));
        let outlet = OutboxDelivery {
            deliver: Arc::new(move |outgoing| {
                let waiting = Arc::clone(&waiting);
                counted_events.fetch_add(matches!(outgoing, OutboxMessage::Event(_)).into(), Ordering::Relaxed);
                counted.send_modify(|taken| *taken += 1);
                Box::pin(async move {
                    waiting.acquire().await.unwrap().forget();
                    Err(DeliveryError { why: anyhow!("the test wants it so"), again_after: Duration::ZERO })
                })
            }),
            is_up: Arc::new(move || is_up.load(Ordering::Relaxed)),
            in_hand: 10,
        };
        let database = shared::postgres::pool(&stack.database.url.clone().into(), 2).unwrap();
        let config = api::Config::load_from(stack.variables(&[])).unwrap();
        let (ops, listener) =
            (TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap());
        let stop = CancellationToken::new();
        let services = Services { database, delivery: outlet, ops, metrics: Default::default(), others: vec![] };
        let task = tokio::spawn(api::run_on(services, config, listener, stop.clone()));
        Self { takes_more, taken, events, may_fail, stop, task }
    }
}

/// A relay that stood still for too long must not shorten the lease of the one that took over: a third
/// would publish the message yet again.
#[tokio::test(flavor = "multi_thread")]
async fn a_relay_touches_no_lease_but_its_own() {
    let stack = Stack::without_broker().await;
    let database = &stack.database;
    let first = Relay::start(&stack).await;
    let rows = "INSERT INTO outbox (id, message, traceparent) SELECT id, jsonb_build_object('v', 1, 'kind', 'activated', \
        'id', id), name FROM (VALUES (gen_random_uuid(), 'kept'), (gen_random_uuid(), 'lost')) AS t (id, name)";
    database.execute(rows, &[]).await;
    // Leased is not yet in hand: the answer may be lost on the way.
    first.taken.subscribe().wait_for(|taken| *taken >= 2).await.unwrap();
    first.takes_more.store(false, Ordering::Relaxed);

    let second = Relay::start(&stack).await;
    // As often as the first renews it, until the second has taken it.
    let lapsed = "UPDATE outbox SET leased_until = clock_timestamp() WHERE traceparent = 'lost' \
        AND leased_by = (SELECT leased_by FROM outbox WHERE traceparent = 'kept')";
    while database.count("SELECT count(DISTINCT leased_by) FROM outbox").await != 2 {
        database.execute(lapsed, &[]).await;
    }
    // It dies with a lease that nobody can take for one that was renewed.
    second.task.abort();
    let _ = second.task.await;
    let (soon, far) = ("clock_timestamp() + interval '8 s'", "clock_timestamp() + interval '30 min'");
    let long = "UPDATE outbox SET leased_until = CASE traceparent WHEN 'lost' THEN clock_timestamp() + \
        interval '1 h' ELSE clock_timestamp() + interval '5 s' END";
    database.execute(long, &[]).await;
    let taken_over = format!("SELECT count(*) FROM outbox WHERE traceparent = 'lost' AND leased_until > {far}");

    database
        .becomes(&format!("SELECT count(*) FROM outbox WHERE traceparent = 'kept' AND leased_until > {soon}"), 1)
        .await;
    assert_eq!(database.count(&taken_over).await, 1, "a renewal touched it");
    first.may_fail.add_permits(2);
    first.stop.cancel();
    first.task.await.unwrap().unwrap();
    let given_back = "SELECT count(*) FROM outbox WHERE traceparent = 'kept' AND leased_until <= clock_timestamp()";
    assert_eq!(database.count(given_back).await, 1);
    assert_eq!(database.count(&taken_over).await, 1, "a release touched it");
}

/// Nobody listens well: what was taken stays in hand. Mails come all the same, however many events are older.
#[tokio::test(flavor = "multi_thread")]
async fn mails_go_before_events_and_have_places_of_their_own() {
    let stack = Stack::without_broker().await;
    let events = "INSERT INTO outbox (id, message, created_at) SELECT id, jsonb_build_object('specversion', '1.0', \
        'type', 'user.deleted', 'id', id), clock_timestamp() - interval '1 h' \
        FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, 50)) AS new";
    stack.database.execute(events, &[]).await;
    let relay = Relay::start(&stack).await;
    let mut taken = relay.taken.subscribe();
    taken.wait_for(|taken| *taken >= 5).await.unwrap();
    let mails = "INSERT INTO outbox (id, message) SELECT id, jsonb_build_object('v', 1, 'kind', 'activated', 'id', id) \
        FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, 10)) AS new";
    stack.database.execute(mails, &[]).await;
    let all = taken.wait_for(|taken| *taken >= 15);
    assert_eq!(*tokio::time::timeout(Duration::from_secs(20), all).await.expect("a mail waits").unwrap(), 15);
    assert_eq!(relay.events.load(Ordering::Relaxed), 5);
    relay.may_fail.add_permits(100);
    relay.stop.cancel();
    relay.task.await.unwrap().unwrap();
}
