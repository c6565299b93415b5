//! A worker has more messages in hand than connections to the mail server: what those wait for, and what not.

use std::time::Duration;

use support::{
    fake_smtp::behaviour::{Behaviour, Stage},
    stack::Stack,
};

const ADA: &str = "ada@example.com";
const BOB: &str = "bob@example.com";
/// Enough to have somebody else's message come and be read meanwhile, on a disk that stalls, too.
const LONG: Duration = Duration::from_secs(8);
/// Enough for that as a rule; less than a worker has to finish its mails.
const SHORT: Duration = Duration::from_secs(3);
const ONE: &[(&str, &str)] = &[("WORKER_CONCURRENCY", "1")];

/// Waits until a worker has read what is true about the newest code, and is on to something else.
pub(crate) async fn newest_code_was_read(stack: &Stack) {
    let read = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle' \
        AND query LIKE '%takes_writes%' AND pid <> pg_backend_pid() \
        AND query_start > (SELECT max(created_at) FROM codes)";
    stack.database.becomes(read, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_connections_than_the_worker_may_have() {
    let stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    for n in 0..12 {
        let email = format!("u{n}@example.com");
        stack.mail_server.script(&email, [Behaviour::Slow(Stage::Dot, Duration::from_millis(30))]);
        assert_eq!(api.client.register(&email).await.status, 202);
    }
    stack.start_worker(&[("WORKER_CONCURRENCY", "3")]).await;
    stack.database.becomes("SELECT count(*) FROM deliveries WHERE outcome = 'delivered'", 12).await;
    assert_eq!((stack.mail_server.count(), stack.mail_server.connections()), (12, 3));
}

/// There is one connection. It is Ada's for a while, and Bob's mail is written.
async fn bob_waits_for_adas_connection() -> (Stack, [String; 2]) {
    let stack = Stack::start_with(ONE).await;
    stack.mail_server.script(ADA, [Behaviour::Slow(Stage::Dot, LONG)]);
    let ada = stack.client.register(ADA).await.registration();
    stack.mail_server.nth_attempt(ADA, 1).await;
    let bob = stack.client.register(BOB).await.registration();
    newest_code_was_read(&stack).await;
    (stack, [ada, bob])
}

/// The next mail goes out while the last one is put on record.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_does_not_wait_for_postgres() {
    let (stack, [ada, bob]) = bob_waits_for_adas_connection().await;
    // Whatever is to be recorded waits from here on, and fails after two seconds.
    stack.database.execute("BEGIN", &[]).await;
    stack.database.execute("LOCK TABLE deliveries IN SHARE MODE", &[]).await;
    stack.mail_server.mail_to(BOB).await;
    let recorded = "SELECT count(*) FROM deliveries";
    assert_eq!((stack.database.count(recorded).await, stack.mail_server.connections()), (0, 1));
    stack.database.execute("COMMIT", &[]).await;
    for registration in [ada, bob] {
        stack.client.receipt_when(&registration, "sent").await;
    }
    assert_eq!(stack.mail_server.count(), 2);
}

/// I-11: what was true before the wait does not count after it.
#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_dies_while_it_waits_for_a_connection_is_not_mailed() {
    let (stack, [ada, bob]) = bob_waits_for_adas_connection().await;
    let dies = "UPDATE codes SET deadline = clock_timestamp() FROM registrations r \
        WHERE r.id = registration_id AND r.email = 'bob@example.com'";
    assert_eq!(stack.database.execute(dies, &[]).await, 1);
    assert_eq!(stack.mail_server.count(), 0, "the first mail was through too soon");
    stack.client.receipt_when(&ada, "sent").await;
    stack.client.receipt_when(&bob, "expired").await;
    stack.database.becomes("SELECT count(*) FROM deliveries WHERE outcome = 'dropped' AND why = 'expired'", 1).await;
    assert_eq!((stack.mail_server.count(), stack.mail_server.attempts(BOB).len()), (1, 0));
}

/// I-19: what is under way is finished; what waits is somebody else's, at once.
#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_a_worker_gives_back_what_it_has_not_begun() {
    for _ in 0..3 {
        if a_worker_is_stopped_while_one_is_mailed_and_one_waits().await {
            return;
        }
    }
    panic!("the first mail was through too soon, each time");
}

async fn a_worker_is_stopped_while_one_is_mailed_and_one_waits() -> bool {
    let stack = Stack::prepare(ONE).await;
    let api = stack.start_api(&[]).await;
    let worker = stack.start_worker(&[]).await;
    stack.mail_server.script(ADA, [Behaviour::Slow(Stage::Dot, SHORT)]);
    let ada = api.client.register(ADA).await.registration();
    stack.mail_server.nth_attempt(ADA, 1).await;
    let bob = api.client.register(BOB).await.registration();
    newest_code_was_read(&stack).await;
    if stack.mail_server.count() > 0 {
        return false;
    }
    worker.stop().await.unwrap();
    api.client.receipt_when(&ada, "sent").await;
    assert_eq!((stack.mail_server.count(), stack.mail_server.attempts(BOB).len()), (1, 0));
    stack.queue_holds(&stack.topology.queue, 1).await;
    stack.start_worker(&[]).await;
    api.client.receipt_when(&bob, "sent").await;
    assert_eq!((stack.mail_server.mails_to(ADA).len(), stack.mail_server.mails_to(BOB).len()), (1, 1));
    true
}
