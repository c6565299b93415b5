//! The role of API and worker reads and writes rows and cannot change the schema, which belongs to the role of
//! `MIGRATE_DATABASE_URL`. All tests with a `Stack` run their processes with such a role.

pub(crate) mod timeouts;

use std::process::{Command, Output};

use support::{
    client::PASSWORD,
    database::{Database, with_login},
    process::program,
    stack::Stack,
};
use tokio_postgres::{NoTls, error::SqlState};

const ADA: &str = "ada@example.com";

/// What the role must not do: change the schema, leave it, or claim a migration.
const FORBIDDEN: [&str; 10] = [
    "CREATE TABLE stolen (id integer)",
    "CREATE SCHEMA stolen",
    "CREATE FUNCTION stolen() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
    "CREATE ROLE stolen",
    "ALTER TABLE users ADD COLUMN stolen integer",
    "DROP TABLE users",
    "TRUNCATE users",
    "DELETE FROM migrations",
    "INSERT INTO migrations SELECT 999, name, applied_on, checksum FROM migrations",
    "COPY users TO PROGRAM 'cat'",
];

/// Runs `api migrate` with the owner of the database and this login of the service. It needs nothing else.
fn migrate(database: &Database, service_url: &str) -> Output {
    let mut command = Command::new(program("api"));
    command.env_clear().envs([("MIGRATE_DATABASE_URL", database.url.as_str()), ("DATABASE_URL", service_url)]);
    command.arg("migrate").output().unwrap()
}

async fn connect(url: &str) -> Result<tokio_postgres::Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

#[tokio::test(flavor = "multi_thread")]
async fn service_role_cannot_change_the_schema() {
    let stack = Stack::start().await;
    stack.sign_up_and_activate(ADA).await;
    assert_eq!(stack.client.login(ADA, PASSWORD).await.status, 200);
    let service = connect(&stack.database.service_url).await.unwrap();
    assert_eq!(service.query_one("SELECT count(*) FROM users", &[]).await.unwrap().get::<_, i64>(0), 1);
    for statement in FORBIDDEN {
        let error = service.batch_execute(statement).await.expect_err(statement);
        assert_eq!(error.code(), Some(&SqlState::INSUFFICIENT_PRIVILEGE), "{statement}: {error:?}");
    }
    assert_eq!(stack.client.delete_account(ADA).await.status, 204);
}

/// The operator changes the login in `DATABASE_URL` and migrates: no statement has to be typed.
#[tokio::test(flavor = "multi_thread")]
async fn migration_gives_the_service_its_login() {
    let database = Database::create_empty().await;
    let output = migrate(&database, &database.service_url);
    let log = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&log));
    let service = connect(&database.service_url).await.unwrap();
    assert_eq!(service.query_one("SELECT count(*) FROM users", &[]).await.unwrap().get::<_, i64>(0), 0);

    let role: String = service.query_one("SELECT current_user::text", &[]).await.unwrap().get(0);
    let verifier = format!("SELECT count(*) FROM pg_authid WHERE rolname = '{role}' AND rolpassword = ");
    let current: String = database
        .client()
        .query_one("SELECT rolpassword FROM pg_authid WHERE rolname = $1", &[&role])
        .await
        .unwrap()
        .get(0);
    // A password that is right is not set again.
    assert!(migrate(&database, &database.service_url).status.success());
    assert_eq!(database.count(&format!("{verifier}'{current}'")).await, 1);

    let changed = with_login(&database.service_url, &role, "it's%20another");
    assert!(migrate(&database, &changed).status.success());
    assert!(connect(&changed).await.is_ok());
    let error = connect(&database.service_url).await.err().unwrap();
    assert!(error.as_db_error().unwrap().message().contains("authentication failed"), "{error:?}");
}
