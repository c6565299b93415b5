//! How what is over goes: in small bites, by one process at a time, and in nobody's way.

mod retention;

use support::{database::Database, stack::Stack};

const ADA: &str = "ada@example.com";

pub(crate) const CLEANING: (&str, &str) = ("HOUSEKEEPING_SECONDS", "1");

const OLD_RECORDS: &str = "INSERT INTO deliveries (message_id, outcome, at) \
    SELECT gen_random_uuid(), 'delivered', clock_timestamp() - interval '1 year' FROM generate_series(1, $1::integer)";
const RECORDS: &str = "SELECT count(*) FROM deliveries";

/// Waits until all that is over has been looked at. A row that holds nothing goes at once: where it is gone, a batch
/// was here, and the second such batch began when all this was in the database. It is asked for in peace: who asks
/// without a pause leaves a small machine no time to clean.
async fn cleaned(database: &Database) {
    for _ in 0..2 {
        database.execute("INSERT INTO budgets (subject, kind, used_at) VALUES ('\\x00', 'codes', '{}')", &[]).await;
        let left = "SELECT (SELECT count(*) FROM budgets WHERE subject = '\\x00') FROM pg_sleep(0.05)";
        database.becomes(left, 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_much_goes_in_many_small_bites() {
    let stack = Stack::without_broker().await;
    let database = &stack.database;
    let noting = "CREATE TABLE bites (rows bigint);
        CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN INSERT INTO bites SELECT count(*) FROM gone HAVING count(*) > 0; RETURN NULL; END $$;
        CREATE TRIGGER note AFTER DELETE ON deliveries REFERENCING OLD TABLE AS gone
            FOR EACH STATEMENT EXECUTE FUNCTION note()";
    database.client().batch_execute(noting).await.unwrap();
    database.execute(OLD_RECORDS, &[&1_900]).await;
    // One bite a round would take too long.
    let _api = stack.start_api(&[("HOUSEKEEPING_SECONDS", "5")]).await;
    database.becomes("SELECT (SELECT count(*) FROM deliveries) FROM pg_sleep(0.05)", 0).await;
    assert_eq!(database.count("SELECT max(rows) FROM bites").await, 200);
    assert_eq!(database.count("SELECT count(*) FROM bites").await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_processes_one_cleans_at_a_time() {
    let stack = Stack::without_broker().await;
    let database = &stack.database;
    // Sequences are seen from other transactions at once, and nothing takes them back.
    let watching = "CREATE SEQUENCE batches; CREATE SEQUENCE meetings;
        CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            PERFORM nextval('batches');
            IF NOT pg_try_advisory_xact_lock(7, 7) THEN PERFORM nextval('meetings'); END IF;
            PERFORM pg_sleep(1.2);
            RETURN NULL; END $$;
        CREATE TRIGGER watch BEFORE DELETE ON deliveries FOR EACH STATEMENT EXECUTE FUNCTION watch()";
    database.client().batch_execute(watching).await.unwrap();
    // Each is at it for longer than it rests: without a lock, two would meet.
    let _apis = [stack.start_api(&[CLEANING]).await, stack.start_api(&[CLEANING]).await];
    database.becomes("SELECT (last_value > 4)::integer::bigint FROM batches, pg_sleep(0.05)", 1).await;
    assert_eq!(database.count("SELECT is_called::integer::bigint FROM meetings").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_in_somebodys_hand_is_left_for_later() {
    let stack = Stack::without_broker().await;
    let database = &stack.database;
    let api = stack.start_api(&[CLEANING]).await;
    let registration = api.client.register(ADA).await.registration();
    let (client, connection) = tokio_postgres::connect(&database.url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("BEGIN; SELECT FROM registrations FOR UPDATE").await.unwrap();
    // As if it had been made then: the row itself cannot be aged by another.
    client.batch_execute("UPDATE registrations SET created_at = created_at - interval '9 days'").await.unwrap();
    database.execute(OLD_RECORDS, &[&3]).await;
    cleaned(database).await;
    assert_eq!(database.count(RECORDS).await, 0, "the others do not wait for it");
    assert_eq!(api.client.receipt(&registration).await["status"], "queued");
    client.batch_execute("COMMIT; BEGIN; SELECT FROM registrations FOR UPDATE").await.unwrap();
    cleaned(database).await;
    assert_eq!(api.client.receipt(&registration).await["status"], "closed", "it is over, and in our hand");
    client.batch_execute("COMMIT").await.unwrap();
    cleaned(database).await;
    assert_eq!(api.client.get(&format!("/v1/registrations/{registration}")).await.problem().0, 404);
}

/// I-03: what was in the queue for so long that its code is gone has an end on record, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_message_whose_code_is_gone_is_dropped_on_record() {
    let stack = Stack::prepare(&[CLEANING]).await;
    let api = stack.start_api(&[]).await;
    assert_eq!(api.client.register(ADA).await.status, 202);
    stack.queue_holds(&stack.topology.queue, 1).await;
    stack.database.age(8 * 86_400).await;
    cleaned(&stack.database).await;
    assert_eq!(stack.database.count("SELECT count(*) FROM codes").await, 0);
    let _worker = stack.start_worker(&[]).await;
    stack.database.becomes("SELECT count(*) FROM deliveries WHERE (outcome, why) = ('dropped', 'gone')", 1).await;
    assert!(stack.mail_server.mails_to(ADA).is_empty());
}
