//! The peer: the same register path in Python (tools/bench/peer), measured in turns with ours: registrations per second at
//! the peak, and at half of the peer's peak the p99 of the 202 and from there to the mail server's 250.

use std::{net::SocketAddr, path::Path, process::Command, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use tokio_postgres::Client;

use super::delivery::{coming, delays};
use crate::{
    clock::now,
    environment::{
        broker, database,
        fake_smtp::{LIKE_A_DISK, Sink},
        pipeline::{self, Chain, PATIENT},
        process::Process,
        services::Ground,
    },
    load::{client::Door, closed_loop::Loop, users},
    report::{
        progress::say,
        statistics::percentile,
        table::{Goal, Row},
    },
};

const CONNECTIONS: usize = 256;
const PATIENCE: Duration = Duration::from_secs(120);

struct Peer {
    web: Process,
    worker: Process,
    sink: Sink,
    door: Arc<Door>,
    _database: Client,
    queue: String,
}

/// The two p99, in milliseconds.
type Waits = (f64, f64);

pub(crate) async fn run(ground: &Ground) -> Result<Vec<Row>> {
    let ours = Chain::start(ground, "ours", ground.cores, &[PATIENT]).await?;
    let mut peer = start(ground).await?;
    let (mut peaks, mut answers, mut mails) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=ground.rounds() {
        let theirs = peak(ground, &peer.door, ours.clients()).await?;
        mails_come_to_rest(&peer.sink).await?;
        let best = ours.peak(ground).await?.only(202)?;
        mails_come_to_rest(&ours.sink).await?;
        let (their_answer, their_mail) = waits(ground, &peer.door, &peer.sink, theirs / 2.0).await?;
        let (answer, mail) = waits(ground, &ours.door, &ours.sink, theirs / 2.0).await?;
        say(&format!(
            "  peer round {round}: {best:.1} registrations/s, the peer {theirs:.1}; p99 of the 202 {answer:.0} and \
             {their_answer:.0} ms, of the mail {mail:.0} and {their_mail:.0} ms"
        ));
        peaks.push((best, theirs));
        answers.push((answer, their_answer));
        mails.push((mail, their_mail));
        peer.web.check_alive()?;
        peer.worker.check_alive()?;
    }
    ours.end().await?;
    peer.stop(ground).await?;
    Ok(vec![
        Row::ratio("peer", "registrations ÷ those of the peer, everything on the same cores", &peaks, "/s", Goal::None),
        Row::ratio("peer", "p99 of the 202 ÷ the peer's, at half of the peer's peak", &answers, "ms", Goal::None),
        Row::ratio("peer", "p99 from 202 to 250 ÷ the peer's, at half of the peer's peak", &mails, "ms", Goal::None),
    ])
}

async fn start(ground: &Ground) -> Result<Peer> {
    let programs = std::env::var("BENCH_PEER").context("BENCH_PEER is not set: scripts/bench sets it")?;
    let name = ground.fresh_name("peer");
    database::create(ground, &name, "template1").await?;
    let database = database::connect(&database::url(ground, &name)).await?;
    database.batch_execute(include_str!("../../peer/schema.sql")).await?;
    let sink = Sink::start(LIKE_A_DISK).await?;
    let command = |program: &str| {
        let mut command = Command::new(Path::new(&programs).join("bin").join(program));
        command
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("peer"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("DATABASE_URL", database::url(ground, &name))
            .env("PEER_AMQP_URL", &ground.amqp_url)
            .env("PEER_QUEUE", &name)
            .env("PEER_SMTP_HOST", sink.address().ip().to_string())
            .env("PEER_SMTP_PORT", sink.address().port().to_string());
        command
    };
    let mut celery = command("celery");
    // As many at a time as our worker, and no talk between workers, of which there is one.
    celery.args("--app tasks worker --concurrency 8 --loglevel INFO --without-gossip --without-mingle".split(' '));
    let mut worker = Process::start(&mut celery, &ground.scratch, "celery")?;
    let address = free_address()?;
    let (workers, port) = (ground.cores.to_string(), address.port().to_string());
    let mut uvicorn = command("uvicorn");
    uvicorn.args(["app:app", "--host", "127.0.0.1", "--port", &port, "--workers", &workers]);
    let mut web = Process::start(&mut uvicorn, &ground.scratch, "uvicorn")?;
    let door = Door::new(address, CONNECTIONS);
    worker.says("ready").await?;
    answers(&mut web, &door).await?;
    Ok(Peer { web, worker, sink, door, _database: database, queue: name })
}

impl Peer {
    async fn stop(self, ground: &Ground) -> Result<()> {
        self.web.stop().await?;
        self.worker.stop().await?;
        broker::delete_queue(ground, &self.queue).await
    }
}

/// One that nobody else is likely to take meanwhile.
fn free_address() -> Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

async fn answers(web: &mut Process, door: &Arc<Door>) -> Result<()> {
    let until = now() + PATIENCE;
    while door.ask(users::look("/health")).await.status != 200 {
        web.check_alive()?;
        ensure!(now() < until, "the peer never answers");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

async fn peak(ground: &Ground, door: &Arc<Door>, clients: usize) -> Result<f64> {
    let (warm_up, seconds) = (ground.warm_up(), ground.seconds());
    Loop { clients, warm_up, seconds }.run(door, pipeline::newcomers(ground)).await?.only(202)
}

async fn waits(ground: &Ground, door: &Arc<Door>, sink: &Sink, rate: f64) -> Result<Waits> {
    let crowd = coming(ground, rate, ground.seconds()).run(door, users::register).await?;
    sink.has(crowd.waits(202).len(), PATIENCE).await?;
    Ok((percentile(&crowd.waits(202), 99.0), percentile(&delays(&crowd, &sink.take())?, 99.0)))
}

/// Waits until no mail has come for a while, and forgets those that have.
async fn mails_come_to_rest(sink: &Sink) -> Result<()> {
    let until = now() + PATIENCE;
    let (mut before, mut quiet) = (sink.count(), 0);
    while quiet < 10 {
        ensure!(now() < until, "the mails never end");
        tokio::time::sleep(Duration::from_millis(100)).await;
        quiet = if sink.count() == before { quiet + 1 } else { 0 };
        before = sink.count();
    }
    sink.take();
    Ok(())
}
