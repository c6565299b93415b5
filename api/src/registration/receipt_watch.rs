//! Polls the receipts of all subscriptions together, and only while there are any.

use std::{sync::Arc, time::Duration};

use anyhow::Result;
use tokio_util::sync::CancellationToken;

use crate::{app::App, registration::receipt};

/// The time between two polls. A client that polls the receipt itself as often learns as much.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// A poll that takes longer is cancelled, and the database is considered unavailable.
const POLL_TIMEOUT: Duration = Duration::from_secs(5);

/// Polls the receipts of all subscriptions until `stop`.
pub(crate) async fn run(app: Arc<App>, stop: CancellationToken) -> Result<()> {
    let polling = async {
        loop {
            let ids = app.subscribers.watched_ids();
            if ids.is_empty() {
                app.subscribers.subscribed().await;
            } else {
                // Subscriptions outlive an outage of Postgres. It is not logged here: each request that meets it does.
                if let Ok(Ok(found)) = tokio::time::timeout(POLL_TIMEOUT, receipt::read_all(&app, &ids)).await {
                    app.subscribers.notify(&ids, found);
                }
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        }
    };
    let _ = stop.run_until_cancelled(polling).await.map(|never: std::convert::Infallible| match never {});
    app.subscribers.close();
    Ok(())
}
