//! Applies the migrations of the schema, and grants the service access to its rows.

use anyhow::{Context, Result};
use deadpool_postgres::Object;
use secrecy::SecretString;
use tokio_postgres::Client;

use super::{Pool, service_role::ServiceRole};

mod embedded {
    refinery::embed_migrations!("../migrations");
}

/// The advisory lock that serialises migrations: an arbitrary constant, the same in all processes.
const MIGRATION_LOCK: i64 = 0x0076_6573_7469_6275;

/// Applies all pending migrations. Several processes may call it at once: one migrates, the others wait for it.
pub async fn migrate(pool: &Pool) -> Result<()> {
    let client = pool.get().await.context("cannot connect to DATABASE_URL")?;
    migrate_and_grant(client, None).await
}

/// Applies all pending migrations as the role of `owner_url`, to which the schema belongs. If `service_url` has another
/// role, creates that role if it is missing, and lets it read and write rows.
pub async fn migrate_as_owner(owner_url: &SecretString, service_url: &SecretString) -> Result<()> {
    let pool = super::pool(owner_url, 1)?;
    let Some(role) = ServiceRole::unless_owner(service_url, owner_url)? else { return migrate(&pool).await };
    let client = pool.get().await.context("cannot connect to MIGRATE_DATABASE_URL")?;
    migrate_and_grant(client, Some(&role)).await
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
    // Migrations may take long, and refinery logs a notice each time that its table exists.
    let session = "SET statement_timeout = 0; SET lock_timeout = 0; SET client_min_messages = warning";
    client.batch_execute(&format!("{session}; SELECT pg_advisory_lock({MIGRATION_LOCK})")).await?;
    let mut runner = embedded::migrations::runner();
    runner.set_migration_table_name("migrations");
    // The database may have migrations of a newer version: during its roll-out, or after it was rolled back.
    let runner = runner.set_abort_missing(false);
    let report = runner.run_async(client).await.context("a migration failed")?;
    for migration in report.applied_migrations() {
        tracing::info!(%migration, "migration applied");
    }
    if let Some(role) = role {
        role.prepare(client).await?;
    }
    Ok(client.batch_execute(&format!("SELECT pg_advisory_unlock({MIGRATION_LOCK}); RESET ALL")).await?)
}

/// The schema version that this program was built for.
pub fn newest_version() -> i32 {
    embedded::migrations::runner().get_migrations().iter().map(|migration| migration.version()).max().unwrap_or(0)
}
