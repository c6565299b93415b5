//! Outbox leases with several relays, and the capacity of one relay for mails and events.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::anyhow;
use api::{DeliveryError, MaxInFlight, OutboxDelivery, OutboxMessage, Services};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    task::JoinHandle,
    time::Instant,
};
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::broker::held_snapshot::INDEX_ENTRIES_READ;
use support::stack::Stack;

/// A relay in a process without a broker. Each delivery stays in flight until the test lets it fail.
struct Relay {
    is_up: Arc<AtomicBool>,
    /// Deliveries that were begun, mails and events.
    deliveries: Arc<watch::Sender<u32>>,
    event_deliveries: Arc<AtomicU32>,
    /// Each permit lets one delivery fail.
    failures: Arc<Semaphore>,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Relay {
    async fn start(stack: &Stack) -> Self {
        Self::start_with(stack, Duration::ZERO).await
    }

    /// Messages that failed are retried after this time.
    async fn start_with(stack: &Stack, retry_after: Duration) -> Self {
        let is_up = Arc::new(AtomicBool::new(true));
        let failures = Arc::new(Semaphore::new(0));
        let deliveries = Arc::new(watch::Sender::new(0));
        let event_deliveries = Arc::new(AtomicU32::new(0));
        let delivery = OutboxDelivery {
            deliver: {
                let failures = Arc::clone(&failures);
                let deliveries = Arc::clone(&deliveries);
                let event_deliveries = Arc::clone(&event_deliveries);
                Arc::new(move |message| {
                    let failures = Arc::clone(&failures);
                    event_deliveries.fetch_add(matches!(message, OutboxMessage::Event(_)).into(), Ordering::Relaxed);
                    deliveries.send_modify(|count| *count += 1);
                    Box::pin(async move {
                        failures.acquire().await.unwrap().forget();
                        Err(DeliveryError { error: anyhow!("the test wants it so"), retry_after })
                    })
                })
            },
            is_up: {
                let is_up = Arc::clone(&is_up);
                Arc::new(move || is_up.load(Ordering::Relaxed))
            },
            max_in_flight: Arc::new(|| MaxInFlight::of_each(10)),
            look_at_queue: None,
            drain_timeout: Duration::from_secs(30),
        };
        let database = shared::postgres::pool(&stack.database.service_url.clone().into(), 2).unwrap();
        let config = api::Config::load_from(stack.variables(&[])).unwrap();
        let ops = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stop = CancellationToken::new();
        let services = Services {
            health_database: database.clone(),
            database,
            has_autovacuum: true,
            delivery,
            ops,
            metrics: Default::default(),
            others: vec![],
        };
        let task = tokio::spawn(api::run_on(services, config, listener, stop.clone()));
        Self { is_up, deliveries, event_deliveries, failures, stop, task }
    }

    /// Waits until so many deliveries were begun.
    async fn wait_for_deliveries(&self, expected: u32) {
        let mut deliveries = self.deliveries.subscribe();
        let reached = deliveries.wait_for(|count| *count >= expected);
        tokio::time::timeout(Duration::from_secs(60), reached).await.expect("deliveries are missing").unwrap();
    }
}

/// A relay whose lease has expired must not renew or release the lease of the relay that took over: a third relay would
/// publish the message once more.
#[tokio::test(flavor = "multi_thread")]
async fn relay_never_changes_a_foreign_lease() {
    let stack = Stack::without_broker().await;
    let database = &stack.database;
    let first = Relay::start(&stack).await;
    let rows = "INSERT INTO outbox (id, message, traceparent) SELECT id, jsonb_build_object('v', 1, 'kind', 'activated', \
        'id', id), name FROM (VALUES (gen_random_uuid(), 'kept'), (gen_random_uuid(), 'lost')) AS t (id, name)";
    database.execute(rows, &[]).await;
    // A leased row may not be in flight yet, so wait for the deliveries.
    first.wait_for_deliveries(2).await;
    first.is_up.store(false, Ordering::Relaxed);

    let second = Relay::start(&stack).await;
    // Expire the lease of one row until the second relay has taken it: the first one keeps renewing it.
    let expire = "UPDATE outbox SET leased_until = clock_timestamp() WHERE traceparent = 'lost' \
        AND leased_by = (SELECT leased_by FROM outbox WHERE traceparent = 'kept')";
    while database.count("SELECT count(DISTINCT leased_by) FROM outbox").await != 2 {
        database.execute(expire, &[]).await;
    }
    // The second relay dies. Its lease gets an end that no renewal would set.
    second.task.abort();
    let _ = second.task.await;
    let soon = "clock_timestamp() + interval '8 s'";
    let far = "clock_timestamp() + interval '30 min'";
    let set_leases = "UPDATE outbox SET leased_until = CASE traceparent WHEN 'lost' THEN clock_timestamp() + \
        interval '1 h' ELSE clock_timestamp() + interval '5 s' END";
    database.execute(set_leases, &[]).await;
    let foreign_lease = format!("SELECT count(*) FROM outbox WHERE traceparent = 'lost' AND leased_until > {far}");

    database
        .wait_for_count(&format!("SELECT count(*) FROM outbox WHERE traceparent = 'kept' AND leased_until > {soon}"), 1)
        .await;
    assert_eq!(database.count(&foreign_lease).await, 1, "a renewal changed the foreign lease");
    first.failures.add_permits(2);
    first.stop.cancel();
    first.task.await.unwrap().unwrap();
    let released = "SELECT count(*) FROM outbox WHERE traceparent = 'kept' AND leased_until <= clock_timestamp()";
    assert_eq!(database.count(released).await, 1);
    assert_eq!(database.count(&foreign_lease).await, 1, "a release changed the foreign lease");
}

/// A mail may take longer than a lease while its relay stops: another relay would deliver it, too.
#[tokio::test(flavor = "multi_thread")]
async fn draining_relay_renews_its_leases() {
    let stack = Stack::without_broker().await;
    let database = &stack.database;
    let relay = Relay::start(&stack).await;
    insert_codes(database.client(), "slow", 1).await;
    relay.wait_for_deliveries(1).await;
    relay.stop.cancel();
    let shorten = "UPDATE outbox SET leased_until = clock_timestamp() + interval '5 s' WHERE leased_by IS NOT NULL";
    assert_eq!(database.execute(shorten, &[]).await, 1);
    let renewed = "SELECT count(*) FROM outbox WHERE leased_until > clock_timestamp() + interval '8 s'";
    database.wait_for_count(renewed, 1).await;
    relay.failures.add_permits(1);
    relay.task.await.unwrap().unwrap();
    let released = "SELECT count(*) FROM outbox WHERE leased_until <= clock_timestamp()";
    assert_eq!(database.count(released).await, 1);
}

/// Events that stay in flight do not use up the capacity for mails, however many of them are older.
#[tokio::test(flavor = "multi_thread")]
async fn mails_overtake_events_and_have_reserved_capacity() {
    let stack = Stack::without_broker().await;
    let events = "INSERT INTO outbox (id, message, created_at) SELECT id, jsonb_build_object('specversion', '1.0', \
        'type', 'user.deleted', 'id', id), clock_timestamp() - interval '1 h' \
        FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, 50)) AS new";
    stack.database.execute(events, &[]).await;
    let relay = Relay::start(&stack).await;
    relay.wait_for_deliveries(5).await;
    let mails = "INSERT INTO outbox (id, message) SELECT id, jsonb_build_object('v', 1, 'kind', 'activated', 'id', id) \
        FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, 10)) AS new";
    stack.database.execute(mails, &[]).await;
    relay.wait_for_deliveries(15).await;
    assert_eq!(*relay.deliveries.borrow(), 15);
    assert_eq!(relay.event_deliveries.load(Ordering::Relaxed), 5);
    relay.failures.add_permits(100);
    relay.stop.cancel();
    relay.task.await.unwrap().unwrap();
}

/// Inserts this many codes with this name, each in a transaction of its own.
async fn insert_codes(database: &Client, name: &str, rows: u32) {
    let insert = format!(
        "INSERT INTO outbox (id, message, traceparent) SELECT id, jsonb_build_object('v', 1, 'kind', 'send-code', \
         'id', id), '{name}' FROM (SELECT gen_random_uuid() AS id) AS new"
    );
    for _ in 0..rows {
        database.batch_execute(&insert).await.unwrap();
    }
}

/// In a backlog a relay reads on where its last batch ended; a transaction that began before and commits only then has its
/// row before that.
#[tokio::test(flavor = "multi_thread")]
async fn row_committed_late_is_leased_although_the_backlog_never_ends() {
    let stack = Stack::without_broker().await;
    let database = &stack.database;
    let late = support::database::connect(&database.url).await;
    late.batch_execute("BEGIN").await.unwrap();
    insert_codes(&late, "late", 1).await;
    insert_codes(database.client(), "early", 50).await;
    let relay = Relay::start(&stack).await;
    // Each failure moves its row to the end, so that all batches are full.
    relay.failures.add_permits(1_000_000);
    relay.wait_for_deliveries(500).await;
    late.batch_execute("COMMIT").await.unwrap();
    let leased = "SELECT count(*) FROM outbox WHERE traceparent = 'late' AND leased_by IS NOT NULL";
    let lease = database.wait_for_count(leased, 1);
    tokio::time::timeout(Duration::from_secs(20), lease).await.expect("the late row is passed");
    relay.stop.cancel();
    relay.task.await.unwrap().unwrap();
}

/// Many relays share a long backlog: each would otherwise walk past the messages that all others have in flight, for each
/// few of its own.
#[tokio::test(flavor = "multi_thread")]
async fn rounds_in_a_backlog_do_not_read_what_others_have_leased() {
    const LEASED_BY_OTHERS: u32 = 500;
    const ROWS: u32 = 1_000;
    let stack = Stack::without_broker().await;
    let database = &stack.database;
    insert_codes(database.client(), "of others", LEASED_BY_OTHERS).await;
    let lease = "UPDATE outbox SET leased_by = gen_random_uuid(), leased_until = clock_timestamp() + interval '1 h'";
    database.execute(lease, &[]).await;
    insert_codes(database.client(), "free", ROWS).await;
    let relay = Relay::start_with(&stack, Duration::from_secs(3_600)).await;
    relay.failures.add_permits(1_000_000);
    // Ten at a time.
    relay.wait_for_deliveries(ROWS).await;
    relay.stop.cancel();
    relay.task.await.unwrap().unwrap();
    let reported = format!(
        "SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = 'outbox' AND n_tup_upd >= {}",
        LEASED_BY_OTHERS + 2 * ROWS
    );
    database.wait_for_count(&format!("SELECT count(*) FROM ({reported}) AS reported"), 1).await;
    let read = database.count(INDEX_ENTRIES_READ).await;
    let by_all_rounds = i64::from(LEASED_BY_OTHERS * ROWS / 10);
    assert!(read < by_all_rounds / 2, "{read} index entries were read");
}

/// Every second round of a process with few sign-ups only writes that messages were delivered.
#[tokio::test(flavor = "multi_thread")]
async fn outcome_alone_leases_nothing() {
    const SIGN_UPS: i64 = 60;
    let stack = Stack::start_with(&[("ARGON2_MEMORY_KIB", "8"), ("ARGON2_PASSES", "1")]).await;
    let started = Instant::now();
    for n in 0..SIGN_UPS {
        assert_eq!(stack.client.register(&format!("u{n}@example.com")).await.status, 202);
        stack.database.wait_for_count("SELECT count(*) FROM outbox", 0).await;
    }
    // What connections have searched is reported like what they have deleted: a mail and an event each.
    let deleted =
        format!("SELECT count(*) FROM pg_stat_user_tables WHERE relname = 'outbox' AND n_tup_del >= {}", 2 * SIGN_UPS);
    stack.database.wait_for_count(&deleted, 1).await;
    let searches = "SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'outbox_codes_by_position'";
    // The first position is searched once a second.
    let seconds = i64::try_from(started.elapsed().as_secs()).unwrap();
    let leases = stack.database.count(searches).await - seconds;
    assert!(leases < SIGN_UPS * 3 / 2, "{leases} searches for codes");
}
