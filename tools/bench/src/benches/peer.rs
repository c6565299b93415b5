//! The peer: the same register path in Python (tools/bench/peer), measured in turns with ours: registrations per second at
//! the peak, and at half of the peer's peak the p99 of the 202 and from there to the mail server's 250.

use std::{net::SocketAddr, path::Path, process::Command, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use tokio_postgres::Client;

use super::delivery::{delays, open_loop};
use crate::{
    clock::now,
    environment::{
        broker,
        context::BenchContext,
        database,
        fake_smtp::{DISK_LATENCY, FakeSmtpServer},
        pipeline::{self, LONG_HASH_QUEUE, Pipeline},
        process::Process,
    },
    load::{client::HttpClient, closed_loop::ClosedLoop, users},
    report::{
        progress::print,
        statistics::percentile,
        table::{Goal, Row},
    },
};

const CONNECTIONS: usize = 256;
const TIMEOUT: Duration = Duration::from_secs(120);

struct Peer {
    web: Process,
    worker: Process,
    mail_server: FakeSmtpServer,
    client: Arc<HttpClient>,
    _database: Client,
    queue: String,
}

/// The two p99, in milliseconds.
type Waits = (f64, f64);

pub(crate) async fn run(context: &BenchContext) -> Result<Vec<Row>> {
    let vestibule = Pipeline::start(context, "ours", context.cores, &[LONG_HASH_QUEUE]).await?;
    let mut peer = start(context).await?;
    let (mut peaks, mut responses, mut mails) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=context.rounds() {
        let baseline = peak(context, &peer.client, vestibule.clients()).await?;
        wait_until_idle(&peer.mail_server).await?;
        let best = vestibule.peak(context).await?.rate_of_only(202)?;
        wait_until_idle(&vestibule.mail_server).await?;
        let (their_answer, their_mail) = waits(context, &peer.client, &peer.mail_server, baseline / 2.0).await?;
        let (response, mail) = waits(context, &vestibule.client, &vestibule.mail_server, baseline / 2.0).await?;
        print(&format!(
            "  peer round {round}: {best:.1} registrations/s, the peer {baseline:.1}; p99 of the 202 {response:.0} and \
             {their_answer:.0} ms, of the mail {mail:.0} and {their_mail:.0} ms"
        ));
        peaks.push((best, baseline));
        responses.push((response, their_answer));
        mails.push((mail, their_mail));
        peer.web.check_alive()?;
        peer.worker.check_alive()?;
    }
    vestibule.stop().await?;
    peer.stop(context).await?;
    Ok(vec![
        Row::ratio("peer", "registrations ÷ those of the peer, everything on the same cores", &peaks, "/s", Goal::None),
        Row::ratio("peer", "p99 of the 202 ÷ the peer's, at half of the peer's peak", &responses, "ms", Goal::None),
        Row::ratio("peer", "p99 from 202 to 250 ÷ the peer's, at half of the peer's peak", &mails, "ms", Goal::None),
    ])
}

async fn start(context: &BenchContext) -> Result<Peer> {
    let programs = std::env::var("BENCH_PEER").context("BENCH_PEER is not set: scripts/bench sets it")?;
    let name = context.unique_name("peer");
    database::create(context, &name, "template1").await?;
    let database = database::connect(&database::url(context, &name)).await?;
    database.batch_execute(include_str!("../../peer/schema.sql")).await?;
    let mail_server = FakeSmtpServer::start(DISK_LATENCY).await?;
    let command = |program: &str| {
        let mut command = Command::new(Path::new(&programs).join("bin").join(program));
        command
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("peer"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("DATABASE_URL", database::url(context, &name))
            .env("PEER_AMQP_URL", &context.amqp_url)
            .env("PEER_QUEUE", &name)
            .env("PEER_SMTP_HOST", mail_server.address().ip().to_string())
            .env("PEER_SMTP_PORT", mail_server.address().port().to_string());
        command
    };
    let mut celery = command("celery");
    // As many at a time as our worker, and no talk between workers, of which there is one.
    celery.args("--app tasks worker --concurrency 8 --loglevel INFO --without-gossip --without-mingle".split(' '));
    let mut worker = Process::start(&mut celery, &context.scratch, "celery")?;
    let address = free_address()?;
    let (workers, port) = (context.cores.to_string(), address.port().to_string());
    let mut uvicorn = command("uvicorn");
    uvicorn.args(["app:app", "--host", "127.0.0.1", "--port", &port, "--workers", &workers]);
    let mut web = Process::start(&mut uvicorn, &context.scratch, "uvicorn")?;
    let client = HttpClient::new(address, CONNECTIONS);
    worker.logged_value("ready").await?;
    responses(&mut web, &client).await?;
    Ok(Peer { web, worker, mail_server, client, _database: database, queue: name })
}

impl Peer {
    async fn stop(self, context: &BenchContext) -> Result<()> {
        self.web.stop().await?;
        self.worker.stop().await?;
        broker::delete_queue(context, &self.queue).await
    }
}

/// One that nobody else is likely to take meanwhile.
fn free_address() -> Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

async fn responses(web: &mut Process, client: &Arc<HttpClient>) -> Result<()> {
    let deadline = now() + TIMEOUT;
    while client.send(users::get("/health")).await.status != 200 {
        web.check_alive()?;
        ensure!(now() < deadline, "the peer never answers");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

async fn peak(context: &BenchContext, client: &Arc<HttpClient>, clients: usize) -> Result<f64> {
    let (warm_up, seconds) = (context.warm_up(), context.seconds());
    ClosedLoop { clients, warm_up, seconds }.run(client, pipeline::new_registrations(context)).await?.rate_of_only(202)
}

async fn waits(
    context: &BenchContext,
    client: &Arc<HttpClient>,
    mail_server: &FakeSmtpServer,
    rate: f64,
) -> Result<Waits> {
    let result = open_loop(context, rate, context.seconds()).run(client, users::register).await?;
    mail_server.wait_for(result.latencies_ms(202).len(), TIMEOUT).await?;
    Ok((percentile(&result.latencies_ms(202), 99.0), percentile(&delays(&result, &mail_server.take())?, 99.0)))
}

/// Waits until no mail has come for a while, and forgets those that have.
async fn wait_until_idle(mail_server: &FakeSmtpServer) -> Result<()> {
    let deadline = now() + TIMEOUT;
    let (mut before, mut quiet) = (mail_server.count(), 0);
    while quiet < 10 {
        ensure!(now() < deadline, "the mails never end");
        tokio::time::sleep(Duration::from_millis(100)).await;
        quiet = if mail_server.count() == before { quiet + 1 } else { 0 };
        before = mail_server.count();
    }
    mail_server.take();
    Ok(())
}
