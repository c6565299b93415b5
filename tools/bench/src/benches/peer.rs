//! Comparison with a peer, the same registration in Python (tools/bench/peers/celery): registrations per second at the peak;
//! and at half of the peer's peak, the p99 of the 202 and from the 202 to the 250 of the mail server.

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

/// The running peer.
struct Peer {
    web: Process,
    worker: Process,
    mail_server: FakeSmtpServer,
    client: Arc<HttpClient>,
    _database: Client,
    queue: String,
}

struct Latencies {
    response_p99_ms: f64,
    mail_p99_ms: f64,
}

pub(crate) async fn run(context: &BenchContext) -> Result<Vec<Row>> {
    let vestibule = Pipeline::start(context, "vestibule", context.cores, &[LONG_HASH_QUEUE]).await?;
    let mut peer = start(context).await?;
    let (mut peaks, mut responses, mut mails) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=context.rounds() {
        let peer_peak = peak(context, &peer.client, vestibule.clients()).await?;
        wait_until_idle(&peer.mail_server).await?;
        let own_peak = vestibule.peak(context).await?.rate_of_only(202)?;
        wait_until_idle(&vestibule.mail_server).await?;
        let rate = peer_peak / 2.0;
        let peer_latencies = latencies(context, &peer.client, &peer.mail_server, rate).await?;
        let own_latencies = latencies(context, &vestibule.client, &vestibule.mail_server, rate).await?;
        print(&format!(
            "  peer round {round}: {own_peak:.1} registrations/s, peer {peer_peak:.1}; p99 of the 202 {:.0} ms, peer {:.0} ms; \
             p99 of the mail {:.0} ms, peer {:.0} ms",
            own_latencies.response_p99_ms,
            peer_latencies.response_p99_ms,
            own_latencies.mail_p99_ms,
            peer_latencies.mail_p99_ms
        ));
        peaks.push((own_peak, peer_peak));
        responses.push((own_latencies.response_p99_ms, peer_latencies.response_p99_ms));
        mails.push((own_latencies.mail_p99_ms, peer_latencies.mail_p99_ms));
        peer.web.check_alive()?;
        peer.worker.check_alive()?;
    }
    vestibule.stop().await?;
    peer.stop(context).await?;
    Ok(vec![
        Row::ratio("peer", "registrations ÷ those of the peer, hashing on all cores", &peaks, "/s", Goal::None),
        Row::ratio(
            "peer",
            "p99 of the 202 ÷ that of the peer, at half of the peer's peak",
            &responses,
            "ms",
            Goal::None,
        ),
        Row::ratio(
            "peer",
            "p99 from 202 to 250 ÷ that of the peer, at half of the peer's peak",
            &mails,
            "ms",
            Goal::None,
        ),
    ])
}

async fn start(context: &BenchContext) -> Result<Peer> {
    let programs = std::env::var("BENCH_PEERS")
        .context("BENCH_PEERS is not set; run the benches with scripts/bench, which sets it")?;
    let name = context.unique_name("peer");
    database::create(context, &name, "template1").await?;
    let database = database::connect(&database::url(context, &name)).await?;
    database.batch_execute(include_str!("../../peers/celery/schema.sql")).await?;
    let mail_server = FakeSmtpServer::start(DISK_LATENCY).await?;
    let command = |program: &str| {
        let mut command = Command::new(Path::new(&programs).join("celery/bin").join(program));
        command
            .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/celery"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("DATABASE_URL", database::url(context, &name))
            .env("PEER_AMQP_URL", &context.amqp_url)
            .env("PEER_QUEUE", &name)
            .env("PEER_SMTP_HOST", mail_server.address().ip().to_string())
            .env("PEER_SMTP_PORT", mail_server.address().port().to_string());
        command
    };
    let mut celery = command("celery");
    // The same concurrency as the worker of Vestibule. Gossip between workers is off because there is only one.
    celery.args("--app tasks worker --concurrency 8 --loglevel INFO --without-gossip --without-mingle".split(' '));
    let mut worker = Process::start(&mut celery, &context.scratch, "celery")?;
    let address = free_address()?;
    let (workers, port) = (context.cores.to_string(), address.port().to_string());
    let mut uvicorn = command("uvicorn");
    uvicorn.args(["app:app", "--host", "127.0.0.1", "--port", &port, "--workers", &workers]);
    let mut web = Process::start(&mut uvicorn, &context.scratch, "uvicorn")?;
    let client = HttpClient::new(address, CONNECTIONS);
    worker.logged_value("ready").await?;
    wait_until_ready(&mut web, &client).await?;
    Ok(Peer { web, worker, mail_server, client, _database: database, queue: name })
}

impl Peer {
    async fn stop(self, context: &BenchContext) -> Result<()> {
        self.web.stop().await?;
        self.worker.stop().await?;
        broker::delete_queue(context, &self.queue).await
    }
}

/// An address with a port that is free now. Another process could bind it before the peer does, which is unlikely.
pub(super) fn free_address() -> Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Waits until the peer responds.
async fn wait_until_ready(web: &mut Process, client: &Arc<HttpClient>) -> Result<()> {
    let deadline = now() + TIMEOUT;
    while client.send(users::get("/health")).await.status != 200 {
        web.check_alive()?;
        ensure!(now() < deadline, "the peer did not respond within {TIMEOUT:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

async fn peak(context: &BenchContext, client: &Arc<HttpClient>, clients: usize) -> Result<f64> {
    let (warm_up, seconds) = (context.warm_up(), context.seconds());
    ClosedLoop { clients, warm_up, seconds }.run(client, pipeline::new_registrations(context)).await?.rate_of_only(202)
}

/// The latencies at this rate.
async fn latencies(
    context: &BenchContext,
    client: &Arc<HttpClient>,
    mail_server: &FakeSmtpServer,
    rate: f64,
) -> Result<Latencies> {
    let result = open_loop(context, rate, context.seconds()).run(client, users::register).await?;
    mail_server.wait_for(result.latencies_ms(202).len(), TIMEOUT).await?;
    Ok(Latencies {
        response_p99_ms: percentile(&result.latencies_ms(202), 99.0),
        mail_p99_ms: percentile(&delays(&result, &mail_server.take())?, 99.0),
    })
}

/// Waits until no mail has been received for a second, and clears the record.
async fn wait_until_idle(mail_server: &FakeSmtpServer) -> Result<()> {
    let deadline = now() + TIMEOUT;
    let (mut previous, mut idle_checks) = (mail_server.count(), 0);
    while idle_checks < 10 {
        ensure!(now() < deadline, "mails were still being delivered after {TIMEOUT:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
        idle_checks = if mail_server.count() == previous { idle_checks + 1 } else { 0 };
        previous = mail_server.count();
    }
    mail_server.take();
    Ok(())
}
