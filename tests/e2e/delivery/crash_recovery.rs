//! Crash recovery (I-03): processes are killed and connections broken at the worst moments, and no mail is lost.

use support::{
    database::with_session_setting,
    fake_smtp::behaviour::{Behaviour, Stage},
    proxy::{Proxy, ProxyMode},
    scrape::Scrape,
    stack::Stack,
};

const ADA: &str = "ada@example.com";

#[tokio::test(flavor = "multi_thread")]
async fn outbox_rows_of_a_killed_api_are_delivered() {
    let stack = Stack::prepare(&[]).await;
    let (proxy, url) = Proxy::in_front_of(&support::database::server_url("AMQP_URL")).await;
    proxy.set(ProxyMode::Closed);
    let api = stack.start_api(&[("AMQP_URL", &url)]).await;
    assert_eq!(api.client.register(ADA).await.status, 202);
    api.kill().await;
    stack.start_worker(&[]).await;
    stack.start_api(&[]).await;
    // Ends the leases that the killed API may hold.
    let outbox_is_empty = async {
        while stack.database.count("SELECT count(*) FROM outbox").await > 0 {
            stack.database.execute("UPDATE outbox SET leased_until = clock_timestamp()", &[]).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), outbox_is_empty).await.expect("the outbox is emptied");
    stack.mail_server.mail_to(ADA).await;
}

/// I-06: killed between the mail server's 250 and the delivery record. The next worker sends the same mail (Message-ID
/// and code) once more at most, and the receipt is correct.
#[tokio::test(flavor = "multi_thread")]
async fn worker_killed_before_recording_repeats_one_mail_at_most() {
    let stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    let (proxy, url) = Proxy::in_front_of(&stack.database.service_url).await;
    let worker = stack.start_worker(&[("DATABASE_URL", &url)]).await;
    stack.mail_server.script(ADA, [Behaviour::Slow(Stage::Dot, std::time::Duration::from_secs(2))]);
    let registration = api.client.register(ADA).await.registration();
    // The mail server delays its 250. Meanwhile the database becomes unreachable, so the delivery cannot be recorded.
    stack.mail_server.nth_attempt(ADA, 1).await;
    proxy.set(ProxyMode::Stalled);
    let first = stack.mail_server.mail_to(ADA).await;
    worker.kill().await;
    assert_eq!(api.client.receipt(&registration).await["status"], "queued");

    stack.start_worker(&[]).await;
    api.client.wait_for_receipt(&registration, "sent").await;
    let mails = stack.mail_server.mails_to(ADA);
    assert_eq!(mails.len(), 2);
    assert!(mails.iter().all(|mail| mail.message_id == first.message_id && mail.code() == first.code()));
    assert_eq!(api.client.activate(ADA, &first.code()).await.status, 200);
}

