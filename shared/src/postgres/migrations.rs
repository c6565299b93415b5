//! Applies the migrations of the schema, and grants the service access to its rows.

use std::{
    collections::HashSet,
    hash::{BuildHasher, Hasher, RandomState},
    time::Duration,
};

use anyhow::{Context, Result};
use deadpool_postgres::Object;
pub use refinery::Migration;
use refinery::{Runner, Target};
use secrecy::SecretString;
use tokio::time::sleep;
use tokio_postgres::{Client, error::SqlState};

use super::{Pool, direct, service_role::ServiceRole, timeouts};

mod embedded {
    refinery::embed_migrations!("../migrations");
}

/// A statement waits no longer for a lock, because others wait behind it.
const LIMIT_LOCK_WAITS: &str = "SET lock_timeout = '1s'";

/// How often a migration is tried that cannot get its locks: for about ten minutes.
const MAX_ATTEMPTS: u32 = 240;

/// The sessions that waited behind an attempt make progress in this time.
const PAUSE_BETWEEN_ATTEMPTS: Duration = Duration::from_secs(1);

const ATTEMPTS_PER_WARNING: u32 = 10;

/// How often a process asks whether another one still migrates.
const LOCK_POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The advisory lock that serialises migrations: an arbitrary constant, the same in all processes.
const MIGRATION_LOCK: i64 = 0x0076_6573_7469_6275;

/// Applies all pending migrations over a connection of the pool, to the server itself. Several processes may call it at once:
/// one migrates, the others wait for it.
pub async fn migrate(pool: &Pool) -> Result<()> {
    let client = pool.get().await.context("cannot connect to DATABASE_URL")?;
    migrate_and_grant(client, None).await
}

/// Applies all pending migrations as the role of `owner_url`, to which the schema belongs. If `service_url` has another
/// role, creates that role if it is missing, and lets it read and write rows. Gives the service's role its timeouts.
pub async fn migrate_as_owner(owner_url: &SecretString, service_url: &SecretString) -> Result<()> {
    let role = ServiceRole::unless_owner(service_url, owner_url)?;
    migrate_and_grant(direct::connect(owner_url).await?, role.as_ref()).await
}

async fn migrate_and_grant(mut client: Object, role: Option<&ServiceRole<'_>>) -> Result<()> {
    let result = migrate_over(&mut client, role).await;
    if result.is_err() {
        // The advisory lock belongs to the session, so a failure must close the session.
        drop(Object::take(client));
    }
    result
}

async fn migrate_over(client: &mut Client, role: Option<&ServiceRole<'_>>) -> Result<()> {
    acquire_lock(client).await?;
    apply(client, embedded::migrations::runner().get_migrations()).await?;
    if let Some(role) = role {
        role.prepare(client).await?;
    }
    client.batch_execute("RESET ALL").await?;
    let timeouts_stored = match role {
        Some(role) => role.store_timeouts().await,
        None => timeouts::store_missing(client).await,
    };
    if let Err(error) = timeouts_stored {
        tracing::warn!(error = format!("{error:#}"), "cannot set the timeouts of the service's role");
    }
    Ok(client.batch_execute(&format!("SELECT pg_advisory_unlock({MIGRATION_LOCK})")).await?)
}

/// Waits until no other process migrates. Without a statement that waits: its snapshot would make the other process wait,
/// if that builds an index concurrently.
async fn acquire_lock(client: &Client) -> Result<()> {
    let try_lock = format!("SELECT pg_try_advisory_lock({MIGRATION_LOCK})");
    while !client.query_one(&try_lock, &[]).await?.get::<_, bool>(0) {
        sleep(with_jitter(LOCK_POLL_INTERVAL)).await;
    }
    Ok(())
}

