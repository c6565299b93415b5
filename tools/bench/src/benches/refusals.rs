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
        deployment::{Api, Scene},
        prefill,
        process::Process,
        services::Ground,
        usage,
    },
    load::{client::Door, closed_loop::Loop, users},
    report::{
        progress::say,
        table::{Goal, Row, Unit},
    },
};

const CLIENTS: usize = 8;

/// Each has a hash that keeps its thread for most of a second.
const SLOW_PEOPLE: u64 = 1_000;

/// What is asked for, by how many, and the answer that nearly all of them have.
#[derive(Clone, Copy)]
struct Asked {
    status: u16,
    first: u64,
    count: u64,
    wish: fn(u64) -> Request<String>,
}

/// Microseconds for each request.
struct Cost {
    process: f64,
    postgres: f64,
}

pub(crate) async fn run(ground: &Ground) -> Result<Vec<Row>> {
    let (mut bare, bare_door) = bare(ground).await?;
    let (spent, spent_api, whose) = spent(ground).await?;
    let (full, full_api, first_slow) = full(ground).await?;
    let doors = [&spent_api, &full_api].map(|api| Door::new(api.address, CLIENTS));
    let (mut too_many, mut asked, mut overloaded, mut beside) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for round in 1..=ground.rounds() {
        bare.check_alive()?;
        let again = Asked { status: 429, first: whose, count: 1, wish: users::register };
        let least = cost(ground, bare.id(), None, &bare_door, again).await?;
        let name = Some(spent.name.as_str());
        let of_429 = cost(ground, spent_api.process.id(), name, &doors[0], again).await?;
        let with_key = Asked { wish: users::register_with_key, ..again };
        let of_asked = cost(ground, spent_api.process.id(), name, &doors[0], with_key).await?;
        let slow = Asked { status: 503, first: first_slow, count: SLOW_PEOPLE, ..again };
        let of_503 = cost(ground, full_api.process.id(), Some(&full.name), &doors[1], slow).await?;
        say(&format!(
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

async fn bare(ground: &Ground) -> Result<(Process, Arc<Door>)> {
    let mut command = Command::new(std::env::current_exe()?);
    let mut process = Process::start(command.arg("bare"), &ground.scratch, "bare")?;
    let address = process.address("bare").await?;
    Ok((process, Door::new(address, CLIENTS)))
}

/// An API where an address may have one code in an hour, and somebody who has had it.
async fn spent(ground: &Ground) -> Result<(Scene, Api, u64)> {
    let mut scene = Scene::prepare(ground, "spent").await?;
    scene.set("CODES_PER_HOUR", 1);
    let (api, who) = (scene.api(ground).await?, ground.people(1));
    let answer = Door::new(api.address, 1).ask(users::register(who)).await;
    ensure!(answer.status == 202, "the first one was answered with {}", answer.status);
    Ok((scene, api, who))
}

/// An API with one hash thread, and people whose hashes take so long that it is always busy.
async fn full(ground: &Ground) -> Result<(Scene, Api, u64)> {
    let mut scene = Scene::prepare(ground, "full").await?;
    let settings =
        [("HASH_THREADS", "1"), ("HASH_QUEUE_MS", "1"), ("CODES_PER_HOUR", "1000"), ("CODES_PER_DAY", "1000")];
    settings.into_iter().for_each(|(name, value)| scene.set(name, value));
    let first = ground.people(SLOW_PEOPLE);
    prefill::register(&mut scene.database, first, SLOW_PEOPLE, &raw_hashes::slow(), true).await?;
    let api = scene.api(ground).await?;
    Ok((scene, api, first))
}

async fn cost(
    ground: &Ground,
    process: u32,
    database: Option<&str>,
    door: &Arc<Door>,
    Asked { status, first, count, wish }: Asked,
) -> Result<Cost> {
    let of_postgres = || database.map_or(Ok(0.0), usage::seconds_of_backends);
    let next = AtomicU64::new(0);
    let ask = move || Some(wish(first + next.fetch_add(1, Ordering::Relaxed) % count));
    let before = (usage::seconds_without_hashing(process)?, of_postgres()?);
    let seconds = ground.seconds() / 2.0;
    let counted = Loop { clients: CLIENTS, warm_up: 0.0, seconds }.run(door, ask).await?;
    let after = (usage::seconds_without_hashing(process)?, of_postgres()?);
    // One in the hash thread, and what waits for it, is a second's worth of hundreds that are refused.
    let refused = counted.of(status) as f64;
    ensure!(refused > 0.9 * counted.all() as f64, "too few are refused: {:?}", counted.by_status);
    let each = |before: f64, after: f64| (after - before) * 1e6 / refused;
    Ok(Cost { process: each(before.0, after.0), postgres: each(before.1, after.1) })
}