/// I-05, I-10: killed between the delivery record and the ack. The message is redelivered, but no mail is sent again
/// and the validity is not extended.
#[tokio::test(flavor = "multi_thread")]
async fn worker_killed_before_the_ack_repeats_no_mail() {
    let stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    let (proxy, url) = Proxy::in_front_of(&support::database::server_url("AMQP_URL")).await;
    let worker = stack.start_worker(&[("AMQP_URL", &url)]).await;
    stack.mail_server.script(ADA, [Behaviour::Slow(Stage::Dot, std::time::Duration::from_secs(2))]);
    let registration = api.client.register(ADA).await.registration();
    stack.mail_server.nth_attempt(ADA, 1).await;
    proxy.set(ProxyMode::Stalled);
    api.client.wait_for_receipt(&registration, "sent").await;
    let expires_at = api.client.receipt(&registration).await["expires_at"].clone();
    worker.kill().await;
    proxy.set(ProxyMode::Closed);

    let next = stack.start_worker(&[]).await;
    api.client.register("next@example.com").await;
    stack.mail_server.mail_to("next@example.com").await;
    next.stop().await.unwrap();
    stack.wait_for_queue_length(&stack.topology.codes.name, 0).await;
    assert_eq!(stack.mail_server.mails_to(ADA).len(), 1);
    assert_eq!(
        api.client.receipt(&registration).await["expires_at"],
        expires_at,
        "redelivery never extends the validity"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pool_recovers_from_terminated_connections() {
    let stack = Stack::start().await;
    stack.sign_up("first@example.com").await;
    for n in 0..5 {
        let terminate_others = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
            WHERE datname = current_database() AND pid <> pg_backend_pid()";
        stack.database.count(terminate_others).await;
        let email = format!("u{n}@example.com");
        // The first requests may get pooled connections whose end has not been noticed yet.
        let mut answer = stack.client.register(&email).await;
        for _ in 0..20 {
            if answer.status == 202 {
                break;
            }
            assert_eq!(answer.problem(), (503, "unavailable".into()));
            answer = stack.client.register(&email).await;
        }
        assert_eq!(answer.status, 202, "{answer:?}");
        stack.mail_server.mail_to(&email).await;
        stack.client.wait_for_receipt(&answer.registration(), "sent").await;
    }
}

/// I-19: a worker that is stopped finishes the delivery in progress, and records it.
#[tokio::test(flavor = "multi_thread")]
async fn stopping_worker_finishes_the_delivery_in_progress() {
    let stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    let worker = stack.start_worker(&[]).await;
    stack.mail_server.script(ADA, [Behaviour::Slow(Stage::Dot, std::time::Duration::from_millis(500))]);
    let registration = api.client.register(ADA).await.registration();
    stack.mail_server.nth_attempt(ADA, 1).await;
    worker.stop().await.unwrap();
    assert_eq!(stack.mail_server.mails_to(ADA).len(), 1);
    assert_eq!(api.client.receipt(&registration).await["status"], "sent");
    api.stop().await.unwrap();
}

/// A message is not given up, however often the workers that hold it are killed, while its code can still be mailed.
#[tokio::test(flavor = "multi_thread")]
async fn message_survives_22_killed_workers() {
    let stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    stack.mail_server.every_connection(Some(Behaviour::Silence(Stage::Greeting)));
    let registration = api.client.register(ADA).await.registration();
    for killed in 1..=22 {
        let worker = stack.start_worker(&[]).await;
        stack.mail_server.nth_connection(killed).await;
        worker.kill().await;
    }
    stack.mail_server.every_connection(None);
    stack.start_worker(&[]).await;
    let code = stack.mail_server.mail_to(ADA).await.code();
    api.client.wait_for_receipt(&registration, "sent").await;
    assert_eq!(api.client.activate(ADA, &code).await.status, 200);
}

/// The database can be read but not written, for example because its disk is full. A delivery that cannot be recorded
/// would be repeated again and again, so the worker pauses: that mail is held until it is on record, and no other mail
/// is sent.
#[tokio::test(flavor = "multi_thread")]
async fn worker_pauses_while_deliveries_cannot_be_recorded() {
    let mut stack = Stack::prepare(&[]).await;
    stack.client = stack.start_api(&[]).await.client.clone();
    let worker = stack.start_worker(&[]).await;
    let reject_writes = "CREATE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
        RAISE EXCEPTION 'no space left on device' USING ERRCODE = 'disk_full'; END $$; \
        CREATE TRIGGER disk_full BEFORE INSERT ON deliveries FOR EACH ROW EXECUTE FUNCTION disk_full()";
    stack.database.client().batch_execute(reject_writes).await.unwrap();
    let first = stack.client.register(ADA).await.registration();
    let failed = r#"postgres_errors_total{part="worker"}"#;
    Scrape::wait_until(&worker.ops, |scrape| scrape.value(failed) > 0.0).await;
    let next = stack.client.register("next@example.com").await.registration();
    stack.wait_for_queue_length(&stack.topology.codes.retry_queue(5), 1).await;
    assert_eq!(stack.mail_server.attempts("next@example.com").len(), 0);
    stack.database.execute("DROP TRIGGER disk_full ON deliveries", &[]).await;
    for registration in [first, next] {
        stack.client.wait_for_receipt(&registration, "sent").await;
    }
    assert_eq!((stack.mail_server.mails_to(ADA).len(), stack.mail_server.mails_to("next@example.com").len()), (1, 1));
}

/// A read-only standby may lag behind (a missing row is no proof) and cannot record deliveries: the worker neither
/// drops nor sends a mail because of what it reads there.
#[tokio::test(flavor = "multi_thread")]
async fn worker_does_not_trust_a_read_only_database() {
    let stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    let registration = api.client.register(ADA).await.registration();
    assert_eq!(api.client.register("unknown@example.com").await.status, 202);
    stack.wait_for_queue_length(&stack.topology.codes.name, 2).await;
    stack.database.execute("DELETE FROM registrations WHERE email = 'unknown@example.com'", &[]).await;
    let standby = with_session_setting(&stack.database.service_url, "default_transaction_read_only=on");
    let worker = stack.start_worker(&[("DATABASE_URL", &standby)]).await;
    stack.wait_for_queue_length(&stack.topology.codes.retry_queue(5), 2).await;
    worker.stop().await.unwrap();
    assert_eq!(
        (stack.mail_server.connections(), stack.database.count("SELECT count(*) FROM deliveries").await),
        (0, 0)
    );
    stack.start_worker(&[]).await;
    api.client.wait_for_receipt(&registration, "sent").await;
    stack
        .database
        .wait_for_count("SELECT count(*) FROM deliveries WHERE outcome = 'dropped' AND why = 'gone'", 1)
        .await;
    assert_eq!(stack.mail_server.count(), 1);
}
