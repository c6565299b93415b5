//! Work of Postgres for the service, by `pg_stat_statements`: that of all processes on one database.

use anyhow::Result;
use tokio_postgres::Client;

use crate::{
    environment::database,
    report::{progress::print, table::number},
};

/// Statements of all processes on this database, but not those of the meter.
const OF_THIS_DATABASE: &str = "FROM pg_stat_statements \
    WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND userid = current_user::regrole \
    AND query NOT LIKE '%pg_stat_statements%'";

const WORK: &str = "SELECT coalesce(sum(total_exec_time + total_plan_time), 0)::float8, \
    coalesce(sum(shared_blks_hit + shared_blks_read), 0)::float8, coalesce(sum(rows), 0)::float8, \
    coalesce(sum(calls), 0)::float8";

/// The statements of a lease round: all of the relay, per query for codes, of which each round that leases has one. Those of
/// the rounds between, which only write outcomes, are added.
const LEASE_ROUND: &str = "SELECT coalesce(sum(total_exec_time + total_plan_time), 0)::float8, \
    coalesce(sum(calls) FILTER (WHERE query LIKE 'UPDATE outbox SET leased_by%NOT is_notice%'), 0)::float8, \
    coalesce(max(max_exec_time), 0)::float8, \
    coalesce((array_agg(left(regexp_replace(query, '.*SELECT id FROM', '… SELECT id FROM'), 160) \
    ORDER BY max_exec_time DESC))[1], '')";
const OF_RELAYS: &str = "AND query LIKE '%outbox%' AND query NOT LIKE 'INSERT%' AND query NOT LIKE '%count(*)%'";

/// Reads and resets the statistics of one database.
pub(crate) struct StatementMeter {
    pub(crate) client: Client,
}

/// What all statements did since the last reset.
pub(crate) struct Work {
    /// Execution and, with [`StatementMeter::count_planning`], planning.
    pub(crate) ms: f64,
    /// Blocks that were read, or found in memory.
    pub(crate) blocks: f64,
    pub(crate) rows: f64,
    pub(crate) calls: f64,
}

/// The lease rounds of all relays since the last reset.
pub(crate) struct LeaseRounds {
    /// The mean time of all statements of a round.
    pub(crate) mean_ms: f64,
    /// The longest time of a single statement, and the statement.
    pub(crate) longest_ms: f64,
    pub(crate) longest: String,
}

/// By what statements are ordered.
#[derive(Clone, Copy)]
pub(crate) enum By {
    Blocks,
    Milliseconds,
}

impl StatementMeter {
    /// Opens a connection for the statistics.
    pub(crate) async fn open(database_url: &str) -> Result<Self> {
        let client = database::connect(database_url).await?;
        client.batch_execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements").await?;
        Ok(Self { client })
    }

    /// Counts the planning of statements, too, on all connections that are opened later.
    pub(crate) async fn count_planning(&self) -> Result<()> {
        let setting = "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET pg_stat_statements.track_planning = on', \
            current_database()); END $$";
        Ok(self.client.batch_execute(setting).await?)
    }

    /// Forgets all statements.
    pub(crate) async fn reset(&self) -> Result<()> {
        Ok(self.client.batch_execute("SELECT pg_stat_statements_reset()").await?)
    }

    /// The work since the last reset.
    pub(crate) async fn work(&self) -> Result<Work> {
        let row = self.client.query_one(&format!("{WORK} {OF_THIS_DATABASE}"), &[]).await?;
        Ok(Work { ms: row.get(0), blocks: row.get(1), rows: row.get(2), calls: row.get(3) })
    }

    /// The lease rounds since the last reset.
    pub(crate) async fn lease_rounds(&self) -> Result<LeaseRounds> {
        let row = self.client.query_one(&format!("{LEASE_ROUND} {OF_THIS_DATABASE} {OF_RELAYS}"), &[]).await?;
        let [total_ms, rounds, longest_ms] = [0, 1, 2].map(|column| row.get::<_, f64>(column));
        Ok(LeaseRounds { mean_ms: total_ms / rounds, longest_ms, longest: row.get(3) })
    }

    /// Prints the four statements with the most work: their work and calls divided by `count`, and what a call does.
    pub(crate) async fn print_top(&self, by: By, count: f64) -> Result<()> {
        let (amount, unit) = match by {
            By::Blocks => ("shared_blks_hit + shared_blks_read", "blocks"),
            By::Milliseconds => ("total_exec_time + total_plan_time", "ms"),
        };
        let top = format!(
            "SELECT ({amount})::float8, calls::float8, rows::float8 / calls, \
             (shared_blks_hit + shared_blks_read)::float8 / calls, left(regexp_replace(query, '\\s+', ' ', 'g'), 100) \
             {OF_THIS_DATABASE} AND calls > 0 ORDER BY 1 DESC LIMIT 4"
        );
        for statement in self.client.query(&top, &[]).await? {
            let [amount, calls] = [0, 1].map(|column| number(statement.get::<_, f64>(column) / count));
            let [rows, blocks] = [2, 3].map(|column| number(statement.get(column)));
            let query: String = statement.get(4);
            print(&format!("      {amount} {unit}, {calls} calls ({rows} rows, {blocks} blocks each): {query}"));
        }
        Ok(())
    }
}
