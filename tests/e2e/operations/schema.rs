//! Migrations, and that every SQL statement matches the schema.

use support::database::{Database, migrate};

#[tokio::test(flavor = "multi_thread")]
async fn every_sql_statement_can_be_prepared() {
    let database = Database::create().await;
    let statements = [api::statements(), worker::statements()].concat();
    assert!(statements.len() > 20, "{}", statements.len());
    for sql in statements {
        if let Err(error) = database.client().prepare(sql).await {
            panic!("{sql}: {error:?}");
        }
    }
}

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
