//! The timeouts of the service's connections: a migration makes them settings of its role.

use std::process::Command;

use support::{
    database::Database,
    process::{Process, program},
    stack::Stack,
};

use super::{connect, migrate};

/// Name and value of each timeout that a new connection of this login has.
async fn timeouts(url: &str) -> Vec<(String, String)> {
    let service = connect(url).await.unwrap();
    let sql = "SELECT name, current_setting(name) FROM pg_settings WHERE name IN \
        ('idle_in_transaction_session_timeout', 'lock_timeout', 'statement_timeout') ORDER BY name";
    service.query(sql, &[]).await.unwrap().iter().map(|row| (row.get(0), row.get(1))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn migration_sets_the_timeouts_of_the_service() {
    let database = Database::create_empty().await;
    assert!(migrate(&database, &database.service_url).status.success());
    let expected = |lock: &str| {
        let values =
            [("idle_in_transaction_session_timeout", "10s"), ("lock_timeout", lock), ("statement_timeout", "5s")];
        values.map(|(name, value)| (name.to_owned(), value.to_owned()))
    };
    assert_eq!(timeouts(&database.service_url).await, expected("2s"));

    // The value of an operator is kept, and a missing one is set again.
    let service = connect(&database.service_url).await.unwrap();
    let role: String = service.query_one("SELECT current_user::text", &[]).await.unwrap().get(0);
    let change = format!(
        r#"ALTER ROLE "{role}" IN DATABASE "{role}" SET lock_timeout = 0;
           ALTER ROLE "{role}" IN DATABASE "{role}" RESET statement_timeout"#
    );
    database.client().batch_execute(&change).await.unwrap();
    assert!(migrate(&database, &database.service_url).status.success());
    assert_eq!(timeouts(&database.service_url).await, expected("0"));
}

/// Without a role of its own for the schema: the settings belong to this database only.
#[tokio::test(flavor = "multi_thread")]
async fn migration_sets_the_timeouts_of_a_single_role() {
    let (database, other) = (Database::create_empty().await, Database::create_empty().await);
    assert!(migrate(&database, &database.url).status.success());
    let values = |timeouts: Vec<(String, String)>| timeouts.into_iter().map(|(_, value)| value).collect::<Vec<_>>();
    assert_eq!(values(timeouts(&database.url).await), ["10s", "2s", "5s"]);
    assert_eq!(values(timeouts(&other.url).await), ["0", "0", "0"]);
}

/// A role that was never migrated for, as after a restore into a new database.
#[tokio::test(flavor = "multi_thread")]
async fn processes_warn_of_missing_timeouts() {
    let stack = Stack::prepare(&[]).await;
    for name in ["api", "worker"] {
        let variables = stack.variables(&[("DATABASE_URL", &stack.database.url), ("API_ADDR", "127.0.0.1:0")]);
        let mut process = Command::new(program(name));
        let mut process = Process::start(process.env_clear().envs(variables).env("OPS_ADDR", "127.0.0.1:0"));
        let warning = process.wait_for("Postgres limits no statements of this role");
        assert!(warning.contains("WARN") && warning.contains("SET statement_timeout = "), "{warning}");
        let (code, log) = process.terminate();
        assert_eq!(code, Some(0), "{log}");
    }
}
