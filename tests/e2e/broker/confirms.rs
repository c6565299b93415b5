//! That a confirm belongs to the message it was given for, on a real broker.

use std::sync::Arc;

use lapin::{
    BasicProperties, Channel, Confirmation, Connection, ConnectionProperties,
    options::QueueDeclareOptions,
    types::{AMQPValue, FieldTable},
};
use shared::amqp::confirms::{ConfirmedChannel, To};
use tokio::task::JoinSet;

const TASKS: usize = 8;
const MESSAGES: usize = 2_000;

async fn queue(channel: &Channel, limits: &[(&str, AMQPValue)]) -> String {
    let mut arguments = FieldTable::default();
    for (name, value) in limits {
        arguments.insert((*name).into(), value.clone());
    }
    let own = QueueDeclareOptions { exclusive: true, ..Default::default() };
    channel.queue_declare("".into(), own, arguments).await.unwrap().name().as_str().to_owned()
}

/// lapin counts a message and sends it in two steps. Between them another one may be sent, and then each has the confirm
/// of the other: what the broker refused is taken for delivered.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_at_once_each_has_its_own() {
    let url = std::env::var("AMQP_URL").expect("AMQP_URL: scripts/with-servers gives one");
    let connection = Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let refuses =
        [("x-max-length", AMQPValue::LongInt(0)), ("x-overflow", AMQPValue::LongString("reject-publish".into()))];
    let queues = Arc::new([queue(&channel, &[]).await, queue(&channel, &refuses).await]);
    let confirms = ConfirmedChannel::open(&connection).await.unwrap();

    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let (confirms, queues) = (confirms.clone(), Arc::clone(&queues));
        tasks.spawn(async move {
            let mut strangers = 0;
            for turn in 0..MESSAGES {
                let to = To { exchange: "", routing_key: &queues[turn % 2], mandatory: true };
                let confirm = confirms.publish(to, b"", BasicProperties::default()).await.unwrap();
                let expected = if turn % 2 == 0 { Confirmation::Ack(None) } else { Confirmation::Nack(None) };
                strangers += usize::from(confirm.await.unwrap() != expected);
            }
            strangers
        });
    }
    assert_eq!(tasks.join_all().await.iter().sum::<usize>(), 0, "confirms of other messages");
}
