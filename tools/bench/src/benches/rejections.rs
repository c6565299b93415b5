//! B14: the processor time of a refusal ÷ that of the least answer that poem can give.

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

/// Each has a hash that keeps its thread for most of a second.
const SLOW_PEOPLE: u64 = 1_000;

/// What is asked for, by how many, and the answer that nearly all of them have.
#[derive(Clone, Copy)]
struct RequestKind {
    status: u16,
    first: u64,
    count: u64,
    request: fn(u64) -> Request<String>,
}

/// Microseconds for each request.
struct Cost {
    process: f64,
    postgres: f64,
}

pub(crate) async fn run(context: &BenchContext) -> Result<Vec<Row>> {
    let (mut bare, bare_client) = bare(context).await?;
    let (spent, spent_api, whose) = spent(context).await?;
    let (full, full_api, first_slow) = full(context).await?;
    let clients = [&spent_api, &full_api].map(|api| HttpClient::new(api.address, CLIENTS));
    let (mut too_many, mut asked, mut overloaded, mut beside) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 1..=context.rounds() {
        bare.check_alive()?;
        let again = RequestKind { status: 429, first: whose, count: 1, request: users::register };
        let least = cost(context, bare.id(), None, &bare_client, again).await?;
        let name = Some(spent.name.as_str());
        let of_429 = cost(context, spent_api.process.id(), name, &clients[0], again).await?;
        let with_key = RequestKind { request: users::register_with_key, ..again };
        let of_asked = cost(context, spent_api.process.id(), name, &clients[0], with_key).await?;
        let slow = RequestKind { status: 503, first: first_slow, count: SLOW_PEOPLE, ..again };
        let of_503 = cost(context, full_api.process.id(), Some(&full.name), &clients[1], slow).await?;
        print(&format!(
            "  B14 round {round}: {:.0} µs a 429; asked {:.0} µs, and {:.0} µs in Postgres; {:.0} µs a 503, {:.0} µs bare",
            of_429.process, of_asked.process, of_asked.postgres, of_503.process, least.process
        ));
        too_many.push((of_429.process, least.process));
        asked.push((of_asked.process, least.process));
        overloaded.push((of_503.process, least.process));
        beside.push(of_asked.postgres / least.process);
    }
    spent_api.process.stop().await?;
    full_api.process.stop().await?;
    let goal = Goal::AtMost(2.0, 5.0);
    Ok(vec![
        Row::ratio("B14-429", "processor time of a 429 ÷ a bare poem JSON answer", &too_many, "µs", goal),
        Row::ratio("B14-asked", "the same for a 429 that Postgres is asked for each time", &asked, "µs", Goal::None),
        Row::plain(
            "B14-pg",
            "processor time of Postgres beside such a 429 ÷ the same answer",
            beside,
            Unit::Ratio,
            Goal::None,
        ),
        Row::ratio("B14-503", "processor time of a 503 ÷ a bare poem JSON answer", &overloaded, "µs", goal),
    ])
}

async fn bare(context: &BenchContext) -> Result<(Process, Arc<HttpClient>)> {
    let mut command = Command::new(std::env::current_exe()?);
    let mut process = Process::start(command.arg("bare"), &context.scratch, "bare")?;
    let address = process.address("bare").await?;
    Ok((process, HttpClient::new(address, CLIENTS)))
}

/// An API where an address may have one code in an hour, and somebody who has had it.
async fn spent(context: &BenchContext) -> Result<(Deployment, Api, u64)> {
    let mut deployment = Deployment::prepare(context, "spent").await?;
    deployment.set("CODES_PER_HOUR", 1);
    let (api, user) = (deployment.start_api(context).await?, context.allocate_users(1));
    let response = HttpClient::new(api.address, 1).send(users::register(user)).await;
    ensure!(response.status == 202, "the first one was answered with {}", response.status);
    Ok((deployment, api, user))
}

/// An API with one hash thread, and people whose hashes take so long that it is always busy.
async fn full(context: &BenchContext) -> Result<(Deployment, Api, u64)> {
    let mut deployment = Deployment::prepare(context, "full").await?;
    let settings =
        [("HASH_THREADS", "1"), ("HASH_QUEUE_MS", "1"), ("CODES_PER_HOUR", "1000"), ("CODES_PER_DAY", "1000")];
    settings.into_iter().for_each(|(name, value)| deployment.set(name, value));
    let first = context.allocate_users(SLOW_PEOPLE);
    prefill::register(&mut deployment.database, first, SLOW_PEOPLE, &raw_hashes::slow(), true).await?;
    let api = deployment.start_api(context).await?;
    Ok((deployment, api, first))
}

async fn cost(
    context: &BenchContext,
    process: u32,
    database: Option<&str>,
    client: &Arc<HttpClient>,
    RequestKind { status, first, count, request }: RequestKind,
) -> Result<Cost> {
    let of_postgres = || database.map_or(Ok(0.0), usage::backend_cpu_seconds);
    let next = AtomicU64::new(0);
    let ask = move || Some(request(first + next.fetch_add(1, Ordering::Relaxed) % count));
    let before = (usage::cpu_seconds_without_hashing(process)?, of_postgres()?);
    let seconds = context.seconds() / 2.0;
    let counted = ClosedLoop { clients: CLIENTS, warm_up: 0.0, seconds }.run(client, ask).await?;
    let after = (usage::cpu_seconds_without_hashing(process)?, of_postgres()?);
    // One in the hash thread, and what waits for it, is a second's worth of hundreds that are refused.
    let refused = counted.of(status) as f64;
    ensure!(refused > 0.9 * counted.all() as f64, "too few are refused: {:?}", counted.by_status);
    let each = |before: f64, after: f64| (after - before) * 1e6 / refused;
    Ok(Cost { process: each(before.0, after.0), postgres: each(before.1, after.1) })
}
