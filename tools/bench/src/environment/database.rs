//! Creates, opens and drops the databases of the benches.

use anyhow::{Context, Result};
use tokio_postgres::{Client, NoTls};

use crate::environment::context::BenchContext;

/// The URL of a database on the server at `DATABASE_URL`.
pub(crate) fn url(context: &BenchContext, name: &str) -> String {
    let (base, query) = context.database_url.split_once('?').unwrap_or((&context.database_url, ""));
    let base = base.rsplit_once('/').filter(|(host, _)| !host.ends_with('/')).map_or(base, |(host, _)| host);
    if query.is_empty() { format!("{base}/{name}") } else { format!("{base}/{name}?{query}") }
}

/// The role of the processes has timeouts in its database.
const NO_TIMEOUTS: &str =
    "SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0";

/// Opens a connection without timeouts.
pub(crate) async fn connect(url: &str) -> Result<Client> {
    let (client, connection) =
        tokio_postgres::connect(url, NoTls).await.context("cannot connect to Postgres at DATABASE_URL")?;
    tokio::spawn(connection);
    client.batch_execute(NO_TIMEOUTS).await?;
    Ok(client)
}

/// Takes a snapshot, which is held until the connection is closed.
pub(crate) async fn hold_snapshot(url: &str) -> Result<Client> {
    let client = connect(url).await?;
    client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT count(*) FROM migrations").await?;
    Ok(client)
}

/// Creates a database as a copy of `template`, to which there must be no connection.
pub(crate) async fn create(context: &BenchContext, name: &str, template: &str) -> Result<()> {
    let sql = format!(r#"CREATE DATABASE "{name}" TEMPLATE "{template}""#);
    Ok(connect(&context.database_url).await?.batch_execute(&sql).await?)
}

/// Applies all migrations.
pub(crate) async fn migrate(url: &str) -> Result<()> {
    shared::postgres::migrate(&shared::postgres::pool(&url.to_owned().into(), 1)?).await
}

/// Drops a database and closes the connections to it.
pub(crate) async fn remove(context: &BenchContext, name: &str) -> Result<()> {
    let sql = format!(r#"DROP DATABASE IF EXISTS "{name}" WITH (FORCE)"#);
    Ok(connect(&context.database_url).await?.batch_execute(&sql).await?)
}

/// Runs a query that returns a single row, and returns its first column.
pub(crate) async fn count(client: &Client, sql: &str) -> Result<i64> {
    Ok(client.query_one(sql, &[]).await?.get(0))
}

/// Describes the server for the report, and returns whether it is durable (commits survive a crash).
pub(crate) async fn describe(context: &BenchContext) -> Result<(String, bool)> {
    let client = connect(&context.database_url).await?;
    let sql = "SELECT current_setting('server_version'), current_setting('fsync'), \
        current_setting('full_page_writes'), current_setting('synchronous_commit')";
    let row = client.query_one(sql, &[]).await?;
    let [version, fsync, pages, commit]: [String; 4] = std::array::from_fn(|column| row.get(column));
    let version = version.split(' ').next().unwrap_or_default();
    let is_durable = [&fsync, &pages, &commit].iter().all(|setting| *setting == "on");
    let text = format!("Postgres {version}, fsync {fsync}, full_page_writes {pages}, synchronous_commit {commit}");
    Ok((text, is_durable))
}
