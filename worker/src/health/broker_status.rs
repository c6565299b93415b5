//! Status of the broker connection for health checks and metrics: whether the worker consumes, and the queue lengths.

use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use lapin::{Channel, options::QueueDeclareOptions, types::FieldTable};
use shared::amqp::topology::Topology;

/// Whether this process is connected to the broker. The consumer updates it, the health check reads it.
#[derive(Default)]
pub(crate) struct BrokerStatus(Mutex<ConnectionState>);

#[derive(Default)]
enum ConnectionState {
    /// This process does not consume from a broker.
    #[default]
    Unused,
    Closed,
    Open(Box<OpenChannel>),
}

#[derive(Clone)]
struct OpenChannel {
    channel: Channel,
    topology: Topology,
}

/// Numbers of messages in the worker's queues.
pub(crate) struct QueueLengths {
    pub(crate) codes: u32,
    pub(crate) notices: u32,
    /// Messages in the parked queue.
    pub(crate) parked: u32,
}

impl BrokerStatus {
    /// Reports that the worker is not connected.
    pub(crate) fn set_closed(&self) {
        *self.state() = ConnectionState::Closed;
    }

    /// Reports that the worker is connected; `channel` is used to query the queue lengths.
    pub(crate) fn set_open(&self, channel: Channel, topology: Topology) {
        *self.state() = ConnectionState::Open(Box::new(OpenChannel { channel, topology }));
    }

    /// Whether the worker is connected; `None` if this process uses no broker.
    pub(crate) fn is_up(&self) -> Option<bool> {
        match *self.state() {
            ConnectionState::Unused => None,
            ConnectionState::Closed => Some(false),
            ConnectionState::Open(_) => Some(true),
        }
    }

    /// Queries the queue lengths from the broker; `None` if it is not connected or does not have the queues.
    pub(crate) async fn queue_lengths(&self) -> Option<QueueLengths> {
        let OpenChannel { channel, topology } = match &*self.state() {
            ConnectionState::Open(open) => *open.clone(),
            ConnectionState::Unused | ConnectionState::Closed => return None,
        };
        // If a queue does not exist, the broker closes the channel; the consumer then reconnects and declares the
        // queue.
        let codes = message_count(&channel, &topology.codes.name).await.ok()?;
        let notices = message_count(&channel, &topology.notices.name).await.ok()?;
        let parked = message_count(&channel, &topology.parked).await.ok()?;
        Some(QueueLengths { codes, notices, parked })
    }

    fn state(&self) -> MutexGuard<'_, ConnectionState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn message_count(channel: &Channel, queue: &str) -> Result<u32> {
    let passive = QueueDeclareOptions { passive: true, ..Default::default() };
    Ok(channel.queue_declare(queue.into(), passive, FieldTable::default()).await?.message_count())
}
