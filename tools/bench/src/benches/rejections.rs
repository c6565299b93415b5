//! B14: CPU time of a rejection (429, 503) ÷ that of a minimal poem response.

use std::{
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Result, ensure};
use hyper::Request;

use crate::{
    baseline::raw_hashes,
    environment::{
        context::BenchContext,
        deployment::{Api, Deployment},
        prefill,
        process::Process,
        usage,
    },
    load::{client::HttpClient, closed_loop::ClosedLoop, users},
    report::{
        progress::print,
        table::{Goal, Row, Unit},
    },
};

const CLIENTS: usize = 8;

/// Users whose hash keeps its thread busy for most of a second.
const SLOW_USERS: u64 = 1_000;

/// The requests of a measurement, and the status that nearly all responses must have.
#[derive(Clone, Copy)]
struct Requests {
    expected_status: u16,
    first_user: u64,
    users: u64,
    request: fn(u64) -> Request<String>,
}

/// CPU time per request in microseconds.
struct Cost {
    process: f64,
    postgres: f64,
}

/// An API that rejects the requests of some users.
struct RejectingApi {
    deployment: Deployment,
    api: Api,
    client: Arc<HttpClient>,
    first_user: u64,
}

pub(crate) async fn run(context: &BenchContext) -> Result<Vec<Row>> {
    let (mut bare, bare_client) = start_bare_poem(context).await?;
    let limited = start_rate_limited(context).await?;
    let overloaded = start_overloaded(context).await?;
    let limited_database = Some(limited.deployment.name.as_str());
    let overloaded_database = Some(overloaded.deployment.name.as_str());
    let (mut cached_429, mut uncached_429, mut overload_503, mut postgres) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 1..=context.rounds() {
        bare.check_alive()?;
        let register =
            Requests { expected_status: 429, first_user: limited.first_user, users: 1, request: users::register };
        let baseline = cost(context, bare.id(), None, &bare_client, register).await?;
        let limited_id = limited.api.process.id();
        let cached = cost(context, limited_id, limited_database, &limited.client, register).await?;
        let with_key = Requests { request: users::register_with_key, ..register };
        let uncached = cost(context, limited_id, limited_database, &limited.client, with_key).await?;
        let slow = Requests {
            expected_status: 503,
            first_user: overloaded.first_user,
            users: SLOW_USERS,
            request: users::register,
        };
        let overload =
            cost(context, overloaded.api.process.id(), overloaded_database, &overloaded.client, slow).await?;
        print(&format!(
            "  B14 round {round}: {:.0} µs per 429; with a query {:.0} µs, and {:.0} µs in Postgres; {:.0} µs per 503; \
             bare poem {:.0} µs",
            cached.process, uncached.process, uncached.postgres, overload.process, baseline.process
        ));
        cached_429.push((cached.process, baseline.process));
        uncached_429.push((uncached.process, baseline.process));
        overload_503.push((overload.process, baseline.process));
        postgres.push(uncached.postgres / baseline.process);
    }
    limited.api.process.stop().await?;
    overloaded.api.process.stop().await?;
    let goal = Goal::AtMost(2.0, 4.0);
    Ok(vec![
        Row::ratio("B14-429", "CPU time of a 429 ÷ a bare poem JSON response", &cached_429, "µs", goal),
        Row::ratio("B14-asked", "the same for a 429 that needs a query each time", &uncached_429, "µs", Goal::None),
        Row::plain(
            "B14-pg",
            "CPU time of Postgres for such a 429 ÷ the same response",
            postgres,
            Unit::Ratio,
            Goal::None,
        ),
        Row::ratio("B14-503", "CPU time of a 503 ÷ a bare poem JSON response", &overload_503, "µs", goal),
    ])
}

/// Starts this program as the baseline server.
async fn start_bare_poem(context: &BenchContext) -> Result<(Process, Arc<HttpClient>)> {
    let mut command = Command::new(std::env::current_exe()?);
    let mut process = Process::start(command.arg("bare"), &context.scratch, "bare")?;
    let address = process.address("bare").await?;
    Ok((process, HttpClient::new(address, CLIENTS)))
}

/// An API that allows one code per address and hour, and a user who has already received it.
async fn start_rate_limited(context: &BenchContext) -> Result<RejectingApi> {
    let mut deployment = Deployment::prepare(context, "rate_limited").await?;
    deployment.set("CODES_PER_HOUR", 1);
    let api = deployment.start_api(context).await?;
    let first_user = context.allocate_users(1);
    let response = HttpClient::new(api.address, 1).send(users::register(first_user)).await;
    ensure!(response.status == 202, "the first registration returned status {} instead of 202", response.status);
    let client = HttpClient::new(api.address, CLIENTS);
    Ok(RejectingApi { deployment, api, client, first_user })
}

/// An API with a single hash thread, and users whose hashes take so long that it is always busy.
async fn start_overloaded(context: &BenchContext) -> Result<RejectingApi> {
    let mut deployment = Deployment::prepare(context, "overloaded").await?;
    let settings =
        [("HASH_THREADS", "1"), ("HASH_QUEUE_MS", "1"), ("CODES_PER_HOUR", "1000"), ("CODES_PER_DAY", "1000")];
    settings.into_iter().for_each(|(name, value)| deployment.set(name, value));
    let first_user = context.allocate_users(SLOW_USERS);
    prefill::register(&mut deployment.database, first_user, SLOW_USERS, &raw_hashes::slow_hash(), true).await?;
    let api = deployment.start_api(context).await?;
    let client = HttpClient::new(api.address, CLIENTS);
    Ok(RejectingApi { deployment, api, client, first_user })
}

/// Measures the CPU time per request of a process and of the Postgres backends of its database.
async fn cost(
    context: &BenchContext,
    process: u32,
    database: Option<&str>,
    client: &Arc<HttpClient>,
    requests: Requests,
) -> Result<Cost> {
    let Requests { expected_status, first_user, users, request } = requests;
    let postgres_seconds = || database.map_or(Ok(0.0), usage::backend_cpu_seconds);
    let next = AtomicU64::new(0);
    let next_request = move || Some(request(first_user + next.fetch_add(1, Ordering::Relaxed) % users));
    let before = (usage::cpu_seconds_without_hashing(process)?, postgres_seconds()?);
    let seconds = context.seconds() / 2.0;
    let counts = ClosedLoop { clients: CLIENTS, warm_up: 0.0, seconds }.run(client, next_request).await?;
    let after = (usage::cpu_seconds_without_hashing(process)?, postgres_seconds()?);
    // A few requests are not rejected: about one a second gets the hash thread, while hundreds are rejected.
    let rejected = counts.of(expected_status) as f64;
    ensure!(rejected > 0.9 * counts.all() as f64, "too few requests were rejected: {:?}", counts.by_status);
    let per_request_us = |before: f64, after: f64| (after - before) * 1e6 / rejected;
    Ok(Cost { process: per_request_us(before.0, after.0), postgres: per_request_us(before.1, after.1) })
}
