//! Publisher confirms are matched to their messages, on a real broker.

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

/// Declares an exclusive queue with these arguments, and returns its name.
async fn declare_queue(channel: &Channel, extra_arguments: &[(&str, AMQPValue)]) -> String {
    let mut arguments = FieldTable::default();
    for (name, value) in extra_arguments {
        arguments.insert((*name).into(), value.clone());
    }
    let exclusive = QueueDeclareOptions { exclusive: true, ..Default::default() };
    channel.queue_declare("".into(), exclusive, arguments).await.unwrap().name().as_str().to_owned()
}

/// lapin numbers a message and sends it in two steps. If another task publishes in between, each message gets the
/// confirm of the other one: a message that the broker rejected would count as delivered.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_publishes_get_their_own_confirms() {
    let url = std::env::var("AMQP_URL").expect("AMQP_URL is not set: run the tests with `make test`");
    let connection = Connection::connect(&url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let reject_all =
        [("x-max-length", AMQPValue::LongInt(0)), ("x-overflow", AMQPValue::LongString("reject-publish".into()))];
    let queues = Arc::new([declare_queue(&channel, &[]).await, declare_queue(&channel, &reject_all).await]);
    let confirms = ConfirmedChannel::open(&connection).await.unwrap();

    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let confirms = confirms.clone();
        let queues = Arc::clone(&queues);
        tasks.spawn(async move {
            let mut mismatches = 0;
            for n in 0..MESSAGES {
                let to = To { exchange: "", routing_key: &queues[n % 2], mandatory: true };
                let confirm = confirms.publish(to, b"", BasicProperties::default()).await.unwrap();
                let expected = if n % 2 == 0 { Confirmation::Ack(None) } else { Confirmation::Nack(None) };
                mismatches += usize::from(confirm.await.unwrap() != expected);
            }
            mismatches
        });
    }
    assert_eq!(tasks.join_all().await.iter().sum::<usize>(), 0, "confirms of other messages");
}
