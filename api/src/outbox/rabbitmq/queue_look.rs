//! Looks whether the work queues are empty.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use lapin::{Channel, Queue, options::QueueDeclareOptions, types::FieldTable};
use shared::amqp::topology::RETRY_SECONDS;
use shared::messages::MailQueue;

use crate::outbox::{
    delivery::LookAtQueue,
    rabbitmq::{Publisher, publish_channel::CONFIRM_TIMEOUT},
};

/// A queue that workers empty faster than it fills is empty at one of so many looks.
const LOOKS: u32 = 5;

const PAUSE_BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// See docs/decisions/0026-recreate-the-channel-of-an-idle-consumer.md.
const PAUSE_BEFORE_DECLARING: Duration = Duration::from_secs(1);

impl Publisher {
    /// The function that looks at a queue.
    pub(crate) fn look_at_queue(&self) -> LookAtQueue {
        let publisher = self.clone();
        let is_failing = Arc::new(AtomicBool::new(false));
        Arc::new(move |queue| {
            let (publisher, is_failing) = (publisher.clone(), Arc::clone(&is_failing));
            Box::pin(async move {
                if publisher.active.borrow().is_none() {
                    return None;
                }
                let looking = tokio::time::timeout(CONFIRM_TIMEOUT, publisher.look(queue));
                let looked = looking.await.context("the broker did not answer in time").flatten();
                if looked.is_err() {
                    publisher.declare_again().await;
                }
                // Once per outage.
                if let (Err(error), false) = (&looked, is_failing.swap(looked.is_err(), Ordering::Relaxed)) {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "cannot look at the queues; lost messages are not found"
                    );
                }
                looked.ok().flatten()
            })
        })
    }

    /// One of the queues may be gone. It must not be declared at the moment in which it is deleted.
    async fn declare_again(&self) {
        tokio::time::sleep(PAUSE_BEFORE_DECLARING).await;
        let Some(active) = self.active.borrow().clone() else { return };
        let declaring = tokio::time::timeout(CONFIRM_TIMEOUT, self.topology.declare(&active.connection));
        if let Ok(Err(error)) = declaring.await {
            tracing::debug!(error = format!("{error:#}"), "cannot declare the queues");
        }
    }

    async fn look(&self, queue: MailQueue) -> Result<Option<u32>> {
        let active = self.active.borrow().clone().context("no connection to the broker")?;
        let queue = self.topology.work_queue(queue);
        // A channel of its own: the broker closes it if the queue does not exist.
        let channel = active.connection.create_channel().await?;
        let mut waiting = None;
        for _ in 0..LOOKS {
            let state = state(&channel, &queue.name).await?;
            // A queue that has lost its quorum reports neither messages nor consumers.
            if state.message_count() == 0 && state.consumer_count() > 0 {
                let mut retrying = 0;
                for seconds in RETRY_SECONDS {
                    retrying += self::state(&channel, &queue.retry_queue(seconds)).await?.message_count();
                }
                waiting = Some(retrying);
                break;
            }
            tokio::time::sleep(PAUSE_BETWEEN_LOOKS).await;
        }
        channel.close(200, "bye".into()).await?;
        Ok(waiting)
    }
}

async fn state(channel: &Channel, queue: &str) -> Result<Queue> {
    let passive = QueueDeclareOptions { passive: true, ..Default::default() };
    Ok(channel.queue_declare(queue.into(), passive, FieldTable::default()).await?)
}
