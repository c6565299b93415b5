//! Messages that the broker has lost are published again without an operator, and others are not.

use std::time::Duration;

use lapin::options::QueueDeleteOptions;

use support::{
    fake_smtp::behaviour::{Behaviour, Stage},
    running::RunningService,
    scrape::Scrape,
    stack::Stack,
};

const ADA: &str = "ada@example.com";

/// Longer than a worker has a mail here; ten rounds begin in this time.
const FAST: (&str, &str) = ("RESCUE_AFTER_SECONDS", "4");

async fn delete_queues<'a>(stack: &Stack, queues: impl IntoIterator<Item = &'a str>) {
    let channel = stack.open_channel().await;
    for queue in queues {
        channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await.unwrap();
    }
}

/// How many messages this API has published again.
async fn rescued(api: &RunningService, kind: &str) -> f64 {
    Scrape::of(&api.ops).await.value(&format!("rescued_messages_total{{kind=\"{kind}\"}}"))
}

/// Waits until one round followed the other for longer than it takes until a message counts as lost.
async fn wait_for_rounds(stack: &Stack) {
    let later = "SELECT count(*) FROM rescue_rounds WHERE ended_at > (SELECT max(at) FROM started) + interval '6 s' \
        AND continuous_since < ended_at - interval '5 s'";
    stack.database.execute("CREATE TABLE IF NOT EXISTS started (at timestamptz)", &[]).await;
    stack.database.execute("INSERT INTO started VALUES (clock_timestamp())", &[]).await;
    stack.database.wait_for_count(later, 1).await;
}

/// Two APIs search; the queues are deleted while three codes, a decoy and a welcome mail wait in them.
#[tokio::test(flavor = "multi_thread")]
async fn messages_of_a_deleted_queue_are_mailed_once_without_an_operator() {
    let stack = Stack::prepare(&[FAST]).await;
    let api = stack.start_api(&[]).await;
    let other_api = stack.start_api(&[]).await;
    let worker = stack.start_worker(&[]).await;
    api.client.register("owner@example.com").await;
    let code = stack.mail_server.mail_to("owner@example.com").await.code();
    stack.database.wait_for_count("SELECT count(*) FROM deliveries", 1).await;
    worker.stop().await.unwrap();
    assert_eq!(api.client.activate("owner@example.com", &code).await.status, 200);
    api.client.register("owner@example.com").await;
    let mut registrations = Vec::new();
    for n in 0..3 {
        registrations.push(api.client.register(&format!("u{n}@example.com")).await.registration());
    }
    stack.wait_for_queue_length(&stack.topology.codes.name, 4).await;
    stack.wait_for_queue_length(&stack.topology.notices.name, 1).await;
    stack.database.wait_for_count("SELECT count(*) FROM outbox", 0).await;
    delete_queues(&stack, [&*stack.topology.codes.name, &*stack.topology.notices.name]).await;

    stack.start_worker(&[]).await;
    for (n, registration) in registrations.iter().enumerate() {
        let email = format!("u{n}@example.com");
        let code = stack.mail_server.mail_to(&email).await.code();
        api.client.wait_for_receipt(registration, "sent").await;
        assert_eq!(api.client.activate(&email, &code).await.status, 200);
    }
    stack.database.wait_for_count("SELECT count(*) FROM deliveries WHERE outcome = 'delivered'", 1 + 5 + 3).await;
    stack.database.wait_for_count("SELECT count(*) FROM unfinished_messages WHERE missing_since IS NOT NULL", 0).await;
    // A welcome mail for each of the three, too.
    let counts =
        ["u0", "u1", "u2", "owner"].map(|name| stack.mail_server.mails_to(&format!("{name}@example.com")).len());
    assert_eq!(counts, [2, 2, 2, 3]);
    let both = async |kind| rescued(&api, kind).await + rescued(&other_api, kind).await;
    assert_eq!((both("send-code").await, both("activated").await), (4.0, 1.0));
}

