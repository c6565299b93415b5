//! Migrations while the service runs: they wait for others without making others wait for them, and a failed one is
//! repaired by the next try.

pub(crate) mod through_pooler;

use shared::postgres::{Migration, apply};
use support::database::{Database, connect, migrate};

fn migration(sql: &str) -> [Migration; 1] {
    [Migration::unapplied("V900__test", sql).unwrap()]
}

const IS_APPLIED: &str = "SELECT count(*) FROM migrations WHERE version = 900";

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_migrations_all_succeed() {
    let database = Database::create_empty().await;
    let migrations = (0..8).map(|_| {
        let url = database.url.clone();
        tokio::spawn(async move { migrate(&url).await })
    });
    for migrated in futures_util::future::join_all(migrations).await {
        migrated.unwrap().unwrap();
    }
    let applied = database.count("SELECT count(*) FROM migrations").await;
    assert_eq!(applied, database.count("SELECT max(version)::bigint FROM migrations").await);
}

/// An older version must still start while a newer one is rolled out, or after it was rolled back.
#[tokio::test(flavor = "multi_thread")]
async fn older_version_starts_on_a_newer_schema() {
    let database = Database::create().await;
    let newer = "INSERT INTO migrations (version, name, applied_on, checksum) VALUES (999, 'future', '2026-11-21T00:00:00Z', '1')";
    database.execute(newer, &[]).await;
    migrate(&database.url).await.unwrap();
}

/// A dump reads a table that a migration changes. All later queries would wait behind the migration.
#[tokio::test(flavor = "multi_thread")]
async fn migration_waiting_for_a_lock_does_not_block_queries() {
    let database = Database::create().await;
    let dump = connect(&database.url).await;
    dump.batch_execute("BEGIN; SELECT count(*) FROM users").await.unwrap();
    let url = database.url.clone();
    let migrating = tokio::spawn(async move {
        apply(&mut connect(&url).await, &migration("ALTER TABLE users ADD COLUMN test integer")).await
    });
    // As the service connects.
    let service = shared::postgres::pool(&database.url.clone().into(), 1).unwrap().get().await.unwrap();
    for _ in 0..3 {
        let waiting = "SELECT count(*) FROM pg_locks WHERE relation = 'users'::regclass AND NOT granted";
        database.wait_for_count(waiting, 1).await;
        service.query_one("SELECT count(*) FROM users", &[]).await.unwrap();
    }
    assert_eq!(database.count(IS_APPLIED).await, 0);
    dump.batch_execute("COMMIT").await.unwrap();
    migrating.await.unwrap().unwrap();
    assert_eq!(database.count(IS_APPLIED).await, 1);
    assert_eq!(database.count("SELECT count(test) FROM users").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_index_is_repaired_by_the_next_try() {
    let database = Database::create().await;
    let mutes = "INSERT INTO mutes (subject, until) VALUES ('a', 'epoch'), ('b', 'epoch')";
    database.execute(mutes, &[]).await;
    let index = migration(
        "-- no transaction\nDROP INDEX CONCURRENTLY IF EXISTS test;\n\
         CREATE UNIQUE INDEX CONCURRENTLY test ON mutes (until);\n",
    );
    let mut client = connect(&database.url).await;
    apply(&mut client, &index).await.unwrap_err();
    let valid = "SELECT count(*) FROM pg_index WHERE indexrelid = 'test'::regclass AND indisvalid";
    assert_eq!((database.count(valid).await, database.count(IS_APPLIED).await), (0, 0));
    database.execute("DELETE FROM mutes WHERE subject = 'b'", &[]).await;
    apply(&mut client, &index).await.unwrap();
    assert_eq!((database.count(valid).await, database.count(IS_APPLIED).await), (1, 1));
}
