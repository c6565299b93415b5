//! B6: registrations per second with a minimal hash ÷ pgbench with the same SQL. The SQL is captured from the Postgres
//! log of a registration, so that it always is the SQL of the current code.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, ensure};
use tokio_postgres::Client;

use crate::{
    baseline::{
        pgbench,
        pgbench_script::Script,
        statement_log::{self, Statement},
    },
    clock::now,
    environment::{
        context::BenchContext,
        database,
        deployment::Deployment,
        pipeline::{self, LONG_HASH_QUEUE},
    },
    load::{client::HttpClient, closed_loop::ClosedLoop, users},
    report::{
        progress::print,
        table::{Goal, Row},
    },
};

/// As many as the connection pool of the API has (`api::CONNECTIONS`).
const CONNECTIONS: usize = 16;

/// Two per connection: one waits for a connection while the response of the other is on its way.
const CLIENTS: usize = 2 * CONNECTIONS;

/// The cheapest Argon2 parameters.
const MINIMAL_HASH: [(&str, &str); 2] = [("ARGON2_MEMORY_KIB", "8"), ("ARGON2_PASSES", "1")];

pub(crate) async fn run(context: &BenchContext) -> Result<Vec<Row>> {
    let (sequential, pipelined) = capture(context).await?;
    let mut deployment = Deployment::prepare(context, "minimal_hash").await?;
    MINIMAL_HASH.into_iter().chain([LONG_HASH_QUEUE]).for_each(|(name, value)| deployment.set(name, value));
    let pgbench_deployment = Deployment::prepare(context, "pgbench").await?;
    let api = deployment.start_api(context).await?;
    // In a quick run on a small machine, waiting requests would be rejected.
    let clients = context.full_or_quick(CLIENTS, CONNECTIONS);
    let client = HttpClient::new(api.address, clients);
    let (mut plain, mut piped) = (Vec::new(), Vec::new());
    for round in 1..=context.rounds() {
        let baseline = async |script| {
            pgbench::rate(&pgbench_deployment.database_url, script, CONNECTIONS, context.seconds()).await
        };
        let sequential_rate = baseline(&sequential).await?;
        let pipelined_rate = baseline(&pipelined).await?;
        let (warm_up, seconds) = (context.warm_up(), context.seconds());
        let counted =
            ClosedLoop { clients, warm_up, seconds }.run(&client, pipeline::new_registrations(context)).await?;
        let vestibule = counted.rate_of_only(202)?;
        check_minimal_hash(&deployment.database).await?;
        wait_for_relay(&deployment).await?;
        print(&format!(
            "  B6 round {round}: {vestibule:.0} registrations/s, pgbench {sequential_rate:.0}, pipelined {pipelined_rate:.0}"
        ));
        plain.push((vestibule, sequential_rate));
        piped.push((vestibule, pipelined_rate));
    }
    api.process.stop().await?;
    let label = "registrations with a minimal hash ÷ pgbench, same SQL";
    let pipelined_label = "the same ÷ pgbench with pipelined transactions";
    Ok(vec![
        Row::ratio("B6", label, &plain, "/s", Goal::AtLeast(0.9, 0.75)),
        Row::ratio("B6-piped", pipelined_label, &piped, "/s", Goal::None),
    ])
}

/// Fails if the registrations were not hashed with the minimal parameters.
async fn check_minimal_hash(database: &Client) -> Result<()> {
    let sql = "SELECT password_hash FROM registrations ORDER BY created_at DESC LIMIT 1";
    let hash: String = database.query_one(sql, &[]).await?.get(0);
    ensure!(hash.contains("$m=8,t=1,"), "ARGON2_MEMORY_KIB and ARGON2_PASSES have no effect: {}", &hash[..30]);
    Ok(())
}

/// Waits until the relay is idle, which would slow down pgbench, and purges the queue, which has no consumer.
async fn wait_for_relay(deployment: &Deployment) -> Result<()> {
    let deadline = now() + Duration::from_secs(120);
    while database::count(&deployment.database, "SELECT count(*) FROM outbox").await? > 0 {
        ensure!(now() < deadline, "the outbox was not empty within 120 s");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    deployment.broker.purge().await
}

/// Registers a user at an API without a broker, so that the relay is idle, and converts the logged SQL into two pgbench
/// scripts: sequential and pipelined.
async fn capture(context: &BenchContext) -> Result<(PathBuf, PathBuf)> {
    let log = std::env::var("POSTGRES_LOG")
        .context("POSTGRES_LOG is not set; B6 needs the log file of the server, which scripts/bench sets")?;
    let mut deployment = Deployment::prepare(context, "capture").await?;
    deployment.set("AMQP_URL", "amqp://bench:unused@127.0.0.1:1/%2f");
    let settings = format!(r#"ALTER DATABASE "{}" SET log_statement = 'all'"#, deployment.name);
    deployment.database.batch_execute(&settings).await?;
    let api = deployment.start_api(context).await?;
    let client = HttpClient::new(api.address, 1);
    // The first registration prepares the statements; the second one is representative.
    let first = context.allocate_users(2);
    let user = first + 1;
    ensure!(client.send(users::register(first)).await.status == 202, "a registration was not accepted");
    tokio::time::sleep(Duration::from_millis(200)).await;
    let before = std::fs::read_to_string(&log)?.len();
    ensure!(client.send(users::register(user)).await.status == 202, "a registration was not accepted");
    tokio::time::sleep(Duration::from_millis(200)).await;
    let statements = statement_log::statements(&std::fs::read_to_string(&log)?[before..]);
    api.process.stop().await?;
    let relay_markers = ["leased_until", "enable_seqscan"];
    let is_of_relay = |statement: &Statement| relay_markers.iter().any(|marker| statement.sql.contains(marker));
    let statements: Vec<_> = statements.into_iter().filter(|statement| !is_of_relay(statement)).collect();
    let commits = statements.iter().filter(|statement| statement.sql.eq_ignore_ascii_case("commit")).count();
    ensure!(commits > 0, "the log of a registration contains no COMMIT: {statements:?}");
    print(&format!("  B6: a registration is {} statements", statements.len()));
    write_scripts(context, &deployment.database, &statements, &users::email(user)).await
}

/// Writes the sequential and the pipelined script, and returns their paths.
async fn write_scripts(
    context: &BenchContext,
    database: &Client,
    statements: &[Statement],
    email: &str,
) -> Result<(PathBuf, PathBuf)> {
    let mut script = Script::new(email);
    for statement in statements {
        let mut types = Vec::new();
        if !statement.values.is_empty() {
            types.extend(database.prepare(&statement.sql).await?.params().iter().map(|kind| kind.name().to_owned()));
        }
        script.add(statement, &types);
    }
    let write = |name: &str, text: String| {
        let path = context.scratch.join(name);
        std::fs::write(&path, text).map(|()| path)
    };
    Ok((write("sequential.sql", script.sequential())?, write("pipelined.sql", script.pipelined())?))
}