/// The mail server does not answer, so all others wait behind the messages that the worker has.
#[tokio::test(flavor = "multi_thread")]
async fn message_that_waits_in_its_queue_is_not_published_again() {
    let stack = Stack::prepare(&[FAST]).await;
    let api = stack.start_api(&[]).await;
    let slow = Behaviour::Slow(Stage::Dot, Duration::from_secs(40));
    let addresses: Vec<_> = (0..6).map(|n| format!("u{n}@example.com")).collect();
    for address in &addresses {
        stack.mail_server.script(address, [slow]);
        assert_eq!(api.client.register(address).await.status, 202);
    }
    stack.wait_for_queue_length(&stack.topology.codes.name, 6).await;
    stack.start_worker(&[("WORKER_CONCURRENCY", "1")]).await;
    wait_for_rounds(&stack).await;
    assert_eq!(
        stack.database.count("SELECT count(*) FROM unfinished_messages WHERE missing_since IS NOT NULL").await,
        0
    );
    assert_eq!(rescued(&api, "send-code").await, 0.0);
}

/// The mail server rejects the mail for now. The note of the worker keeps the message from being published again, until it
/// must be back in its queue: if it is not, the retry queue has been lost.
#[tokio::test(flavor = "multi_thread")]
async fn message_in_a_retry_queue_is_published_again_only_after_its_delay() {
    let stack = Stack::prepare(&[FAST]).await;
    let api = stack.start_api(&[]).await;
    stack.start_worker(&[]).await;
    let busy = Behaviour::Reply { at: Stage::Rcpt, code: 450 };
    stack.mail_server.script(ADA, [busy; 4]);
    let registration = api.client.register(ADA).await.registration();
    // Now in the queue of 60 s.
    stack.mail_server.nth_attempt(ADA, 3).await;
    stack.mail_server.nth_attempt(ADA, 4).await;
    stack.wait_for_queue_length(&stack.topology.codes.retry_queue(60), 1).await;
    wait_for_rounds(&stack).await;
    let on_its_way = "SELECT count(*) FROM unfinished_messages WHERE missing_since IS NULL AND rescues = 0";
    assert_eq!(stack.database.count(on_its_way).await, 1);
    assert_eq!(rescued(&api, "send-code").await, 0.0);

    delete_queues(&stack, [&*stack.topology.codes.retry_queue(60)]).await;
    stack.database.execute("UPDATE unfinished_messages SET seen_at = seen_at - interval '65 s'", &[]).await;
    stack.mail_server.mail_to(ADA).await;
    api.client.wait_for_receipt(&registration, "sent").await;
    assert_eq!((rescued(&api, "send-code").await, stack.mail_server.mails_to(ADA).len()), (1.0, 1));
    // Finished: forgotten.
    stack.database.execute("UPDATE unfinished_messages SET seen_at = seen_at - interval '65 s'", &[]).await;
    stack.database.wait_for_count("SELECT count(*) FROM unfinished_messages", 0).await;
}

/// A message that was missing, because a worker had it, is in its queue again: it was given back, or an operator requeued it.
#[tokio::test(flavor = "multi_thread")]
async fn message_that_is_back_in_its_queue_is_not_published_again() {
    let stack = Stack::prepare(&[FAST]).await;
    let api = stack.start_api(&[]).await;
    assert_eq!(api.client.register(ADA).await.status, 202);
    stack.wait_for_queue_length(&stack.topology.codes.name, 1).await;
    let missing = "INSERT INTO unfinished_messages SELECT id, 'send-code', now() - interval '1 h', now() - interval '1 h' FROM codes";
    stack.database.execute(missing, &[]).await;
    wait_for_rounds(&stack).await;
    assert_eq!(rescued(&api, "send-code").await, 0.0);
    // Nor while a worker is busy with others.
    stack.mail_server.script(ADA, [Behaviour::Slow(Stage::Dot, Duration::from_secs(40))]);
    for n in 0..6 {
        assert_eq!(api.client.register(&format!("u{n}@example.com")).await.status, 202);
    }
    stack.wait_for_queue_length(&stack.topology.codes.name, 7).await;
    stack.mail_server.script("u0@example.com", [Behaviour::Slow(Stage::Dot, Duration::from_secs(40))]);
    stack.start_worker(&[("WORKER_CONCURRENCY", "1")]).await;
    wait_for_rounds(&stack).await;
    assert_eq!(rescued(&api, "send-code").await, 0.0);
}

