//! Whether the worker hears from the broker, and how much waits there: for who asks how it is.

use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Result;
use lapin::{Channel, options::QueueDeclareOptions, types::FieldTable};
use shared::amqp::topology::Topology;

#[derive(Default)]
pub(crate) struct BrokerStatus(Mutex<State>);

#[derive(Default)]
enum State {
    /// Nothing is consumed in this process.
    #[default]
    Unused,
    Closed,
    Open(Box<(Channel, Topology)>),
}

impl BrokerStatus {
    pub(crate) fn closed(&self) {
        *self.state() = State::Closed;
    }

    pub(crate) fn open(&self, channel: Channel, topology: Topology) {
        *self.state() = State::Open(Box::new((channel, topology)));
    }

    pub(crate) fn is_up(&self) -> Option<bool> {
        match *self.state() {
            State::Unused => None,
            State::Closed => Some(false),
            State::Open(_) => Some(true),
        }
    }

    /// How many messages wait, and how many are parked.
    pub(crate) async fn waiting(&self) -> Option<(u32, u32)> {
        let (channel, topology) = match &*self.state() {
            State::Open(open) => *open.clone(),
            State::Unused | State::Closed => return None,
        };
        // A queue that is not there costs the channel; then the connection is replaced, and that declares it.
        let waiting = async { Ok((count(&channel, &topology.queue).await?, count(&channel, &topology.parked).await?)) };
        let waiting: Result<_> = waiting.await;
        waiting.ok()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn count(channel: &Channel, queue: &str) -> Result<u32> {
    let passive = QueueDeclareOptions { passive: true, ..Default::default() };
    Ok(channel.queue_declare(queue.into(), passive, FieldTable::default()).await?.message_count())
}
