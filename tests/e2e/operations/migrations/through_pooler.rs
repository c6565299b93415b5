//! Migrations and the start of an API with PgBouncer in front of Postgres, which scripts/test-pgbouncer provides.

use std::process::{Command, Output};

use support::{
    client::Client,
    database::{Database, connect, server_url},
    process::{Process, program},
    stack::SUBJECT_KEY,
};
use tokio_postgres::error::SqlState;

/// The URL of the database through PgBouncer, with the login of the schema's owner.
fn pooled_owner(database: &Database) -> String {
    let (server, _) = server_url("DATABASE_URL").rsplit_once('/').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    format!("{server}/{}", database.url.rsplit_once('/').unwrap().1)
}

fn migrate(database: &Database, owner_url: &str) -> Output {
    let urls = [("MIGRATE_DATABASE_URL", owner_url), ("DATABASE_URL", &database.service_url)];
    Command::new(program("api")).env_clear().envs(urls).arg("migrate").output().unwrap()
}

fn assert_refused(output: &Output) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{error}");
    assert!(error.contains("set MIGRATE_DATABASE_URL to the address of the Postgres server itself"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PgBouncer: scripts/test-pgbouncer"]
async fn migration_through_a_pooler_fails_with_advice() {
    let database = Database::create_empty().await;
    let pooled = pooled_owner(&database);
    assert_refused(&migrate(&database, &pooled));

    // The workaround that is found everywhere: PgBouncer drops the parameter, and migrates over shared sessions.
    let console = connect(&format!("{}/pgbouncer", pooled.rsplit_once('/').unwrap().0)).await;
    console.batch_execute("SET ignore_startup_parameters = 'options'").await.unwrap();
    assert_refused(&migrate(&database, &pooled));
    console.batch_execute("SET ignore_startup_parameters = ''").await.unwrap();

    assert_eq!(database.count("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").await, 0);
}

/// At its first start: the role of the service does not exist yet.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PgBouncer: scripts/test-pgbouncer"]
async fn api_behind_a_pooler_migrates_and_has_timeouts() {
    let database = Database::create_empty().await;
    let settings = [
        ("DATABASE_URL", database.service_url.as_str()),
        ("MIGRATE_DATABASE_URL", &database.url),
        ("AMQP_URL", "amqp://u:p@127.0.0.1:1"),
        ("CODE_SECRETS", "test:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        ("SUBJECT_KEY", SUBJECT_KEY),
        ("API_ADDR", "127.0.0.1:0"),
        ("OPS_ADDR", "127.0.0.1:0"),
    ];
    let mut api = Process::start(Command::new(program("api")).env_clear().envs(settings));
    let client = Client::new(format!("http://{}", api.address("api")));
    api.wait_for("ready");
    let answer = client.register("ada@example.com").await;
    assert_eq!(answer.status, 202, "{answer:?}");

    // The connections of the pooler are those of the API, also the one over which the migration set the timeouts.
    database.client().batch_execute("BEGIN; LOCK TABLE users").await.unwrap();
    let service = connect(&database.service_url).await;
    let error = service.query("SELECT FROM users", &[]).await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::LOCK_NOT_AVAILABLE), "{error:?}");
    let (_, log) = api.terminate();
    assert!(!log.contains("Postgres limits no statements"), "{log}");
}
