//! Sign-ups per second at the peak ÷ those of libraries for the same purpose (tools/bench/peers): better-auth and
//! fastapi-users, with both hash engines of this service.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use hyper::Request;
use tokio_postgres::Client;

use super::peer::free_address;
use crate::{
    clock::now,
    environment::{
        context::BenchContext,
        database,
        pipeline::{self, LONG_HASH_QUEUE, Pipeline},
        process::Process,
    },
    load::{client::HttpClient, closed_loop::ClosedLoop, users},
    report::{
        progress::print,
        table::{Goal, Row},
    },
};

const CONNECTIONS: usize = 256;
const TIMEOUT: Duration = Duration::from_secs(60);
const SECRET: &str = "cGVlci1wZWVyLXBlZXItcGVlci1wZWVyLXBlZXItcGVlci0=";

/// A library as a service with a process for each core.
struct Peer {
    name: &'static str,
    process: Process,
    client: Arc<HttpClient>,
    database: Client,
    sign_up: fn(u64) -> Request<String>,
    /// The status of a successful sign-up.
    status: u16,
}

pub(crate) async fn run(context: &BenchContext) -> Result<Vec<Row>> {
    let engine = |name| [LONG_HASH_QUEUE, ("PASSWORD_ENGINE", name)];
    let fast = Pipeline::start(context, "fast", context.cores, &engine("fast")).await?;
    let reference = Pipeline::start(context, "reference", context.cores, &engine("reference")).await?;
    let mut peers = [better_auth(context).await?, fastapi_users(context).await?];
    let mut rounds = [vec![], vec![], vec![], vec![]];
    for round in 1..=context.rounds() {
        let own = [fast.peak(context).await?.rate_of_only(202)?, {
            fast.wait_until_idle().await?;
            reference.peak(context).await?.rate_of_only(202)?
        }];
        reference.wait_until_idle().await?;
        let mut theirs = [0.0; 2];
        for (peer, rate) in peers.iter_mut().zip(&mut theirs) {
            *rate = peer.peak(context, fast.clients()).await?;
        }
        print(&format!(
            "  peers round {round}: {:.1} sign-ups/s with fast, {:.1} with reference; better-auth {:.1}, fastapi-users {:.1}",
            own[0], own[1], theirs[0], theirs[1]
        ));
        let pairs = theirs.into_iter().flat_map(|theirs| own.map(|own| (own, theirs)));
        rounds.iter_mut().zip(pairs).for_each(|(rounds, pair)| rounds.push(pair));
    }
    fast.stop().await?;
    reference.stop().await?;
    for peer in peers {
        peer.process.stop().await?;
    }
    let [better_auth_fast, better_auth_reference, fastapi_users_fast, fastapi_users_reference] = rounds;
    let (fast, reference) = (Goal::AtLeast(2.0, 1.5), Goal::AtLeast(1.3, 1.05));
    Ok(vec![
        row("better-auth", "fast", &better_auth_fast, fast),
        row("better-auth", "reference", &better_auth_reference, reference),
        row("fastapi-users", "fast", &fastapi_users_fast, fast),
        row("fastapi-users", "reference", &fastapi_users_reference, reference),
    ])
}

fn row(peer: &'static str, engine: &str, rounds: &[(f64, f64)], goal: Goal) -> Row {
    let label = format!("sign-ups ÷ those of {peer}, hashing on all cores, engine `{engine}`");
    Row::ratio(peer, &label, rounds, "/s", goal)
}

async fn better_auth(context: &BenchContext) -> Result<Peer> {
    let (url, database) = create_database(context, "better_auth").await?;
    let address = free_address()?;
    let mut command = Command::new("node");
    command.arg(folder()?.join("better-auth/server.mjs")).env("NODE_ENV", "production").env("SECRET", SECRET);
    command.env("DATABASE_URL", url).env("PORT", address.port().to_string());
    command.env("PROCESSES", context.cores.to_string());
    let process = Process::start(&mut command, &context.scratch, "better-auth")?;
    let client = HttpClient::new(address, CONNECTIONS);
    let sign_up = users::sign_up_to_better_auth;
    let mut peer = Peer { name: "better-auth", process, client, database, sign_up, status: 200 };
    peer.wait_until_ready("/api/auth/ok").await?;
    Ok(peer)
}

async fn fastapi_users(context: &BenchContext) -> Result<Peer> {
    let (url, database) = create_database(context, "fastapi_users").await?;
    database.batch_execute(include_str!("../../peers/fastapi-users/schema.sql")).await?;
    let address = free_address()?;
    let mut command = Command::new(folder()?.join("fastapi-users/bin/uvicorn"));
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/fastapi-users"));
    command.args(["app:app", "--host", "127.0.0.1", "--port", &address.port().to_string()]);
    command.args(["--workers", &context.cores.to_string()]);
    command.env("PYTHONDONTWRITEBYTECODE", "1").env("DATABASE_URL", url).env("SECRET", SECRET);
    let process = Process::start(&mut command, &context.scratch, "fastapi-users")?;
    let client = HttpClient::new(address, CONNECTIONS);
    let sign_up = users::sign_up_to_fastapi_users;
    let mut peer = Peer { name: "fastapi-users", process, client, database, sign_up, status: 201 };
    peer.wait_until_ready("/health").await?;
    Ok(peer)
}

/// The folder with the installed packages.
fn folder() -> Result<PathBuf> {
    let folder = std::env::var("BENCH_PEERS")
        .context("BENCH_PEERS is not set; run the benches with scripts/bench, which sets it")?;
    Ok(folder.into())
}

async fn create_database(context: &BenchContext, label: &str) -> Result<(String, Client)> {
    let name = context.unique_name(label);
    database::create(context, &name, "template1").await?;
    let url = database::url(context, &name);
    let client = database::connect(&url).await?;
    Ok((url, client))
}

impl Peer {
    async fn wait_until_ready(&mut self, path: &'static str) -> Result<()> {
        let deadline = now() + TIMEOUT;
        while self.client.send(users::get(path)).await.status != 200 {
            self.process.check_alive()?;
            ensure!(now() < deadline, "{} did not respond within {TIMEOUT:?}", self.name);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(())
    }

    /// Sign-ups per second. Fails if a response is no success, or if the users are not in the database.
    async fn peak(&mut self, context: &BenchContext, clients: usize) -> Result<f64> {
        let before = self.users().await?;
        let (warm_up, seconds) = (context.warm_up(), context.seconds());
        let load = ClosedLoop { clients, warm_up, seconds };
        let responses = load.run(&self.client, pipeline::for_new_users(context, self.sign_up)).await?;
        self.process.check_alive()?;
        let added = self.users().await? - before;
        ensure!(
            u64::try_from(added)? >= responses.of(self.status),
            "{} stored {added} users: {responses:?}",
            self.name
        );
        responses.rate_of_only(self.status)
    }

    async fn users(&self) -> Result<i64> {
        database::count(&self.database, r#"SELECT count(*) FROM "user""#).await
    }
}
