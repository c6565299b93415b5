//! B6: registrations per second with next to no hash ÷ pgbench with the same SQL, which is captured from the
//! log of a registration, so that it is always that of the code.

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

/// Those of the API's pool (`api::CONNECTIONS`).
const CONNECTIONS: usize = 16;

/// Two for each connection: one waits while the other's answer is on its way.
const CLIENTS: usize = 2 * CONNECTIONS;

/// The least that Argon2 can do.
const NO_HASH: [(&str, &str); 2] = [("ARGON2_MEMORY_KIB", "8"), ("ARGON2_PASSES", "1")];

pub(crate) async fn run(context: &BenchContext) -> Result<Vec<Row>> {
    let (sequential, pipelined) = capture(context).await?;
    let mut deployment = Deployment::prepare(context, "stubbed").await?;
    NO_HASH.into_iter().chain([LONG_HASH_QUEUE]).for_each(|(name, value)| deployment.set(name, value));
    let twin = Deployment::prepare(context, "pgbench").await?;
    let api = deployment.start_api(context).await?;
    // A small machine that is only to show that this runs would refuse those who wait.
    let clients = context.full_or_quick(CLIENTS, CONNECTIONS);
    let client = HttpClient::new(api.address, clients);
    let (mut plain, mut piped) = (Vec::new(), Vec::new());
    for round in 1..=context.rounds() {
        let baseline = async |script| pgbench::rate(&twin.database_url, script, CONNECTIONS, context.seconds()).await;
        let (slow, fast) = (baseline(&sequential).await?, baseline(&pipelined).await?);
        let (warm_up, seconds) = (context.warm_up(), context.seconds());
        let counted =
            ClosedLoop { clients, warm_up, seconds }.run(&client, pipeline::new_registrations(context)).await?;
        let vestibule = counted.rate_of_only(202)?;
        check_stub(&deployment.database).await?;
        rest(&deployment).await?;
        print(&format!("  B6 round {round}: {vestibule:.0} registrations/s, pgbench {slow:.0} and {fast:.0}"));
        plain.push((vestibule, slow));
        piped.push((vestibule, fast));
    }
    api.process.stop().await?;
    let label = "registrations with next to no hash ÷ pgbench, same SQL";
    let in_one_go = "the same ÷ pgbench that sends each transaction in one go";
    Ok(vec![
        Row::ratio("B6", label, &plain, "/s", Goal::AtLeast(0.8, 0.6)),
        Row::ratio("B6-piped", in_one_go, &piped, "/s", Goal::None),
    ])
}

async fn check_stub(database: &Client) -> Result<()> {
    let sql = "SELECT password_hash FROM registrations ORDER BY created_at DESC LIMIT 1";
    let hash: String = database.query_one(sql, &[]).await?.get(0);
    ensure!(hash.contains("$m=8,t=1,"), "ARGON2_MEMORY_KIB and ARGON2_PASSES change nothing: {}", &hash[..30]);
    Ok(())
}

/// Nobody takes the messages, so they must not pile up; what the relay still has would take from pgbench.
async fn rest(deployment: &Deployment) -> Result<()> {
    let deadline = now() + Duration::from_secs(120);
    while database::count(&deployment.database, "SELECT count(*) FROM outbox").await? > 0 {
        ensure!(now() < deadline, "rows stay in the outbox");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    deployment.broker.purge().await
}

/// Has somebody register at an API without a broker, so that the relay does nothing, and reads the log.
async fn capture(context: &BenchContext) -> Result<(PathBuf, PathBuf)> {
    let log = std::env::var("POSTGRES_LOG").context("POSTGRES_LOG is not set: B6 reads the log of a private server")?;
    let mut deployment = Deployment::prepare(context, "capture").await?;
    deployment.set("AMQP_URL", "amqp://bench:nobody@127.0.0.1:1/%2f");
    let settings = format!(r#"ALTER DATABASE "{}" SET log_statement = 'all'"#, deployment.name);
    deployment.database.batch_execute(&settings).await?;
    let api = deployment.start_api(context).await?;
    let client = HttpClient::new(api.address, 1);
    // The first one has statements prepared; the second is like all that follow.
    let first = context.allocate_users(2);
    let user = first + 1;
    ensure!(client.send(users::register(first)).await.status == 202, "nobody can register");
    tokio::time::sleep(Duration::from_millis(200)).await;
    let before = std::fs::read_to_string(&log)?.len();
    ensure!(client.send(users::register(user)).await.status == 202, "nobody can register");
    tokio::time::sleep(Duration::from_millis(200)).await;
    let statements = statement_log::statements(&std::fs::read_to_string(&log)?[before..]);
    api.process.stop().await?;
    let its_words = ["leased_until", "enable_seqscan"];
    let is_of_the_relay = |statement: &Statement| its_words.iter().any(|word| statement.sql.contains(word));
    let statements: Vec<_> = statements.into_iter().filter(|statement| !is_of_the_relay(statement)).collect();
    let commits = statements.iter().filter(|statement| statement.sql.eq_ignore_ascii_case("commit")).count();
    ensure!(commits > 0, "a registration has no commit in the log: {statements:?}");
    print(&format!("  B6: a registration is {} statements", statements.len()));
    write(context, &deployment.database, &statements, &users::email(user)).await
}

/// The paths of two scripts: one that waits for each answer, and one that does not.
async fn write(
    context: &BenchContext,
    database: &Client,
    statements: &[Statement],
    email: &str,
) -> Result<(PathBuf, PathBuf)> {
    let mut script = Script::new(email);
    for statement in statements {
        let mut types = Vec::new();
        if !statement.values.is_empty() {
            types.extend(database.prepare(&statement.sql).await?.params().iter().map(|of| of.name().to_owned()));
        }
        script.add(statement, &types);
    }
    let write = |name: &str, text: String| {
        let path = context.scratch.join(name);
        std::fs::write(&path, text).map(|()| path)
    };
    Ok((write("one-by-one.sql", script.sequential())?, write("pipelined.sql", script.pipelined())?))
}
