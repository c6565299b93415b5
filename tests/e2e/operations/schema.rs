//! Every SQL statement matches the schema.

use support::database::Database;

/// A connection keeps the plans that it made while the tables were empty. Then all indexes seem equally good, also one that
/// leads past the rows of all other addresses.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_an_address_are_found_by_address() {
    let database = Database::create().await;
    let client = database.client();
    client.batch_execute("SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off").await.unwrap();
    let of_an_address = |sql: &&str| sql.contains("email = $1") && !sql.contains("message #>>");
    let statements = [api::statements(), worker::statements()].concat();
    let statements: Vec<_> = statements.into_iter().filter(of_an_address).collect();
    assert!(statements.len() > 8, "{statements:#?}");
    for (n, sql) in statements.into_iter().enumerate() {
        let parameters = client.prepare(sql).await.unwrap().params().len();
        client.batch_execute(&format!("PREPARE s{n} AS {sql}")).await.unwrap();
        let values = vec!["NULL"; parameters].join(", ");
        let rows = client.query(&format!("EXPLAIN EXECUTE s{n} ({values})"), &[]).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        let filters_by_address = |line: &String| line.contains("Filter:") && line.contains("email = $1");
        assert!(!plan.iter().any(filters_by_address), "{sql}\n{}", plan.join("\n"));
    }
}

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
