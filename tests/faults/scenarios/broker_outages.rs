//! RabbitMQ restarts, is unreachable, accepts no messages, or loses its queues.

use std::time::Duration;

use lapin::{
    BasicProperties, Connection, ConnectionProperties,
    options::{BasicPublishOptions, QueueDeclareOptions, QueueDeleteOptions},
    types::FieldTable,
};
use tokio::time::{Instant, sleep};

use crate::harness::{
    environment::Environment,
    servers::{self, rabbitmq::RabbitMq},
    service_process::ServiceProcess,
    tolerance::{MAX_IN_FLIGHT, Tolerance, schedule},
};
use support::{database, proxy::ProxyMode, slow_confirms::SlowConfirms};

/// Everything that the two workers have in flight when they lose the broker may be mailed twice, because it is
/// redelivered to others.
fn duplicates_in_flight(faults: u32) -> Tolerance {
    Tolerance::duplicates_up_to(faults as usize * 2 * MAX_IN_FLIGHT)
}

/// Two APIs and two workers on a broker that the test may kill.
async fn start_on(broker: &RabbitMq) -> Environment {
    let mut environment = Environment::with_broker(&broker.url()).await;
    environment.start_processes(2, 2).await;
    environment
}

/// Two APIs, which publish soon what is lost, and two workers.
async fn start_rescuing() -> Environment {
    let mut environment = Environment::prepare().await;
    environment.set("RESCUE_AFTER_SECONDS", "10");
    environment.start_processes(2, 2).await;
    environment
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_broker_loses_nothing() {
    let mut broker = RabbitMq::start().await;
    let environment = start_on(&broker).await;
    let fault = async |_: &mut Environment| {
        broker.kill(0);
        broker.restart(0).await;
    };
    environment.assert_survives("RabbitMQ killed, restarts", duplicates_in_flight(1), fault).await;
}

/// Registrations are not affected.
#[tokio::test(flavor = "multi_thread")]
async fn unreachable_broker_rejects_no_registration() {
    let fault = async |environment: &mut Environment| {
        let fault_started = Instant::now();
        environment.to_broker.set(ProxyMode::Closed);
        sleep(schedule().outage * 2).await;
        assert_eq!(environment.history.failures_after_waiting(fault_started).await, []);
        assert!(environment.outbox_rows().await > 0, "the fault has no effect");
        environment.to_broker.set(ProxyMode::Open);
    };
    Environment::start().await.assert_survives("RabbitMQ away", duplicates_in_flight(1), fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_broker_rejects_no_registration() {
    let fault = async |environment: &mut Environment| {
        let fault_started = Instant::now();
        environment.to_broker.set(ProxyMode::Stalled);
        // Longer than the heartbeat timeouts of both processes.
        sleep(schedule().outage.max(Duration::from_secs(15))).await;
        assert_eq!(environment.history.failures_after_waiting(fault_started).await, []);
        assert!(environment.outbox_rows().await > 0, "the fault has no effect");
        environment.to_broker.set(ProxyMode::Open);
    };
    Environment::start().await.assert_survives("RabbitMQ half-open", duplicates_in_flight(1), fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_alarm_rejects_no_registration() {
    let broker = RabbitMq::start().await;
    let environment = start_on(&broker).await;
    let fault = async |environment: &mut Environment| {
        let fault_started = Instant::now();
        broker.ctl(0, &["set_vm_memory_high_watermark", "absolute", "1"]);
        sleep(schedule().outage).await;
        assert_eq!(environment.history.failures_after_waiting(fault_started).await, []);
        assert!(environment.outbox_rows().await > 0, "the fault has no effect");
        broker.ctl(0, &["set_vm_memory_high_watermark", "0.4"]);
    };
    environment.assert_survives("RabbitMQ blocked by a memory alarm", Tolerance::none(), fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_publishes_are_retried() {
    let broker = RabbitMq::start().await;
    let environment = start_on(&broker).await;
    let fault = async |environment: &mut Environment| {
        let queue = format!("^{}\\.send-code$", environment.prefix);
        broker.ctl(0, &["set_policy", "--apply-to", "queues", "full", &queue, r#"{"max-length":1}"#]);
        // Without consumers, the queue fills up.
        environment.workers.drain(..).for_each(ServiceProcess::kill);
        sleep(schedule().outage).await;
        assert!(environment.outbox_rows().await > 0, "the fault has no effect");
        broker.ctl(0, &["clear_policy", "full"]);
        environment.start_processes(0, 2).await;
    };
    environment.assert_survives("RabbitMQ rejects publishes", duplicates_in_flight(1), fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_broker_connections_are_reopened() {
    let broker = RabbitMq::start().await;
    let environment = start_on(&broker).await;
    let fault = async |_: &mut Environment| {
        for _ in 0..schedule().repetitions {
            broker.ctl(0, &["close_all_connections", "maintenance"]);
            sleep(Duration::from_secs(1)).await;
        }
    };
    environment
        .assert_survives("RabbitMQ closes all connections", duplicates_in_flight(schedule().repetitions), fault)
        .await;
}

/// G5: eight relays share a broker that confirms 500 messages a second, and a backlog. No connection is replaced, and no
/// mail is delayed for long once the backlog is published.
#[tokio::test(flavor = "multi_thread")]
async fn slow_confirms_replace_no_connection() {
    const RELAYS: usize = 8;
    // Of codes that do not exist, which workers drop.
    const INSERT_BACKLOG: &str = "INSERT INTO outbox (id, message) SELECT id, jsonb_build_object('v', 1, 'kind', \
        'send-code', 'id', id) FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, 6000)) AS new";
    let amqp_url = database::server_url("AMQP_URL");
    let (slow, slow_url) = SlowConfirms::in_front_of(&amqp_url, 500).await;
    let mut environment = Environment::prepare().await;
    environment.set("AMQP_URL", &slow_url);
    environment.start_processes(RELAYS, 0).await;
    environment.set("AMQP_URL", &amqp_url);
    environment.start_processes(0, 2).await;
    let fault = async |environment: &mut Environment| {
        let client = environment.client().await;
        client.execute(INSERT_BACKLOG, &[]).await.unwrap();
        servers::wait_until("the backlog is published", async || environment.outbox_rows().await < 100).await;
        assert_eq!(slow.connections(), RELAYS);
    };
    environment.assert_survives("RabbitMQ confirms 500 a second, 8 relays", Tolerance::none(), fault).await;
    assert_eq!(slow.connections(), RELAYS);
}

/// The messages of a deleted queue are still in Postgres, and an API publishes them again.
#[tokio::test(flavor = "multi_thread")]
async fn deleted_queue_loses_nothing() {
    let fault = async |environment: &mut Environment| {
        environment.workers.drain(..).for_each(ServiceProcess::kill);
        let queue = format!("{}.send-code", environment.prefix);
        let channel = connect().await.create_channel().await.unwrap();
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let count = async || {
            let queue = channel.queue_declare(queue.as_str().into(), passive, FieldTable::default()).await.unwrap();
            queue.message_count()
        };
        while count().await < 10 {
            sleep(Duration::from_millis(100)).await;
        }
        channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
        environment.start_processes(0, 2).await;
    };
    start_rescuing()
        .await
        .assert_survives("the queue deleted with messages in it", duplicates_in_flight(2), fault)
        .await;
}

/// Deleting the queue makes the broker cancel the consumers.
#[tokio::test(flavor = "multi_thread")]
async fn cancelled_consumers_consume_again() {
    let fault = async |environment: &mut Environment| {
        let channel = connect().await.create_channel().await.unwrap();
        for _ in 0..schedule().repetitions {
            let queue = format!("{}.send-code", environment.prefix);
            channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
            sleep(Duration::from_secs(1)).await;
        }
    };
    let tolerance = duplicates_in_flight(schedule().repetitions);
    start_rescuing().await.assert_survives("consumers cancelled (queue deleted under them)", tolerance, fault).await;
}

/// Messages of an older and of newer versions cannot be read: they are parked and delay no mail.
#[tokio::test(flavor = "multi_thread")]
async fn messages_of_other_versions_are_parked() {
    let fault = async |environment: &mut Environment| {
        let channel = connect().await.create_channel().await.unwrap();
        for version in [0, 2, 3] {
            let body = format!(r#"{{"v":{version},"kind":"send-code","id":"b0e5f5c6-6a0e-4d0c-9a3b-3f8f4f0f9b52"}}"#);
            let exchange = environment.prefix.as_str().into();
            let options = BasicPublishOptions::default();
            let properties = BasicProperties::default();
            channel.basic_publish(exchange, "send-code".into(), options, body.as_bytes(), properties).await.unwrap();
        }
        let parked = format!("{}.send-code.parked", environment.prefix);
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let count = async || {
            let queue = channel.queue_declare(parked.as_str().into(), passive, FieldTable::default()).await.unwrap();
            queue.message_count()
        };
        servers::wait_until("three messages are parked", async || count().await == 3).await;
    };
    let tolerance = Tolerance { parked: 3, ..Tolerance::none() };
    Environment::start().await.assert_survives("messages of other versions", tolerance, fault).await;
}

async fn connect() -> Connection {
    Connection::connect(&database::server_url("AMQP_URL"), ConnectionProperties::default()).await.unwrap()
}
