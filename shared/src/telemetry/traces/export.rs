//! Sends spans to the collector, some at a time, and says when it takes none.

use std::time::Duration;

use tokio::{sync::mpsc, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{collector::Collector, layer::Traced, wire};

/// How long the first span waits for others.
const BREATH: Duration = Duration::from_millis(500);

const MOST_AT_ONCE: usize = 512;

/// Until `end`, and then once more for what is left. What a collector does not take is lost.
pub(super) async fn run(
    mut queue: mpsc::Receiver<Traced>,
    collector: Collector,
    resource: Vec<u8>,
    end: CancellationToken,
) {
    let (mut spans, mut away) = (Vec::new(), false);
    while !end.is_cancelled() {
        let first = tokio::select! { first = queue.recv() => first, () = end.cancelled() => None };
        spans.extend(first);
        tokio::select! { () = sleep(BREATH) => {}, () = end.cancelled() => {} }
        loop {
            while spans.len() < MOST_AT_ONCE {
                let Ok(next) = queue.try_recv() else { break };
                spans.push(next);
            }
            if spans.is_empty() {
                break;
            }
            let sent = collector.take(&wire::request(&resource, &spans)).await;
            spans.clear();
            match sent {
                Ok(()) if std::mem::take(&mut away) => tracing::info!("traces are taken again"),
                // Once an outage.
                Err(why) if !std::mem::replace(&mut away, true) => {
                    tracing::warn!(why = format!("{why:#}"), "traces are lost: the collector does not take them");
                }
                Ok(()) | Err(_) => {}
            }
        }
    }
}
