//! Outbox metrics: the backlog and the age of its oldest message. Cheap however large the backlog is.

use futures_util::future::try_join3;

use crate::store::{Connection, PgError};

// Counting stops at 10 000 rows, where it would begin to be expensive. Mails are read in the order of their age, so the
// oldest is among those that are counted; events in the order of `due_at`, and of very many the oldest may be in
// backoff behind them.
macro_rules! first_10_000 {
    ($condition:literal, $order:literal) => {
        concat!(
            "SELECT count(*), floor(COALESCE(EXTRACT(EPOCH FROM clock_timestamp() - min(created_at)), 0))::bigint FROM \
             (SELECT created_at FROM outbox WHERE ",
            $condition,
            " ORDER BY ",
            $order,
            " LIMIT 10000) AS first"
        )
    };
}

const CODES: &str = first_10_000!("NOT message ? 'specversion' AND NOT is_notice", "created_at");
const NOTICES: &str = first_10_000!("is_notice", "created_at");
const EVENTS: &str = first_10_000!("message ? 'specversion'", "due_at");

/// The statements to prepare on every connection.
pub(crate) const ALL: &[&str] = &[CODES, NOTICES, EVENTS];

/// The number of messages, and the age of the oldest in seconds.
pub(crate) type Waiting = (i64, i64);

/// The backlogs of codes, of notices and of events. Planned anew each time: a plan made while the outbox was nearly empty would
/// read all of it.
pub(crate) async fn waiting(connection: &Connection) -> Result<(Waiting, Waiting, Waiting), PgError> {
    let backlog = async |sql| connection.query_one(sql, &[]).await.map(|row| (row.get(0), row.get(1)));
    try_join3(backlog(CODES), backlog(NOTICES), backlog(EVENTS)).await
}
