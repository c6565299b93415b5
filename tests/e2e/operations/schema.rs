//! The schema, and every statement that is sent to it.

use support::database::{Database, migrate};

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_can_be_prepared() {
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
async fn many_processes_may_migrate_at_once() {
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

/// While a newer version is rolled out, or after it was rolled back, the older one still starts.
#[tokio::test(flavor = "multi_thread")]
async fn a_newer_schema_does_not_stop_an_older_version() {
    let database = Database::create().await;
    let newer = "INSERT INTO migrations (version, name, applied_on, checksum) VALUES (999, 'future', '2026-11-21T00:00:00Z', '1')";
    database.execute(newer, &[]).await;
    migrate(&database.url).await.unwrap();
}
