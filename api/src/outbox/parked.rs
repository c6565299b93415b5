//! The commands `api outbox parked`, `requeue` and `drop`, for rows that no relay could publish.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use crate::store::{Store, outbox::parked};

/// The most rows that a command lists or requeues, the oldest first.
const MAX_ROWS: i64 = 10_000;

/// Which rows are requeued.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Selection {
    All,
    Id(String),
}

/// Lists the parked rows. Without their messages, which may contain email addresses.
pub(crate) async fn list(store: &Store) -> Result<(String, Value)> {
    let rows = parked::list(&store.connection().await?, MAX_ROWS).await?;
    let mut text = String::new();
    let mut entries = vec![];
    for parked::ParkedRow { id, why, parked_at } in rows {
        let since = parked_at.replace_nanosecond(0)?.format(&Rfc3339)?;
        text.push_str(&format!("{id}  since {since}  {why}\n"));
        entries.push(json!({ "id": id, "since": since, "why": why }));
    }
    if entries.is_empty() {
        text.push_str("No outbox row is parked.\n");
    }
    Ok((text, json!({ "parked": entries })))
}

/// Moves rows back to the outbox.
pub(crate) async fn requeue(store: &Store, selection: &Selection) -> Result<(String, Value)> {
    let connection = store.connection().await?;
    let ids = match selection {
        Selection::Id(id) => vec![parse(id)?],
        Selection::All => parked::list(&connection, MAX_ROWS).await?.iter().map(|row| row.id).collect(),
    };
    let requeued = parked::requeue(&connection, &ids).await?;
    ensure!(requeued > 0 || *selection == Selection::All, "no parked row has this id; see `api outbox parked`");
    Ok((format!("{requeued} row(s) were moved back to the outbox.\n"), json!({ "requeued": requeued })))
}

/// Deletes a row for ever.
pub(crate) async fn drop(store: &Store, id: &str) -> Result<(String, Value)> {
    let dropped = parked::drop(&store.connection().await?, parse(id)?).await?;
    ensure!(dropped, "no parked row has this id; see `api outbox parked`");
    Ok(("The row was deleted.\n".to_owned(), json!({ "dropped": 1 })))
}

fn parse(id: &str) -> Result<Uuid> {
    id.parse().context("not an id; `api outbox parked` lists the ids")
}
