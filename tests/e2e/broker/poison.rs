//! Messages and rows that can never be processed are put aside in bounded time, and delay no other (I-17).

use std::time::Duration;

use lapin::{
    BasicProperties,
    options::{BasicPublishOptions, QueuePurgeOptions},
    types::{AMQPValue, FieldTable},
};
use serde_json::{Value, json};

use support::{client::Client, scrape::Scrape, stack::Stack};

const ADA: &str = "ada@example.com";
const BOB: &str = "bob@example.com";
const ID: &str = "00000000-0000-0000-0000-000000000001";

/// Runs `api outbox … --json`, and returns its output, or the error.
async fn outbox(stack: &Stack, subcommand: &str) -> Result<Value, String> {
    let arguments = format!("outbox {subcommand} --json");
    let Some(api::Command::Tool(tool)) = api::Command::parse(arguments.split_whitespace().map(str::to_owned)) else {
        panic!("no such command: {arguments}")
    };
    let config = api::Config::load_from(stack.variables(&[])).unwrap();
    api::answer(config, tool).await.map(|output| serde_json::from_str(&output).unwrap()).map_err(|e| format!("{e:#}"))
}

async fn parked_rows(ops: &Client, expected: f64) {
    Scrape::wait_until(ops, |scrape| scrape.value("outbox_parked_rows") == expected).await;
}

/// A mail, a notice and an event that no version can read.
#[tokio::test(flavor = "multi_thread")]
async fn unreadable_outbox_row_is_retried_then_parked_and_requeued() {
    let stack = Stack::start().await;
    let api = stack.start_api(&[]).await;
    let rows = "INSERT INTO outbox (id, message, is_notice) VALUES ($1::text::uuid, '{\"v\": 99}', false), \
        (gen_random_uuid(), '{\"v\": 99}', true), (gen_random_uuid(), '{\"specversion\": 7}', false), \
        (gen_random_uuid(), '{\"v\": 1e999}', false)";
    stack.database.execute(rows, &[&ID]).await;
    let backing_off = "SELECT count(*) FROM outbox WHERE failures = 1 AND leased_until > clock_timestamp()";
    stack.database.wait_for_count(backing_off, 4).await;
    stack.sign_up(ADA).await;
    // Half an hour passes. A relay may just be writing the number of failures.
    let almost = "UPDATE outbox SET failures = 9, leased_until = clock_timestamp(), due_at = due_at - interval '1 min' \
        WHERE failures < 9";
    let parking = async {
        while stack.database.count("SELECT count(*) FROM outbox").await > 0 {
            stack.database.execute(almost, &[]).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), parking).await.expect("a row is not parked");
    parked_rows(&api.ops, 4.0).await;

    let listed = outbox(&stack, "parked").await.unwrap();
    let row = listed["parked"].as_array().unwrap().iter().find(|row| row["id"] == ID).unwrap();
    assert_eq!(row["why"], "a version this worker does not know");
    assert!(outbox(&stack, "requeue 7").await.unwrap_err().contains("not an id"));
    assert!(outbox(&stack, &format!("drop {}", ID.replace('1', "2"))).await.unwrap_err().contains("no parked row"));
    assert_eq!(outbox(&stack, &format!("drop {ID}")).await.unwrap(), json!({ "dropped": 1 }));
    // As if a version could read it now.
    let repaired = "UPDATE parked_outbox_rows SET message = jsonb_build_object('v', 1, 'kind', 'activated', 'id', id) \
        WHERE is_notice";
    stack.database.execute(repaired, &[]).await;
    assert_eq!(outbox(&stack, "requeue all").await.unwrap(), json!({ "requeued": 3 }));
    stack.database.wait_for_count("SELECT count(*) FROM deliveries WHERE why = 'gone'", 1).await;
    stack.database.wait_for_count("SELECT count(*) FROM outbox WHERE failures = 1", 2).await;
    parked_rows(&api.ops, 0.0).await;
}

