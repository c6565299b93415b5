//! Cleanup deletes expired rows in small batches, in one process at a time, and without waiting for locked rows.

mod retention;

use std::{sync::Arc, time::Duration};

use api::{MaxInFlight, OutboxDelivery, Services};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use support::{database::Database, stack::Stack};

const ADA: &str = "ada@example.com";

/// Settings for an API that cleans up every second.
pub(crate) const CLEANING: (&str, &str) = ("HOUSEKEEPING_SECONDS", "1");

const INSERT_OLD_DELIVERIES: &str = "INSERT INTO deliveries (message_id, outcome, at) \
    SELECT gen_random_uuid(), 'delivered', clock_timestamp() - interval '1 year' FROM generate_series(1, $1::integer)";
const COUNT_DELIVERIES: &str = "SELECT count(*) FROM deliveries";

/// Waits until a whole cleanup round has seen everything that is in the database now.
///
/// An empty budget row is deleted by the next batch. The batch that deletes the first one may have begun before this
/// call; the batch that deletes the second one has not. The query sleeps, so that polling does not take the processor
/// from cleanup on a small machine.
async fn cleanup_finished(database: &Database) {
    for _ in 0..2 {
        database.execute("INSERT INTO budgets (subject, kind, used_at) VALUES ('\\x00', 'codes', '{}')", &[]).await;
        let left = "SELECT (SELECT count(*) FROM budgets WHERE subject = '\\x00') FROM pg_sleep(0.05)";
        database.wait_for_count(left, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_expired_rows_are_deleted_in_batches() {
    let stack = Stack::without_broker().await;
    let database = &stack.database;
    let noting = "CREATE TABLE batches (rows bigint);
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN INSERT INTO batches SELECT count(*) FROM gone HAVING count(*) > 0; RETURN NULL; END $$;
        CREATE TRIGGER note AFTER DELETE ON deliveries REFERENCING OLD TABLE AS gone
            FOR EACH STATEMENT EXECUTE FUNCTION note()";
    database.client().batch_execute(noting).await.unwrap();
    database.execute(INSERT_OLD_DELIVERIES, &[&1_900]).await;
    // With one batch a round, this would take 50 seconds.
    let _api = stack.start_api(&[("HOUSEKEEPING_SECONDS", "5")]).await;
    database.wait_for_count("SELECT (SELECT count(*) FROM deliveries) FROM pg_sleep(0.05)", 0).await;
    assert_eq!(database.count("SELECT max(rows) FROM batches").await, 200);
    assert_eq!(database.count("SELECT count(*) FROM batches").await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_one_process_cleans_up_at_a_time() {
    let stack = Stack::without_broker().await;
    let database = &stack.database;
    // Sequences are visible to other transactions at once, and are not rolled back.
    let watching = "CREATE SEQUENCE batches; CREATE SEQUENCE overlapping;
        CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            PERFORM nextval('batches');
            IF NOT pg_try_advisory_xact_lock(7, 7) THEN PERFORM nextval('overlapping'); END IF;
            PERFORM pg_sleep(1.2);
            RETURN NULL; END $$;
        CREATE TRIGGER watch BEFORE DELETE ON deliveries FOR EACH STATEMENT EXECUTE FUNCTION watch()";
    database.client().batch_execute(watching).await.unwrap();
    // A batch takes longer than the pause between rounds: without the lock, two would overlap.
    let _apis = [stack.start_api(&[CLEANING]).await, stack.start_api(&[CLEANING]).await];
    database.wait_for_count("SELECT (last_value > 4)::integer::bigint FROM batches, pg_sleep(0.05)", 1).await;
    assert_eq!(database.count("SELECT is_called::integer::bigint FROM overlapping").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn locked_row_is_skipped_and_deleted_later() {
    let stack = Stack::without_broker().await;
    let database = &stack.database;
    let api = stack.start_api(&[CLEANING]).await;
    let registration = api.client.register(ADA).await.registration();
    let (client, connection) = tokio_postgres::connect(&database.url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("BEGIN; SELECT FROM registrations FOR UPDATE").await.unwrap();
    // Age it in the transaction that holds the lock: no other one can write to the row.
    client.batch_execute("UPDATE registrations SET created_at = created_at - interval '9 days'").await.unwrap();
    database.execute(INSERT_OLD_DELIVERIES, &[&3]).await;
    cleanup_finished(database).await;
    assert_eq!(database.count(COUNT_DELIVERIES).await, 0, "cleanup of other rows does not wait for the locked one");
    assert_eq!(api.client.receipt(&registration).await["status"], "queued");
    client.batch_execute("COMMIT; BEGIN; SELECT FROM registrations FOR UPDATE").await.unwrap();
    cleanup_finished(database).await;
    assert_eq!(
        api.client.receipt(&registration).await["status"],
        "closed",
        "the locked registration is closed, and not deleted"
    );
    client.batch_execute("COMMIT").await.unwrap();
    cleanup_finished(database).await;
    assert_eq!(api.client.get(&format!("/v1/registrations/{registration}")).await.problem().0, 404);
}

/// I-03: a message that was queued until its code was deleted has a delivery record, too.
#[tokio::test(flavor = "multi_thread")]
async fn message_of_deleted_code_is_recorded_as_dropped() {
    let stack = Stack::prepare(&[CLEANING]).await;
    let api = stack.start_api(&[]).await;
    assert_eq!(api.client.register(ADA).await.status, 202);
    stack.wait_for_queue_length(&stack.topology.codes.name, 1).await;
    stack.database.age(8 * 86_400).await;
    cleanup_finished(&stack.database).await;
    assert_eq!(stack.database.count("SELECT count(*) FROM codes").await, 0);
    let _worker = stack.start_worker(&[]).await;
    stack
        .database
        .wait_for_count("SELECT count(*) FROM deliveries WHERE (outcome, why) = ('dropped', 'gone')", 1)
        .await;
    assert!(stack.mail_server.mails_to(ADA).is_empty());
}

/// Rows of different partitions may have the same `ctid`.
#[tokio::test(flavor = "multi_thread")]
async fn cleanup_of_a_partitioned_table_keeps_live_rows() {
    let stack = Stack::without_broker().await;
    let database = &stack.database;
    let partition = "DROP TABLE deliveries;
        CREATE TABLE deliveries (message_id uuid NOT NULL, outcome text NOT NULL, why text,
            at timestamptz NOT NULL DEFAULT clock_timestamp()) PARTITION BY LIST (outcome);
        CREATE TABLE delivered PARTITION OF deliveries FOR VALUES IN ('delivered');
        CREATE TABLE dropped PARTITION OF deliveries FOR VALUES IN ('dropped');
        GRANT ALL ON deliveries TO PUBLIC;
        INSERT INTO deliveries (message_id, outcome) SELECT gen_random_uuid(), 'dropped' FROM generate_series(1, 10)";
    database.client().batch_execute(partition).await.unwrap();
    database.execute(INSERT_OLD_DELIVERIES, &[&5]).await;
    let _api = stack.start_api(&[CLEANING]).await;
    database.wait_for_count("SELECT count(*) FROM deliveries WHERE outcome = 'delivered'", 0).await;
    assert_eq!(database.count(COUNT_DELIVERIES).await, 10);
}

/// The embedded database of `cargo run` has no autovacuum.
#[tokio::test(flavor = "multi_thread")]
async fn tables_of_a_database_without_autovacuum_are_vacuumed() {
    let stack = Stack::without_broker().await;
    let database = shared::postgres::pool(&stack.database.url.clone().into(), 1).unwrap();
    let delivery = OutboxDelivery {
        deliver: Arc::new(|_| Box::pin(std::future::pending())),
        is_up: Arc::new(|| false),
        max_in_flight: Arc::new(|| MaxInFlight::of_each(1)),
        look_at_queue: None,
        drain_timeout: Duration::ZERO,
    };
    let services = Services {
        health_database: database.clone(),
        database,
        has_autovacuum: false,
        delivery,
        ops: TcpListener::bind("127.0.0.1:0").await.unwrap(),
        metrics: Default::default(),
        others: vec![],
    };
    let config = api::Config::load_from(stack.variables(&[CLEANING])).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stop = CancellationToken::new();
    let api = tokio::spawn(api::run_on(services, config, listener, stop.clone()));
    // All but those that requests hardly write.
    let untouched = "SELECT count(*) FROM pg_stat_user_tables WHERE vacuum_count * analyze_count = 0 AND relname NOT IN \
        ('account_deletions', 'guesses_by_hour', 'migrations', 'mutes', 'names', 'parked_outbox_rows', \
        'password_changes', 'rescue_rounds', 'unfinished_messages', 'unlocks')";
    stack.database.wait_for_count(untouched, 0).await;
    stop.cancel();
    api.await.unwrap().unwrap();
}
