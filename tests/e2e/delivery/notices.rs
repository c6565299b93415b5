//! Notices have a queue of their own: no number of them delays a code.

use support::{
    database::Database,
    fake_smtp::behaviour::{Behaviour, Stage},
    stack::{SUBJECT_KEY, Stack},
    standalone::StandaloneFolder,
};

const ADA: &str = "ada@example.com";
const BOB: &str = "bob@example.com";

const NOTICES: i64 = 100;

/// So many notices to Ada, as if her password had been changed so often.
async fn insert_notices(database: &Database) {
    let changes = format!(
        "INSERT INTO password_changes (id, user_id, changed_at) \
         SELECT gen_random_uuid(), id, clock_timestamp() FROM users, generate_series(1, {NOTICES})"
    );
    database.execute(&changes, &[]).await;
    let messages = "INSERT INTO outbox (id, message, is_notice) \
        SELECT id, jsonb_build_object('v', 1, 'kind', 'password-changed', 'id', id), true FROM password_changes";
    database.execute(messages, &[]).await;
}

/// S-30: the mail server does not answer any of a hundred notices, and another user signs up meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn s_30_full_notice_queue_delays_no_code() {
    let stack = Stack::start_with(&[("WORKER_CONCURRENCY", "4")]).await;
    stack.create_account(ADA).await;
    stack.mail_server.script(ADA, [Behaviour::Silence(Stage::Dot); 100]);
    insert_notices(&stack.database).await;
    stack.database.wait_for_count("SELECT count(*) FROM outbox", 0).await;
    let (_, code) = stack.sign_up(BOB).await;
    assert_eq!(stack.client.activate(BOB, &code).await.status, 200);
    let waiting = NOTICES - stack.database.count("SELECT count(*) FROM deliveries WHERE outcome = 'delivered'").await;
    assert!(waiting > NOTICES / 2, "the notices still wait");
}

/// The same without a broker, where the outbox is the queue.
#[tokio::test(flavor = "multi_thread")]
async fn s_30_waiting_notices_delay_no_code_without_broker() {
    let servers = Stack::prepare(&[]).await;
    let settings = [
        ("DATABASE_URL", servers.database.url.as_str()),
        ("SMTP_URL", &servers.mail_server.url()),
        ("CODE_SECRETS", "test:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        ("SUBJECT_KEY", SUBJECT_KEY),
        ("WORKER_CONCURRENCY", "4"),
    ];
    let home = StandaloneFolder::new();
    let running = home.start(&settings);
    let sign_up = async |email: &str| {
        let registration = running.client.register(email).await.registration();
        let code = servers.mail_server.mail_to(email).await.code();
        running.client.wait_for_receipt(&registration, "sent").await;
        assert_eq!(running.client.activate(email, &code).await.status, 200);
    };
    sign_up(ADA).await;
    servers.mail_server.nth_mail_to(ADA, 2).await;
    servers.mail_server.script(ADA, [Behaviour::Silence(Stage::Dot); 100]);
    insert_notices(&servers.database).await;
    servers.database.wait_for_count("SELECT LEAST(count(*), 1) FROM outbox WHERE leased_until > now()", 1).await;
    sign_up(BOB).await;
    assert!(servers.database.count("SELECT count(*) FROM outbox").await > NOTICES / 2, "the notices still wait");
}