/// The row of a code cannot be written. Its mail is recorded as delivered, once, and the worker mails others meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn code_that_cannot_be_written_does_not_stall_the_worker() {
    let stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    let damaged = api.client.register(ADA).await.registration();
    let function = "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS \
        $$ BEGIN RAISE EXCEPTION 'damaged' USING ERRCODE = 'data_corrupted'; END $$";
    stack.database.execute(function, &[]).await;
    let trigger = format!(
        "CREATE TRIGGER fail BEFORE UPDATE ON codes FOR EACH ROW WHEN (NEW.registration_id = '{damaged}') \
         EXECUTE FUNCTION fail()"
    );
    stack.database.execute(&trigger, &[]).await;
    stack.start_worker(&[]).await;
    stack.mail_server.mail_to(ADA).await;
    let registration = api.client.register(BOB).await.registration();
    api.client.wait_for_receipt(&registration, "sent").await;
    stack.database.wait_for_count("SELECT count(*) FROM deliveries WHERE outcome = 'delivered'", 2).await;
    assert_eq!(stack.mail_server.mails_to(ADA).len(), 1);
}

/// Reading a code fails every time. Its mail is undeliverable after the last attempt, and can be requeued.
#[tokio::test(flavor = "multi_thread")]
async fn code_that_cannot_be_read_is_undeliverable_in_the_end() {
    let stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    let damaged = api.client.register(ADA).await.registration();
    stack.wait_for_queue_length(&stack.topology.codes.name, 1).await;
    stack.database.wait_for_count("SELECT count(*) FROM outbox", 0).await;
    let function = "CREATE FUNCTION read(registration uuid) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN \
        IF registration = (SELECT id FROM damaged) THEN RAISE EXCEPTION 'damaged' USING ERRCODE = 'data_corrupted'; \
        END IF; RETURN true; END $$";
    for sql in [
        &format!("CREATE TABLE damaged AS SELECT '{damaged}'::uuid AS id"),
        "GRANT SELECT ON damaged TO public",
        function,
        "CREATE POLICY readable ON codes USING (read(registration_id))",
        "ALTER TABLE codes ENABLE ROW LEVEL SECURITY",
    ] {
        stack.database.execute(sql, &[]).await;
    }
    // Instead of the message itself, one that has failed nine times.
    let channel = stack.open_channel().await;
    let queue = stack.topology.codes.name.as_str();
    channel.queue_purge(queue.into(), QueuePurgeOptions::default()).await.unwrap();
    let id: String = stack.database.client().query_one("SELECT id::text FROM codes", &[]).await.unwrap().get(0);
    let mut headers = FieldTable::default();
    headers.insert("x-vestibule-errors".into(), AMQPValue::LongUInt(9));
    let properties = BasicProperties::default().with_headers(headers).with_message_id(id.as_str().into());
    let body = json!({ "v": 1, "kind": "send-code", "id": id }).to_string();
    let publishing =
        channel.basic_publish("".into(), queue.into(), BasicPublishOptions::default(), body.as_bytes(), properties);
    publishing.await.unwrap();

    stack.start_worker(&[]).await;
    stack.database.wait_for_count("SELECT count(*) FROM deliveries WHERE outcome = 'undeliverable'", 1).await;
    let registration = api.client.register(BOB).await.registration();
    api.client.wait_for_receipt(&registration, "sent").await;
    stack.database.execute("DELETE FROM damaged", &[]).await;
    let arguments = format!("undeliverable requeue {id} --json");
    let Some(worker::Command::Tool(tool)) = worker::Command::parse(arguments.split(' ').map(str::to_owned)) else {
        panic!("no such command")
    };
    worker::answer(worker::Config::load_from(stack.variables(&[])).unwrap(), tool).await.unwrap();
    stack.mail_server.mail_to(ADA).await;
}
