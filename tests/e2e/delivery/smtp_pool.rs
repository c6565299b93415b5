//! The SMTP connection pool: a worker holds more messages than it has connections to the mail server.

use std::time::Duration;

use support::{
    fake_smtp::behaviour::{Behaviour, Stage},
    stack::Stack,
};

const ADA: &str = "ada@example.com";
const BOB: &str = "bob@example.com";
/// How long a mail occupies the connection: enough for another message to arrive and be read, also on a disk that
/// stalls.
const LONG: Duration = Duration::from_secs(8);
/// The same, usually enough; less than the time a stopping worker has to finish its mails.
const SHORT: Duration = Duration::from_secs(3);
/// One connection to the mail server.
const ONE_CONNECTION: &[(&str, &str)] = &[("WORKER_CONCURRENCY", "1")];

/// Waits until a worker has read the state of the newest code from the database and finished that query. If all
/// connections are busy, its mail then waits for one.
pub(crate) async fn wait_until_newest_code_is_read(stack: &Stack) {
    let read = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle' \
        AND query LIKE '%takes_writes%' AND pid <> pg_backend_pid() \
        AND query_start > (SELECT max(created_at) FROM codes)";
    stack.database.wait_for_count(read, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_never_exceed_worker_concurrency() {
    let stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    for n in 0..12 {
        let email = format!("u{n}@example.com");
        stack.mail_server.script(&email, [Behaviour::Slow(Stage::Dot, Duration::from_millis(30))]);
        assert_eq!(api.client.register(&email).await.status, 202);
    }
    stack.start_worker(&[("WORKER_CONCURRENCY", "3")]).await;
    stack.database.wait_for_count("SELECT count(*) FROM deliveries WHERE outcome = 'delivered'", 12).await;
    assert_eq!((stack.mail_server.count(), stack.mail_server.connections()), (12, 3));
}

/// There is one connection, which Ada's slow mail occupies while Bob's composed mail waits for it. Returns both
/// registrations.
async fn bobs_mail_awaits_the_connection() -> (Stack, [String; 2]) {
    let stack = Stack::start_with(ONE_CONNECTION).await;
    stack.mail_server.script(ADA, [Behaviour::Slow(Stage::Dot, LONG)]);
    let ada = stack.client.register(ADA).await.registration();
    stack.mail_server.nth_attempt(ADA, 1).await;
    let bob = stack.client.register(BOB).await.registration();
    wait_until_newest_code_is_read(&stack).await;
    (stack, [ada, bob])
}

/// The connection sends the next mail while the previous delivery is being recorded.
#[tokio::test(flavor = "multi_thread")]
async fn connection_is_reused_before_the_delivery_is_recorded() {
    let (stack, [ada, bob]) = bobs_mail_awaits_the_connection().await;
    // From here on recording a delivery blocks, and fails after two seconds.
    stack.database.execute("BEGIN", &[]).await;
    stack.database.execute("LOCK TABLE deliveries IN SHARE MODE", &[]).await;
    stack.mail_server.mail_to(BOB).await;
    let recorded = "SELECT count(*) FROM deliveries";
    assert_eq!((stack.database.count(recorded).await, stack.mail_server.connections()), (0, 1));
    stack.database.execute("COMMIT", &[]).await;
    for registration in [ada, bob] {
        stack.client.wait_for_receipt(&registration, "sent").await;
    }
    assert_eq!(stack.mail_server.count(), 2);
}

/// I-11: the state of the code is checked again after the wait for a connection.
#[tokio::test(flavor = "multi_thread")]
async fn code_expiring_while_awaiting_a_connection_is_not_mailed() {
    let (stack, [ada, bob]) = bobs_mail_awaits_the_connection().await;
    let expire = "UPDATE codes SET deadline = clock_timestamp() FROM registrations r \
        WHERE r.id = registration_id AND r.email = 'bob@example.com'";
    assert_eq!(stack.database.execute(expire, &[]).await, 1);
    assert_eq!(stack.mail_server.count(), 0, "the first mail was accepted too early");
    stack.client.wait_for_receipt(&ada, "sent").await;
    stack.client.wait_for_receipt(&bob, "expired").await;
    stack
        .database
        .wait_for_count("SELECT count(*) FROM deliveries WHERE outcome = 'dropped' AND why = 'expired'", 1)
        .await;
    assert_eq!((stack.mail_server.count(), stack.mail_server.attempts(BOB).len()), (1, 0));
}

/// I-19: a stopping worker finishes the delivery in progress and requeues waiting messages at once.
#[tokio::test(flavor = "multi_thread")]
async fn stopping_worker_requeues_messages_not_started() {
    for _ in 0..3 {
        if stop_worker_with_one_delivery_and_one_waiting().await {
            return;
        }
    }
    panic!("the first mail was accepted too early in each attempt");
}

/// Returns false if the first mail was accepted before the worker could be stopped: then nothing was tested.
async fn stop_worker_with_one_delivery_and_one_waiting() -> bool {
    let stack = Stack::prepare(ONE_CONNECTION).await;
    let api = stack.start_api(&[]).await;
    let worker = stack.start_worker(&[]).await;
    stack.mail_server.script(ADA, [Behaviour::Slow(Stage::Dot, SHORT)]);
    let ada = api.client.register(ADA).await.registration();
    stack.mail_server.nth_attempt(ADA, 1).await;
    let bob = api.client.register(BOB).await.registration();
    wait_until_newest_code_is_read(&stack).await;
    if stack.mail_server.count() > 0 {
        return false;
    }
    worker.stop().await.unwrap();
    api.client.wait_for_receipt(&ada, "sent").await;
    assert_eq!((stack.mail_server.count(), stack.mail_server.attempts(BOB).len()), (1, 0));
    stack.wait_for_queue_length(&stack.topology.codes.name, 1).await;
    stack.start_worker(&[]).await;
    api.client.wait_for_receipt(&bob, "sent").await;
    assert_eq!((stack.mail_server.mails_to(ADA).len(), stack.mail_server.mails_to(BOB).len()), (1, 1));
    true
}
