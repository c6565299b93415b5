//! Every SQL statement matches the schema.

use support::database::Database;

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
