//! Counts the password attempts of aborted requests: the client disconnected, or the request timed out, before the attempt
//! was settled. Each is a wrong password, for the email address as well as for the network.

use std::sync::Arc;

use anyhow::Result;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

use crate::{
    app::App,
    auth::password_attempt::{Failure, Reservation},
    domain::subject_keys::SubjectKeys,
};

/// An attempt that was not settled.
pub(crate) struct AbortedAttempt {
    keys: SubjectKeys,
    reservation: Reservation,
    /// The span of the request.
    span: Span,
}

impl AbortedAttempt {
    /// The attempt of the current request.
    pub(crate) fn new(keys: &SubjectKeys, reservation: Reservation) -> Self {
        Self { keys: SubjectKeys { ..*keys }, reservation, span: Span::current() }
    }
}

/// Counts queued attempts, one after the other, until `stop` is cancelled. Those that are queued then, or cannot be
/// counted, count after 30 seconds, and only for the email address.
pub(crate) async fn run(
    app: Arc<App>,
    mut queue: mpsc::Receiver<AbortedAttempt>,
    stop: CancellationToken,
) -> Result<()> {
    let counting = async {
        while let Some(AbortedAttempt { keys, reservation, span }) = queue.recv().await {
            let counted = reservation.fail(&app, &keys, Failure::Aborted);
            if let Err(error) = counted.instrument(span).await {
                tracing::warn!(%error, "counting an aborted attempt failed; it will count for the address only");
            }
        }
    };
    stop.run_until_cancelled(counting).await;
    Ok(())
}
