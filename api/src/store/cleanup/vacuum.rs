//! Vacuums and analyzes the tables, for a database that does not do so itself.

use crate::store::{Connection, PgError};

/// The tables that requests write.
pub(super) const TABLES: [&str; 13] = [
    "outbox",
    "code_attempts",
    "activations_by_hour",
    "lockouts",
    "budgets",
    "guesses",
    "known_networks",
    "codes",
    "resets",
    "sessions",
    "registrations",
    "users",
    "deliveries",
];

/// Longer than a large table takes.
const EXTEND_TIMEOUT: &str = "SET statement_timeout = '60s'";

/// One statement for each table. Outside of a transaction, so they cannot be sent together.
pub(crate) fn statements() -> impl Iterator<Item = String> {
    TABLES.iter().map(|table| format!("VACUUM (ANALYZE) {table}"))
}

/// Executes a statement of [`statements`]. The role must own the table.
pub(crate) async fn execute(connection: &Connection, statement: &str) -> Result<(), PgError> {
    connection.batch_execute(EXTEND_TIMEOUT).await?;
    let vacuumed = connection.batch_execute(statement).await;
    connection.batch_execute("RESET statement_timeout").await?;
    vacuumed
}