/// A worker that stops gives back the messages that wait for an SMTP connection, and notes that.
#[tokio::test(flavor = "multi_thread")]
async fn stopping_worker_notes_what_it_gives_back() {
    let stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    stack.mail_server.script(ADA, [Behaviour::Slow(Stage::Dot, Duration::from_secs(3))]);
    let worker = stack.start_worker(&[("WORKER_CONCURRENCY", "1")]).await;
    assert_eq!(api.client.register(ADA).await.status, 202);
    stack.mail_server.nth_attempt(ADA, 1).await;
    assert_eq!(api.client.register("bob@example.com").await.status, 202);
    stack.database.wait_for_count("SELECT count(*) FROM outbox", 0).await;
    stack.wait_for_queue_length(&stack.topology.codes.name, 0).await;
    worker.stop().await.unwrap();
    stack.wait_for_queue_length(&stack.topology.codes.name, 1).await;
    let noted = "SELECT count(*) FROM unfinished_messages u JOIN codes c USING (id) JOIN registrations r \
        ON r.id = c.registration_id WHERE r.email = 'bob@example.com' AND missing_since IS NULL";
    assert_eq!(stack.database.count(noted).await, 1);
}

/// A notice that waits in the outbox when it is searched is found later.
#[tokio::test(flavor = "multi_thread")]
async fn notice_that_waited_in_the_outbox_is_found() {
    let stack = Stack::prepare(&[FAST]).await;
    // Nothing leases it.
    stack.database.execute("ALTER TABLE outbox ALTER leased_until SET DEFAULT now() + interval '1 h'", &[]).await;
    let user = "INSERT INTO users (id, email, password_hash, activated_at, updated_at) \
        VALUES ($1::text::uuid, $2, '', now() - interval '1 h', now())";
    let id = "00000000-0000-0000-0000-000000000001";
    stack.database.execute(user, &[&id, &ADA]).await;
    let row = "INSERT INTO outbox (id, message, is_notice) VALUES \
        ($1::text::uuid, jsonb_build_object('v', 1, 'kind', 'activated', 'id', $1::text), true)";
    stack.database.execute(row, &[&id]).await;
    let _api = stack.start_api(&[]).await;
    let _worker = stack.start_worker(&[]).await;
    let noted = "SELECT count(*) FROM unfinished_messages WHERE missing_since IS NULL AND kind = 'activated'";
    stack.database.wait_for_count(noted, 1).await;
    // The broker loses it, and the retry delays pass.
    stack.database.execute("DELETE FROM outbox", &[]).await;
    stack.database.execute("ALTER TABLE outbox ALTER leased_until DROP DEFAULT", &[]).await;
    stack.database.execute("UPDATE unfinished_messages SET seen_at = seen_at - interval '65 s'", &[]).await;
    stack.mail_server.mail_to(ADA).await;
}

/// Codes that nothing delivers are counted, for the alarm.
#[tokio::test(flavor = "multi_thread")]
async fn late_codes_are_counted() {
    let stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    let registration = api.client.register(ADA).await.registration();
    api.client.register("bob@example.com").await;
    assert_eq!(api.client.request_reset(ADA).await.status, 202);
    assert_eq!(Scrape::of(&api.ops).await.value("codes_late"), 0.0);
    stack.database.age(31).await;
    Scrape::wait_until(&api.ops, |scrape| scrape.value("codes_late") == 3.0).await;
    stack.start_worker(&[]).await;
    api.client.wait_for_receipt(&registration, "sent").await;
    Scrape::wait_until(&api.ops, |scrape| scrape.value("codes_late") == 0.0).await;
}
