//! Shutdown while the mail server still has to answer the final dot of a mail: a deployment repeats no mail (I-06, I-19).

use std::{process::Command, time::Duration};

use crate::delivery::smtp_pool::wait_until_newest_code_is_read;
use support::{
    fake_smtp::behaviour::{Behaviour, Stage},
    process::{Process, program},
    stack::Stack,
    standalone::StandaloneFolder,
};

const ADA: &str = "ada@example.com";
const BOB: &str = "bob@example.com";
const DELIVERED: &str = "SELECT count(*) FROM deliveries WHERE outcome = 'delivered'";
/// The answer to the dot takes longer than all tasks but those that send mails may take to stop.
const SLOW: Behaviour = Behaviour::Slow(Stage::Dot, Duration::from_secs(8));

/// Starts a worker as a process of this stack.
fn start_worker(stack: &Stack) -> Process {
    let mut command = Command::new(program("worker"));
    command.env_clear().envs(stack.variables(&[("OPS_ADDR", "127.0.0.1:0")]));
    let mut worker = Process::start(&mut command);
    worker.wait_for("connected to the broker");
    worker
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_replaced_during_a_slow_mail_repeats_none() {
    let stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    let old = start_worker(&stack);
    stack.mail_server.script(ADA, [SLOW]);
    let ada = api.client.register(ADA).await.registration();
    stack.mail_server.nth_attempt(ADA, 1).await;
    let new = start_worker(&stack);
    let (code, log) = old.terminate();
    assert_eq!(code, Some(0), "{log}");
    api.client.wait_for_receipt(&ada, "sent").await;
    stack.wait_for_queue_length(&stack.topology.codes.name, 0).await;
    // The new worker has handled everything when it has stopped.
    let (code, log) = new.terminate();
    assert_eq!(code, Some(0), "{log}");
    assert_eq!((stack.mail_server.attempts(ADA).len(), stack.mail_server.mails_to(ADA).len()), (1, 1));
    assert_eq!(stack.database.count(DELIVERED).await, 1);
}

/// Other mails do not wait for the slow one, and the operator can see that the worker drains.
#[tokio::test(flavor = "multi_thread")]
async fn draining_worker_requeues_waiting_messages_at_once() {
    let stack = Stack::prepare(&[("WORKER_CONCURRENCY", "1")]).await;
    let api = stack.start_api(&[]).await;
    let old = stack.start_worker(&[]).await;
    stack.mail_server.script(ADA, [Behaviour::Slow(Stage::Dot, Duration::from_secs(50))]);
    api.client.register(ADA).await;
    stack.mail_server.nth_attempt(ADA, 1).await;
    let bob = api.client.register(BOB).await.registration();
    wait_until_newest_code_is_read(&stack).await;
    stack.start_worker(&[]).await;
    let ops = old.ops.clone();
    let stopping = tokio::spawn(old.stop());
    api.client.wait_for_receipt(&bob, "sent").await;
    assert!(!stopping.is_finished(), "the worker did not wait for the slow mail");
    assert_eq!((stack.mail_server.attempts(ADA).len(), stack.mail_server.mails_to(BOB).len()), (1, 1));
    for (path, status, text) in [("ready", 503, "draining"), ("live", 200, "ok")] {
        let answer = ops.request("GET", &format!("/health/{path}")).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{path}");
        assert!(answer.text().await.unwrap().contains(text), "{path}");
    }
}

/// Without a broker the relay itself waits for the mail, and another process of the same database must not take it over.
#[tokio::test(flavor = "multi_thread")]
async fn standalone_replaced_during_a_slow_mail_repeats_none() {
    let servers = Stack::prepare(&[]).await;
    let home = StandaloneFolder::new();
    let settings = [
        ("DATABASE_URL", servers.database.url.as_str()),
        ("SMTP_URL", &servers.mail_server.url()),
        ("CODE_SECRETS", "test:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        ("SUBJECT_KEY", support::stack::SUBJECT_KEY),
    ];
    let old = home.start(&settings);
    servers.mail_server.script(ADA, [SLOW]);
    assert_eq!(old.client.register(ADA).await.status, 202);
    servers.mail_server.nth_attempt(ADA, 1).await;
    let new = home.start(&settings);
    old.stop();
    servers.database.wait_for_count("SELECT count(*) FROM outbox", 0).await;
    new.stop();
    assert_eq!((servers.mail_server.attempts(ADA).len(), servers.mail_server.mails_to(ADA).len()), (1, 1));
    assert_eq!(servers.database.count(DELIVERED).await, 1);
}
