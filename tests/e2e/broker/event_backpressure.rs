//! Events that nobody takes: they rest, and no mail notices.

use lapin::{ExchangeKind, options::ExchangeDeclareOptions, options::ExchangeDeleteOptions, types::FieldTable};

use support::{event_listener::Listener, stack::Stack};

const ADA: &str = "ada@example.com";

/// What a listener that refuses for days leaves.
const CROWD: &str = "INSERT INTO outbox (id, message, leased_until, due_at) SELECT id, jsonb_build_object('specversion', \
    '1.0', 'type', 'user.registered', 'id', id), soon, soon FROM (SELECT gen_random_uuid() AS id, \
    clock_timestamp() + interval '1 h' AS soon FROM generate_series(1, 50000)) AS new";
const READ: &str = "SELECT seq_tup_read + idx_tup_fetch + idx_tup_read FROM pg_stat_user_tables AS t JOIN LATERAL (SELECT \
    sum(idx_tup_read)::bigint AS idx_tup_read FROM pg_stat_user_indexes AS i WHERE i.relid = t.relid) AS i ON true \
    WHERE relname = 'outbox'";

#[tokio::test(flavor = "multi_thread")]
async fn however_many_rest_a_round_reads_none_of_them() {
    let stack = Stack::start().await;
    // Postgres counts an outbox while nothing is in it, as on most days, and takes it for empty until it counts again. The
    // second ten have plans made for that, which are kept; what is first asked later is planned on the same belief.
    for n in 0..20 {
        if n == 10 {
            stack.database.becomes("SELECT count(*) FROM outbox", 0).await;
            stack.database.client().batch_execute("ANALYZE outbox").await.unwrap();
        }
        stack.sign_up(&format!("u{n}@example.com")).await;
    }
    stack.database.execute(CROWD, &[]).await;
    for sql in ["SELECT pg_stat_force_next_flush()", "SELECT pg_stat_reset()"] {
        stack.database.client().batch_execute(sql).await.unwrap();
    }
    let (_, code) = stack.sign_up(ADA).await;
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
    let token = stack.client.token(ADA).await;
    assert_eq!(stack.client.bearer("DELETE", "/v1/users/me", &token).await.status, 204);
    // Two mails, or one that was dropped with her, and three events.
    let told = "SELECT count(*) FROM pg_stat_user_tables WHERE relname = 'outbox' AND n_tup_del >= 5";
    stack.database.becomes(told, 1).await;
    let read = stack.database.count(READ).await;
    assert!((1..5_000).contains(&read), "{read} rows were read");
}

/// Their exchange is somebody else's, or our login may not have it.
#[tokio::test(flavor = "multi_thread")]
async fn without_their_exchange_mails_go_on() {
    let mut stack = Stack::prepare(&[]).await;
    let (events, plain) = (stack.topology.events.as_str(), FieldTable::default());
    let (broker, durable) = (stack.amqp().await, ExchangeDeclareOptions { durable: true, ..Default::default() });
    broker.exchange_declare(events.into(), ExchangeKind::Fanout, durable, plain).await.unwrap();
    let api = stack.start_api(&[]).await;
    stack.start_worker(&[]).await;
    stack.client = api.client.clone();
    stack.sign_up(ADA).await;
    api.has_all().await;
    let resting =
        "SELECT count(*) FROM outbox WHERE message ? 'specversion' AND due_at > clock_timestamp() + interval '16 s'";
    stack.database.becomes(resting, 1).await;
    api.stop().await.unwrap();

    broker.exchange_delete(stack.topology.events.as_str().into(), ExchangeDeleteOptions::default()).await.unwrap();
    let listener = Listener::to(&stack, "#").await;
    stack.start_api(&[]).await;
    stack.database.execute("UPDATE outbox SET leased_until = NULL, due_at = clock_timestamp()", &[]).await;
    assert_eq!(listener.hears(1).await[0].routing_key, "user.registered");
}

/// It goes while the API runs: the channel is closed over it, and that is all.
#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_that_goes_takes_no_connection_along() {
    let stack = Stack::start().await;
    stack.sign_up_and_activate("first@example.com").await;
    stack.database.becomes("SELECT count(*) FROM outbox", 0).await;
    let broker = stack.amqp().await;
    broker.exchange_delete(stack.topology.events.as_str().into(), ExchangeDeleteOptions::default()).await.unwrap();
    for n in 0..3 {
        stack.sign_up(&format!("u{n}@example.com")).await;
    }
    let resting =
        "SELECT count(*) FROM outbox WHERE message ? 'specversion' AND due_at > clock_timestamp() + interval '9 s'";
    stack.database.becomes(resting, 3).await;
}
