//! B17: CPU time of `GET /v1/users/me` with a session token ÷ that of a minimal poem response with a read by primary key,
//! of the server and of Postgres together.

use std::{net::SocketAddr, process::Command, sync::Arc};

use anyhow::Result;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use hyper::{Request, header};
use uuid::Uuid;

use crate::{
    environment::{context::BenchContext, deployment::Deployment, process::Process, usage},
    load::{client::HttpClient, closed_loop::ClosedLoop, users},
    report::{
        progress::print,
        table::{Goal, Row},
    },
};

const CLIENTS: usize = 8;

const TOKEN: [u8; 32] = [7; 32];

const USER: &str = "INSERT INTO users (id, email, password_hash, activated_at, updated_at) \
    VALUES ($1, $2, 'unused', clock_timestamp(), clock_timestamp())";
const SESSION: &str = "INSERT INTO sessions (token_hash, user_id, created_at, expires_at) \
    VALUES (sha256($1), $2, clock_timestamp(), clock_timestamp() + interval '1 day')";

/// A server that answers `GET /v1/users/me`, and the name of its database.
struct Server {
    process: Process,
    client: Arc<HttpClient>,
    database: String,
}

pub(crate) async fn run(context: &BenchContext) -> Result<Vec<Row>> {
    let deployment = Deployment::prepare(context, "current_user").await?;
    log_in(&deployment, context.allocate_users(1)).await?;
    let api = deployment.start_api(context).await?;
    let api = Server::new(api.process, api.address, &deployment.name);
    // A database of its own: the processor time of Postgres is measured by database.
    let bare = Deployment::prepare(context, "bare").await?;
    log_in(&bare, context.allocate_users(1)).await?;
    let mut command = Command::new(std::env::current_exe()?);
    let mut process = Process::start(command.args(["bare", &bare.database_url]), &context.scratch, "bare")?;
    let address = process.address("bare").await?;
    let mut bare = Server::new(process, address, &bare.name);
    // The first requests open connections and prepare statements.
    for server in [&api, &bare] {
        server.us_per_request(context).await?;
    }
    let mut rounds = Vec::new();
    for round in 1..=context.rounds() {
        bare.process.check_alive()?;
        let (of_api, of_bare) = (api.us_per_request(context).await?, bare.us_per_request(context).await?);
        print(&format!("  B17 round {round}: {of_api:.0} µs per request; bare poem with a read {of_bare:.0} µs"));
        rounds.push((of_api, of_bare));
    }
    api.process.stop().await?;
    let label = "CPU time of GET /v1/users/me ÷ a bare poem JSON response with a read by primary key";
    Ok(vec![Row::ratio("B17", label, &rounds, "µs", Goal::AtMost(1.5, 2.5))])
}

/// Stores a user and a session.
async fn log_in(deployment: &Deployment, user: u64) -> Result<()> {
    let id = Uuid::from_u64_pair(user, user);
    deployment.database.execute(USER, &[&id, &users::email(user)]).await?;
    deployment.database.execute(SESSION, &[&TOKEN.as_slice(), &id]).await?;
    Ok(())
}

fn current_user() -> Request<String> {
    let mut request = users::get("/v1/users/me");
    if let Ok(token) = format!("Bearer {}", BASE64_URL_SAFE_NO_PAD.encode(TOKEN)).parse() {
        request.headers_mut().insert(header::AUTHORIZATION, token);
    }
    request
}

impl Server {
    fn new(process: Process, address: SocketAddr, database: &str) -> Self {
        Self { process, client: HttpClient::new(address, CLIENTS), database: database.to_owned() }
    }

    /// The CPU time of a request, of the server and of the Postgres backends.
    async fn us_per_request(&self, context: &BenchContext) -> Result<f64> {
        let cpu_seconds = || -> Result<f64> {
            Ok(usage::cpu_seconds_without_hashing(self.process.id())? + usage::backend_cpu_seconds(&self.database)?)
        };
        let before = cpu_seconds()?;
        let load = ClosedLoop { clients: CLIENTS, warm_up: 0.0, seconds: context.seconds() / 2.0 };
        let counts = load.run(&self.client, || Some(current_user())).await?;
        counts.rate_of_only(200)?;
        Ok((cpu_seconds()? - before) * 1e6 / counts.of(200) as f64)
    }
}
