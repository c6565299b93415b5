//! Exports spans to the collector in batches, and logs when the export fails and when it recovers.

use std::time::Duration;

use tokio::{sync::mpsc, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{collector::Collector, layer::SpanRecord, otlp};

/// How long the first span of a batch waits for others.
const BATCH_DELAY: Duration = Duration::from_millis(500);

/// The maximum number of spans in one request.
const MAX_BATCH: usize = 512;

/// Exports spans until `end` is cancelled, and then those that are left. Spans of a failed export are dropped.
pub(super) async fn run(
    mut queue: mpsc::Receiver<SpanRecord>,
    collector: Collector,
    resource: Vec<u8>,
    end: CancellationToken,
) {
    let mut batch = Vec::new();
    let mut is_failing = false;
    while !end.is_cancelled() {
        let first = tokio::select! { first = queue.recv() => first, () = end.cancelled() => None };
        batch.extend(first);
        tokio::select! { () = sleep(BATCH_DELAY) => {}, () = end.cancelled() => {} }
        loop {
            while batch.len() < MAX_BATCH {
                let Ok(next) = queue.try_recv() else { break };
                batch.push(next);
            }
            if batch.is_empty() {
                break;
            }
            let result = collector.export(&otlp::export_request(&resource, &batch)).await;
            batch.clear();
            match result {
                Ok(()) if std::mem::take(&mut is_failing) => {
                    tracing::info!("trace export recovered; exporting traces again")
                }
                // Logged once per outage.
                Err(error) if !std::mem::replace(&mut is_failing, true) => {
                    tracing::warn!(error = format!("{error:#}"), "trace export failed; dropping traces");
                }
                Ok(()) | Err(_) => {}
            }
        }
    }
}
