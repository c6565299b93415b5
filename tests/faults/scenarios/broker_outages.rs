//! A RabbitMQ that restarts, stays away, takes nothing, or forgets.

use std::time::Duration;

use lapin::{
    Connection, ConnectionProperties,
    options::{BasicPublishOptions, QueueDeclareOptions, QueueDeleteOptions},
    types::FieldTable,
};
use tokio::time::{Instant, sleep};

use crate::harness::{
    environment::Environment,
    servers::rabbitmq::RabbitMq,
    service_process::Node,
    tolerance::{Allowed, IN_HAND, form},
};
use support::{database, proxy::ProxyMode};

/// What the two workers may have in hand when the broker loses them: others get it meanwhile.
fn some(faults: u32) -> Allowed {
    Allowed::duplicate(faults as usize * 2 * IN_HAND)
}

async fn on(broker: &RabbitMq) -> Environment {
    let mut environment = Environment::with_broker(&broker.url()).await;
    environment.people(2, 2).await;
    environment
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_is_killed_and_restarts() {
    let mut broker = RabbitMq::start().await;
    let environment = on(&broker).await;
    let fault = async |_: &mut Environment| {
        broker.kill(0);
        broker.restart(0).await;
    };
    environment.survives("RabbitMQ killed, restarts", some(1), fault).await;
}

/// Registering goes on as if nothing were.
#[tokio::test(flavor = "multi_thread")]
async fn the_broker_stays_away() {
    let fault = async |environment: &mut Environment| {
        let struck = Instant::now();
        environment.to_broker.set(ProxyMode::Cut);
        sleep(form().outage * 2).await;
        assert_eq!(environment.history.hindrances_in_the_end(struck).await, []);
        assert!(environment.outbox().await > 0, "the fault is none");
        environment.to_broker.set(ProxyMode::Open);
    };
    Environment::start().await.survives("RabbitMQ away", some(1), fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_falls_silent() {
    let fault = async |environment: &mut Environment| {
        let struck = Instant::now();
        environment.to_broker.set(ProxyMode::Held);
        // Longer than either process waits for a word.
        sleep(form().outage.max(Duration::from_secs(15))).await;
        assert_eq!(environment.history.hindrances_in_the_end(struck).await, []);
        assert!(environment.outbox().await > 0, "the fault is none");
        environment.to_broker.set(ProxyMode::Open);
    };
    Environment::start().await.survives("RabbitMQ half-open", some(1), fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_is_short_of_memory() {
    let broker = RabbitMq::start().await;
    let environment = on(&broker).await;
    let fault = async |environment: &mut Environment| {
        let struck = Instant::now();
        broker.ctl(0, &["set_vm_memory_high_watermark", "absolute", "1"]);
        sleep(form().outage).await;
        assert_eq!(environment.history.hindrances_in_the_end(struck).await, []);
        assert!(environment.outbox().await > 0, "the fault is none");
        broker.ctl(0, &["set_vm_memory_high_watermark", "0.4"]);
    };
    environment.survives("RabbitMQ blocked by a memory alarm", Allowed::nothing(), fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_refuses_what_is_published() {
    let broker = RabbitMq::start().await;
    let environment = on(&broker).await;
    let fault = async |environment: &mut Environment| {
        let queue = format!("^{}\\.send-code$", environment.prefix);
        broker.ctl(0, &["set_policy", "--apply-to", "queues", "full", &queue, r#"{"max-length":1}"#]);
        // With nobody to take them, messages fill the queue.
        environment.workers.drain(..).for_each(Node::kill);
        sleep(form().outage).await;
        assert!(environment.outbox().await > 0, "the fault is none");
        broker.ctl(0, &["clear_policy", "full"]);
        environment.people(0, 2).await;
    };
    environment.survives("RabbitMQ rejects publishes", some(1), fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_broker_closes_all_connections() {
    let broker = RabbitMq::start().await;
    let environment = on(&broker).await;
    let fault = async |_: &mut Environment| {
        for _ in 0..form().times {
            broker.ctl(0, &["close_all_connections", "maintenance"]);
            sleep(Duration::from_secs(1)).await;
        }
    };
    environment.survives("RabbitMQ closes all connections", some(form().times), fault).await;
}

/// What lay in it is in Postgres still, and the operator has it published again.
#[tokio::test(flavor = "multi_thread")]
async fn the_queue_is_deleted_with_messages_in_it() {
    let fault = async |environment: &mut Environment| {
        environment.workers.drain(..).for_each(Node::kill);
        let queue = format!("{}.send-code", environment.prefix);
        let channel = connect().await.create_channel().await.unwrap();
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        while channel
            .queue_declare(queue.as_str().into(), passive, FieldTable::default())
            .await
            .unwrap()
            .message_count()
            < 10
        {
            sleep(Duration::from_millis(100)).await;
        }
        channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
        environment.people(0, 2).await;
        environment.operator("api", &["outbox", "reemit"]);
    };
    Environment::start().await.survives("the queue deleted with messages in it", some(2), fault).await;
}

/// A consumer that is told that it is none any more.
#[tokio::test(flavor = "multi_thread")]
async fn consumers_are_cancelled() {
    let fault = async |environment: &mut Environment| {
        let channel = connect().await.create_channel().await.unwrap();
        for _ in 0..form().times {
            let queue = format!("{}.send-code", environment.prefix);
            channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
            sleep(Duration::from_secs(1)).await;
        }
        // Some may have come between the last two of these.
        environment.operator("api", &["outbox", "reemit"]);
    };
    let may = some(form().times);
    Environment::start().await.survives("consumers cancelled (queue deleted under them)", may, fault).await;
}

/// From an older version of us and from a newer one: neither can be read, and neither holds up anybody.
#[tokio::test(flavor = "multi_thread")]
async fn messages_of_other_versions_come() {
    let fault = async |environment: &mut Environment| {
        let channel = connect().await.create_channel().await.unwrap();
        for version in [0, 2, 3] {
            let body = format!(r#"{{"v":{version},"kind":"send-code","id":"b0e5f5c6-6a0e-4d0c-9a3b-3f8f4f0f9b52"}}"#);
            let (exchange, options) = (environment.prefix.as_str().into(), BasicPublishOptions::default());
            let sent =
                channel.basic_publish(exchange, "send-code".into(), options, body.as_bytes(), Default::default());
            sent.await.unwrap();
        }
        let parked = format!("{}.send-code.parked", environment.prefix);
        let passive = QueueDeclareOptions { passive: true, ..Default::default() };
        let count = async || {
            let queue = channel.queue_declare(parked.as_str().into(), passive, FieldTable::default()).await.unwrap();
            queue.message_count()
        };
        crate::harness::servers::until("three are parked", async || count().await == 3).await;
    };
    let may = Allowed { park: 3, ..Allowed::nothing() };
    Environment::start().await.survives("messages of other versions", may, fault).await;
}

async fn connect() -> Connection {
    Connection::connect(&database::server("AMQP_URL"), ConnectionProperties::default()).await.unwrap()
}
