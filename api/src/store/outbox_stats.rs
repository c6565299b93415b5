//! How much waits in the outbox, and for how long: for who looks at the metrics, so it is cheap however much there is.

use futures_util::future::try_join;

use super::{Connection, PgError};

// Counting ends where it would begin to cost something. Mails are found by their age, so the oldest is among those that
// are counted; events by when they are due, and of very many the oldest may rest behind them.
macro_rules! first_10_000 {
    ($of:literal, $by:literal) => {
        concat!(
            "SELECT count(*), floor(COALESCE(EXTRACT(EPOCH FROM clock_timestamp() - min(created_at)), 0))::bigint FROM \
             (SELECT created_at FROM outbox WHERE ",
            $of,
            " ORDER BY ",
            $by,
            " LIMIT 10000) AS first"
        )
    };
}

const MAILS: &str = first_10_000!("NOT message ? 'specversion'", "created_at");
const EVENTS: &str = first_10_000!("message ? 'specversion'", "due_at");

pub(crate) const ALL: &[&str] = &[MAILS, EVENTS];

/// How many there are, and the age of the oldest in seconds.
pub(crate) type Waiting = (i64, i64);

/// Mails and events. Planned anew each time: a plan that was made while next to nothing waited would read all of it.
pub(crate) async fn waiting(connection: &Connection) -> Result<(Waiting, Waiting), PgError> {
    let ask = async |sql| connection.query_one(sql, &[]).await.map(|row| (row.get(0), row.get(1)));
    try_join(ask(MAILS), ask(EVENTS)).await
}
