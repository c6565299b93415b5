//! The timeouts that Postgres enforces for the service, as settings of its role in its database: parameters of a connection
//! are refused or dropped by a connection pooler (docs/decisions/0038).

use std::time::Duration;

use anyhow::Result;
use tokio_postgres::{Client, Row};

use super::Pool;

/// The settings of Postgres and their values.
const TIMEOUTS: [(&str, &str); 3] =
    [("statement_timeout", "5s"), ("lock_timeout", "2s"), ("idle_in_transaction_session_timeout", "10s")];

/// The timeouts that are off in this session; whether they are settings of the role or the database, which then this session
/// is older than; and the statements that set them for later sessions and for this one.
const DISABLED: &str = "SELECT name, EXISTS (SELECT FROM pg_db_role_setting, unnest(setconfig) AS setting \
    WHERE setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database())) \
    AND setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = session_user)) \
    AND starts_with(setting, name || '=')) AS is_stored, \
    format('ALTER ROLE %I IN DATABASE %I SET %s = %L', session_user, current_database(), name, value) AS store, \
    format('SET %s = %L', name, value) AS apply \
    FROM unnest($1::text[], $2::text[]) AS timeouts (name, value) WHERE current_setting(name) = '0'";

/// How long the check at start may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(5);

/// The timeouts as `options` of a URL, for a server that serves only this process.
pub fn url_options() -> String {
    let options = TIMEOUTS.map(|(name, value)| format!("-c%20{name}%3D{value}"));
    format!("options={}", options.join("%20"))
}

/// Stores the timeouts for the role of this session, which every role may do for itself, and applies them to the session. A
/// value that an operator has set is kept. Processes that do this at once would fail, so the caller holds a lock.
pub(super) async fn store_missing(client: &Client) -> Result<()> {
    let disabled = disabled(client).await?;
    let statements: Vec<String> = disabled
        .iter()
        .filter(|timeout| !timeout.get::<_, bool>("is_stored"))
        .flat_map(|timeout| [timeout.get("store"), timeout.get("apply")])
        .collect();
    if !statements.is_empty() {
        client.batch_execute(&statements.join("; ")).await?;
        tracing::info!("timeouts set for the role of the service");
    }
    Ok(())
}

/// Logs a warning if connections of the pool have no timeouts. Fails silently, because the start of a process does not
/// depend on it.
pub async fn warn_without_timeouts(pool: &Pool) {
    let check = async {
        let connection = pool.get().await?;
        let disabled = disabled(&connection).await?;
        if !disabled.is_empty() {
            let commands: Vec<String> = disabled.iter().map(|timeout| timeout.get("store")).collect();
            tracing::warn!(
                commands = commands.join("; "),
                "Postgres limits no statements of this role; execute the commands, and let a pooler reconnect"
            );
        }
        anyhow::Ok(())
    };
    if let Ok(Err(error)) = tokio::time::timeout(CHECK_TIMEOUT, check).await {
        tracing::debug!(%error, "cannot check the timeouts of the role");
    }
}

async fn disabled(client: &Client) -> Result<Vec<Row>> {
    let (names, values): (Vec<_>, Vec<_>) = TIMEOUTS.into_iter().unzip();
    Ok(client.query(DISABLED, &[&names, &values]).await?)
}
