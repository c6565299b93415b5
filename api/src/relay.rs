//! Moves outbox rows to whoever carries them on. Knows nothing of brokers or mail.

use std::{sync::Arc, time::Duration};

use futures_util::future::{BoxFuture, join_all};
use shared::message::Envelope;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    refusal::Refusal,
    store::{Store, outbox},
};

/// Takes a message away for good: `Ok` means that it is safely somebody else's. It must give up
/// well before a lease ends.
pub type Deliver = Arc<dyn Fn(Envelope) -> BoxFuture<'static, anyhow::Result<()>> + Send + Sync>;

/// Where the outbox leads.
#[derive(Clone)]
pub struct Outlet {
    pub deliver: Deliver,
    /// Whether it is open just now.
    pub is_up: Arc<dyn Fn() -> bool + Send + Sync>,
}

const BATCH: i64 = 200;
const LEASE_SECONDS: f64 = 30.0;

/// How long a row waits at most when no signal tells of it: one that another process left behind.
const POLL: Duration = Duration::from_secs(1);
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);
const PAUSE_WHILE_CLOSED: Duration = Duration::from_millis(100);
const DATABASE_TIMEOUT: Duration = Duration::from_secs(7);

enum Round {
    Idle,
    /// There may be more where these came from.
    Full,
    Failed(anyhow::Error),
}

/// Runs until told to stop; a round that has begun is finished, so that no lease outlives it.
pub(crate) async fn run(
    store: Store,
    outlet: Outlet,
    wake: Arc<Notify>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut failing = false;
    while !stop.is_cancelled() {
        if !(outlet.is_up)() {
            // Leasing would only be followed by giving back. Whoever runs the outlet has said why.
            pause(PAUSE_WHILE_CLOSED, &stop).await;
            continue;
        }
        match round(&store, &outlet.deliver).await.unwrap_or_else(|refusal| Round::Failed(refusal.into())) {
            Round::Failed(error) => {
                // Once an outage, not once a second.
                if !std::mem::replace(&mut failing, true) {
                    tracing::warn!(error = format!("{error:#}"), "messages wait in the outbox");
                }
                // A signal cannot shorten this one: what failed just now would fail again.
                pause(PAUSE_AFTER_FAILURE, &stop).await;
            }
            moved => {
                if std::mem::take(&mut failing) {
                    tracing::info!("the outbox moves again");
                }
                if let Round::Idle = moved {
                    tokio::select! { () = wake.notified() => {}, () = pause(POLL, &stop) => {} }
                }
            }
        }
    }
    Ok(())
}

async fn pause(length: Duration, stop: &CancellationToken) {
    tokio::select! { () = tokio::time::sleep(length) => {}, () = stop.cancelled() => {} }
}

async fn round(store: &Store, deliver: &Deliver) -> Result<Round, Refusal> {
    let lease = async {
        // Delivering may take long: the connection goes back before.
        let connection = store.connection().await?;
        Ok(outbox::lease(&connection, BATCH, LEASE_SECONDS).await?)
    };
    let leased = soon(lease).await?;
    if leased.is_empty() {
        return Ok(Round::Idle);
    }
    let full = i64::try_from(leased.len()).is_ok_and(|rows| rows == BATCH);
    let deliveries = leased.into_iter().filter_map(|(id, row)| Some((id, readable(id, row)?)));
    let outcomes = join_all(deliveries.map(async |(id, envelope)| (id, deliver(envelope).await))).await;

    let (mut gone, mut back, mut why) = (Vec::new(), Vec::new(), None);
    for (id, outcome) in outcomes {
        match outcome {
            Ok(()) => gone.push(id),
            Err(error) => {
                back.push(id);
                why = Some(error);
            }
        }
    }
    let settle = async {
        let connection = store.connection().await?;
        outbox::delete(&connection, &gone).await?;
        Ok(outbox::release(&connection, &back).await?)
    };
    soon(settle).await?;
    Ok(match why {
        Some(error) => Round::Failed(error),
        None if full => Round::Full,
        None => Round::Idle,
    })
}

/// A row that we cannot read was written by a newer version of us, most likely, which will take it. It
/// keeps its lease, so that it holds up nobody and is looked at again when that ends.
fn readable(id: Uuid, row: Result<Envelope, &'static str>) -> Option<Envelope> {
    row.inspect_err(|why| tracing::error!(%id, why, "a row of the outbox cannot be read")).ok()
}

/// A database that says nothing is one that is away.
async fn soon<T>(work: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
    let late = |_| Refusal::Unavailable(anyhow::anyhow!("Postgres did not answer within {DATABASE_TIMEOUT:?}"));
    tokio::time::timeout(DATABASE_TIMEOUT, work).await.unwrap_or_else(|elapsed| Err(late(elapsed)))
}
