//! Processes and connections that die at the worst moment: nothing is lost.

use support::{
    fake_smtp::behaviour::{Behaviour, Stage},
    proxy::{Proxy, ProxyMode},
    stack::Stack,
};

const ADA: &str = "ada@example.com";

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_api_left_in_the_outbox_is_delivered_by_the_next() {
    let stack = Stack::prepare(&[]).await;
    let (proxy, url) = Proxy::before(&support::database::server("AMQP_URL")).await;
    proxy.set(ProxyMode::Cut);
    let api = stack.start_api(&[("AMQP_URL", &url)]).await;
    assert_eq!(api.client.register(ADA).await.status, 202);
    api.kill().await;
    stack.start_worker(&[]).await;
    stack.start_api(&[]).await;
    // Whatever the dead one leased, the time of that is over.
    let taken_over = async {
        while stack.database.count("SELECT count(*) FROM outbox").await > 0 {
            stack.database.execute("UPDATE outbox SET leased_until = clock_timestamp()", &[]).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), taken_over).await.expect("the outbox is emptied");
    stack.mail_server.mail_to(ADA).await;
}

/// kill -9 between the 250 and its record: one more identical mail at most, and a right receipt.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_between_the_250_and_the_record_repeats_one_mail_at_most() {
    let stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    let (proxy, url) = Proxy::before(&stack.database.url).await;
    let worker = stack.start_worker(&[("DATABASE_URL", &url)]).await;
    stack.mail_server.script(ADA, [Behaviour::Slow(Stage::Dot, std::time::Duration::from_secs(2))]);
    let registration = api.client.register(ADA).await.registration();
    // The mail server has the mail and takes its time: the record will find no database.
    stack.mail_server.nth_attempt(ADA, 1).await;
    proxy.set(ProxyMode::Held);
    let first = stack.mail_server.mail_to(ADA).await;
    worker.kill().await;
    assert_eq!(api.client.receipt(&registration).await["status"], "queued");

    stack.start_worker(&[]).await;
    api.client.receipt_when(&registration, "sent").await;
    let mails = stack.mail_server.mails_to(ADA);
    assert_eq!(mails.len(), 2);
    assert!(mails.iter().all(|mail| mail.message_id == first.message_id && mail.code() == first.code()));
    assert_eq!(api.client.activate(ADA, &first.code()).await.status, 200);
}

/// kill -9 between the record and the ack: the message comes again, and no mail goes out.
#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_between_the_record_and_the_ack_repeats_nothing() {
    let stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    let (proxy, url) = Proxy::before(&support::database::server("AMQP_URL")).await;
    let worker = stack.start_worker(&[("AMQP_URL", &url)]).await;
    stack.mail_server.script(ADA, [Behaviour::Slow(Stage::Dot, std::time::Duration::from_secs(2))]);
    let registration = api.client.register(ADA).await.registration();
    stack.mail_server.nth_attempt(ADA, 1).await;
    proxy.set(ProxyMode::Held);
    api.client.receipt_when(&registration, "sent").await;
    let expires_at = api.client.receipt(&registration).await["expires_at"].clone();
    worker.kill().await;
    proxy.set(ProxyMode::Cut);

    let next = stack.start_worker(&[]).await;
    api.client.register("next@example.com").await;
    stack.mail_server.mail_to("next@example.com").await;
    next.stop().await.unwrap();
    stack.queue_holds(&stack.topology.queue, 0).await;
    assert_eq!(stack.mail_server.mails_to(ADA).len(), 1);
    assert_eq!(api.client.receipt(&registration).await["expires_at"], expires_at, "redelivery never extends");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pool_survives_connections_that_were_ended() {
    let stack = Stack::start().await;
    stack.sign_up("first@example.com").await;
    for n in 0..5 {
        let others = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
            WHERE datname = current_database() AND pid <> pg_backend_pid()";
        stack.database.count(others).await;
        let email = format!("u{n}@example.com");
        // The very first request may meet a connection that does not know yet that it is dead.
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
        stack.client.receipt_when(&answer.registration(), "sent").await;
    }
}

/// I-19.
#[tokio::test(flavor = "multi_thread")]
async fn told_to_stop_a_worker_finishes_what_it_has_in_hand() {
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

/// However often its workers die, a message is not given up while its code can live.
#[tokio::test(flavor = "multi_thread")]
async fn a_mail_outlives_many_workers() {
    let stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    stack.mail_server.every_connection(Some(Behaviour::Silence(Stage::Greeting)));
    let registration = api.client.register(ADA).await.registration();
    for deaths in 1..=22 {
        let worker = stack.start_worker(&[]).await;
        stack.mail_server.nth_connection(deaths).await;
        worker.kill().await;
    }
    stack.mail_server.every_connection(None);
    stack.start_worker(&[]).await;
    let code = stack.mail_server.mail_to(ADA).await.code();
    api.client.receipt_when(&registration, "sent").await;
    assert_eq!(api.client.activate(ADA, &code).await.status, 200);
}

/// A database that can be read and not written, its disk being full: what was mailed cannot be recorded, and
/// would be mailed again and again, and everything else with it.
#[tokio::test(flavor = "multi_thread")]
async fn while_nothing_can_be_recorded_nothing_more_is_mailed() {
    let stack = Stack::start().await;
    let full = "ALTER TABLE deliveries ADD CONSTRAINT disk_full CHECK (false) NOT VALID";
    stack.database.execute(full, &[]).await;
    let first = stack.client.register(ADA).await.registration();
    stack.mail_server.mail_to(ADA).await;
    let next = stack.client.register("next@example.com").await.registration();
    stack.queue_holds(&stack.topology.retry_queue(5), 1).await;
    assert_eq!(stack.mail_server.attempts("next@example.com").len(), 0);
    stack.database.execute("ALTER TABLE deliveries DROP CONSTRAINT disk_full", &[]).await;
    for registration in [first, next] {
        stack.client.receipt_when(&registration, "sent").await;
    }
    assert_eq!((stack.mail_server.mails_to(ADA).len(), stack.mail_server.mails_to("next@example.com").len()), (1, 1));
}

/// A standby may not know yet what it is asked for, and could not record what was mailed: what it says does not count.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_no_writes_is_not_believed() {
    let stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    let registration = api.client.register(ADA).await.registration();
    assert_eq!(api.client.register("unknown@example.com").await.status, 202);
    stack.queue_holds(&stack.topology.queue, 2).await;
    stack.database.execute("DELETE FROM registrations WHERE email = 'unknown@example.com'", &[]).await;
    let mark = match stack.database.url.split_once('?') {
        None => "?",
        Some((_, "")) => "",
        Some(_) => "&",
    };
    let standby = format!("{}{mark}options=-c%20default_transaction_read_only%3Don", stack.database.url);
    let deceived = stack.start_worker(&[("DATABASE_URL", &standby), ("MIGRATE_ON_START", "false")]).await;
    stack.queue_holds(&stack.topology.retry_queue(5), 2).await;
    deceived.stop().await.unwrap();
    assert_eq!(
        (stack.mail_server.connections(), stack.database.count("SELECT count(*) FROM deliveries").await),
        (0, 0)
    );
    stack.start_worker(&[]).await;
    api.client.receipt_when(&registration, "sent").await;
    stack.database.becomes("SELECT count(*) FROM deliveries WHERE outcome = 'dropped' AND why = 'gone'", 1).await;
    assert_eq!(stack.mail_server.count(), 1);
}
