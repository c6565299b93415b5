//! Outbox metrics: the backlog and the age of its oldest message. Cheap however large the backlog is, and however many
//! deleted rows cannot be vacuumed yet.

use futures_util::future::try_join3;

use super::{Positions, codes, events, notices};
use crate::store::{Connection, PgError};

// Counting stops at 10 000 rows, where it would begin to be expensive. Rows are read about in the order of their age, so
// the oldest is among those that are counted, unless so many are in backoff.
macro_rules! first_10_000 {
    ($rows:expr, $order:literal) => {
        concat!("(SELECT created_at FROM outbox WHERE ", $rows, " ORDER BY ", $order, " LIMIT 10000)")
    };
}
macro_rules! backlog {
    ($rows:expr) => {
        concat!(
            "SELECT LEAST(count(*), 10000), \
             floor(COALESCE(EXTRACT(EPOCH FROM clock_timestamp() - min(created_at)), 0))::bigint FROM (",
            $rows,
            ") AS first"
        )
    };
}

const CODES: &str = backlog!(first_10_000!(concat!(codes!(), " AND position >= $1"), "position"));
const NOTICES: &str = backlog!(first_10_000!(concat!(notices!(), " AND position >= $1"), "position"));
const EVENTS: &str = backlog!(concat!(
    first_10_000!(concat!(events!(), " AND position >= $1"), "position"),
    " UNION ALL ",
    first_10_000!("due_at IS NOT NULL", "due_at")
));

/// The statements to prepare on every connection.
pub(crate) const ALL: &[&str] = &[CODES, NOTICES, EVENTS];

/// The number of messages, and the age of the oldest in seconds.
pub(crate) type Waiting = (i64, i64);

/// The backlogs of codes, of notices and of events from these positions on. Planned anew each time: a plan made while the outbox was nearly empty would
/// read all of it.
pub(crate) async fn waiting(
    connection: &Connection,
    positions: Positions,
) -> Result<(Waiting, Waiting, Waiting), PgError> {
    let backlog = async |sql, position: i64| -> Result<Waiting, PgError> {
        connection.query_one(sql, &[&position]).await.map(|row| (row.get(0), row.get(1)))
    };
    let Positions { codes, notices, events } = positions;
    try_join3(backlog(CODES, codes), backlog(NOTICES, notices), backlog(EVENTS, events)).await
}
