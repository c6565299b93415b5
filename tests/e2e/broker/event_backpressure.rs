//! Events that the broker does not accept are postponed, and delay no mail.

use lapin::{
    ExchangeKind,
    options::{ExchangeDeclareOptions, ExchangeDeleteOptions},
    types::FieldTable,
};

use support::{event_subscriber::EventSubscriber, stack::Stack};

const ADA: &str = "ada@example.com";

/// The outbox after the queue of a subscriber has rejected events for days.
const INSERT_POSTPONED_EVENTS: &str = "INSERT INTO outbox (id, message, leased_until, due_at) SELECT id, jsonb_build_object('specversion', \
    '1.0', 'type', 'user.registered', 'id', id), soon, soon FROM (SELECT gen_random_uuid() AS id, \
    clock_timestamp() + interval '1 h' AS soon FROM generate_series(1, 50000)) AS new";
/// Rows of the outbox and of its indexes that were read.
const ROWS_READ: &str = "SELECT seq_tup_read + idx_tup_fetch + idx_tup_read FROM pg_stat_user_tables AS t JOIN LATERAL (SELECT \
    sum(idx_tup_read)::bigint AS idx_tup_read FROM pg_stat_user_indexes AS i WHERE i.relid = t.relid) AS i ON true \
    WHERE relname = 'outbox'";

#[tokio::test(flavor = "multi_thread")]
async fn relay_reads_no_postponed_events() {
    let stack = Stack::start().await;
    // ANALYZE usually runs while the outbox is empty, and Postgres then plans for an empty table until it runs again.
    // The requests after it make the relay keep such plans; statements that are first used later are planned in the
    // same way.
    for n in 0..20 {
        if n == 10 {
            stack.database.wait_for_count("SELECT count(*) FROM outbox", 0).await;
            stack.database.client().batch_execute("ANALYZE outbox").await.unwrap();
        }
        stack.sign_up(&format!("u{n}@example.com")).await;
    }
    stack.database.execute(INSERT_POSTPONED_EVENTS, &[]).await;
    for sql in ["SELECT pg_stat_force_next_flush()", "SELECT pg_stat_reset()"] {
        stack.database.client().batch_execute(sql).await.unwrap();
    }
    let (_, code) = stack.sign_up(ADA).await;
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
    assert_eq!(stack.client.delete_account(ADA).await.status, 204);
    // Two mails (or one, when the other was deleted with the account) and three events.
    let deleted = "SELECT count(*) FROM pg_stat_user_tables WHERE relname = 'outbox' AND n_tup_del >= 5";
    stack.database.wait_for_count(deleted, 1).await;
    let rows_read = stack.database.count(ROWS_READ).await;
    assert!((1..5_000).contains(&rows_read), "{rows_read} rows were read");
}

/// The events exchange exists with another type, so the API cannot declare it (as without the permission to).
#[tokio::test(flavor = "multi_thread")]
async fn undeclarable_events_exchange_delays_no_mail() {
    let mut stack = Stack::prepare(&[]).await;
    let events = stack.topology.events.as_str();
    let plain = FieldTable::default();
    let broker = stack.open_channel().await;
    let durable = ExchangeDeclareOptions { durable: true, ..Default::default() };
    broker.exchange_declare(events.into(), ExchangeKind::Fanout, durable, plain).await.unwrap();
    let api = stack.start_api(&[]).await;
    stack.start_worker(&[]).await;
    stack.client = api.client.clone();
    stack.sign_up(ADA).await;
    api.wait_until_all_checks_pass().await;
    let postponed =
        "SELECT count(*) FROM outbox WHERE message ? 'specversion' AND due_at > clock_timestamp() + interval '16 s'";
    stack.database.wait_for_count(postponed, 1).await;
    api.stop().await.unwrap();

    broker.exchange_delete(stack.topology.events.as_str().into(), ExchangeDeleteOptions::default()).await.unwrap();
    let subscriber = EventSubscriber::subscribe(&stack, "#").await;
    stack.start_api(&[]).await;
    stack.database.execute("UPDATE outbox SET leased_until = NULL, due_at = clock_timestamp()", &[]).await;
    assert_eq!(subscriber.receive_exactly(1).await[0].routing_key, "user.registered");
}

/// The exchange is deleted while the API runs: the broker closes only the channel, not the connection.
#[tokio::test(flavor = "multi_thread")]
async fn deleted_events_exchange_delays_no_mail() {
    let stack = Stack::start().await;
    stack.sign_up_and_activate("first@example.com").await;
    stack.database.wait_for_count("SELECT count(*) FROM outbox", 0).await;
    let broker = stack.open_channel().await;
    broker.exchange_delete(stack.topology.events.as_str().into(), ExchangeDeleteOptions::default()).await.unwrap();
    for n in 0..3 {
        stack.sign_up(&format!("u{n}@example.com")).await;
    }
    let postponed =
        "SELECT count(*) FROM outbox WHERE message ? 'specversion' AND due_at > clock_timestamp() + interval '9 s'";
    stack.database.wait_for_count(postponed, 3).await;
}
