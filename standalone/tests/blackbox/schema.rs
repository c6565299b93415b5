//! The schema, and every statement that is sent to it.

use crate::database::Database;

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
        tokio::spawn(async move { shared::postgres::migrate(&url.into()).await })
    });
    for migrated in futures_util::future::join_all(migrations).await {
        migrated.unwrap().unwrap();
    }
    let applied = database.count("SELECT count(*) FROM migrations").await;
    assert_eq!(applied, database.count("SELECT max(version)::bigint FROM migrations").await);
}