/// Applies those of `migrations` that the database does not have, each in a transaction of its own, unless it says
/// otherwise (docs/decisions/0037). Whatever happens, the next call continues where this one ended.
///
/// A statement that needs a lock of a table makes all later ones wait behind it while it waits itself. So it gives up after a
/// second, and is tried again.
pub async fn apply(client: &mut Client, migrations: &[Migration]) -> Result<()> {
    // refinery logs a notice each time that its table exists.
    let session = format!(
        "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = '10s'; \
         SET client_min_messages = warning; {LIMIT_LOCK_WAITS}"
    );
    client.batch_execute(&session).await?;
    // Only creates the table, and compares the migrations that the database has.
    run(client, migrations, Target::Version(0)).await?;
    let applied = client.query("SELECT version FROM migrations", &[]).await?;
    let applied: HashSet<i32> = applied.iter().map(|row| row.get(0)).collect();
    let mut pending: Vec<_> = migrations.iter().filter(|migration| !applied.contains(&migration.version())).collect();
    pending.sort_by_key(|migration| migration.version());
    // Of a new database, in which nothing waits, only the end is worth a line.
    let is_new = applied.is_empty();
    for migration in &pending {
        if !is_new {
            tracing::info!(%migration, "migrating");
        }
        apply_one(client, migrations, migration).await.with_context(|| format!("the migration {migration} failed"))?;
    }
    if let Some(newest) = pending.last() {
        tracing::info!(schema = newest.version(), "{}", if is_new { "schema created" } else { "schema migrated" });
    }
    Ok(())
}

async fn apply_one(client: &mut Client, migrations: &[Migration], migration: &Migration) -> Result<()> {
    let version = migration.version();
    if let Some(statements) = statements_outside_transaction(migration.sql().unwrap_or_default()) {
        // They block no other session while they wait.
        client.batch_execute("SET lock_timeout = 0").await?;
        for statement in statements {
            tracing::debug!(statement, "this waits for all open transactions, and blocks none");
            client.batch_execute(statement).await?;
        }
        client.batch_execute(LIMIT_LOCK_WAITS).await?;
        return run(client, migrations, Target::FakeVersion(version)).await;
    }
    let mut attempt = 1;
    loop {
        match run(client, migrations, Target::Version(version)).await {
            Err(error) if is_lock_timeout(&error) && attempt < MAX_ATTEMPTS => {
                if attempt % ATTEMPTS_PER_WARNING == 1 {
                    tracing::warn!(%migration, attempt, "a table is locked by another session; retrying");
                }
                attempt += 1;
                sleep(with_jitter(PAUSE_BETWEEN_ATTEMPTS)).await;
            }
            result => return result,
        }
    }
}

async fn run(client: &mut Client, migrations: &[Migration], target: Target) -> Result<()> {
    // The database may have migrations of a newer version: during its roll-out, or after it was rolled back.
    let mut runner = Runner::new(migrations).set_abort_missing(false).set_target(target);
    runner.set_migration_table_name("migrations");
    runner.run_async(client).await?;
    Ok(())
}

/// The statements of a migration that must not run in a transaction; `None` if it must.
fn statements_outside_transaction(sql: &str) -> Option<impl Iterator<Item = &str>> {
    let statements = sql.strip_prefix("-- no transaction\n")?.split(';');
    Some(statements.map(without_comment).filter(|statement| !statement.is_empty()))
}

/// A statement without the comment before it.
fn without_comment(statement: &str) -> &str {
    let statement = statement.trim();
    let Some(comment) = statement.strip_prefix("--") else { return statement };
    without_comment(comment.split_once('\n').map_or("", |(_, rest)| rest))
}

fn is_lock_timeout(error: &anyhow::Error) -> bool {
    let code = error.chain().find_map(|cause| cause.downcast_ref::<tokio_postgres::Error>()?.code());
    code == Some(&SqlState::LOCK_NOT_AVAILABLE)
}

/// Between once and twice this time, so that several processes do not stay in step.
fn with_jitter(time: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish();
    time + time.mul_f64(random as f64 / u64::MAX as f64)
}

/// The schema version that this program was built for.
pub fn newest_version() -> i32 {
    embedded::migrations::runner().get_migrations().iter().map(|migration| migration.version()).max().unwrap_or(0)
}

#[cfg(test)]
mod tests;
