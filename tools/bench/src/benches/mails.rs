//! B5: mails per second of the worker ÷ a plain lettre loop on as many connections without Nagle's algorithm.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Result, ensure};
use lettre::{
    address::Envelope,
    transport::smtp::{client::AsyncSmtpConnection, extension::ClientId},
};
use shared::messages::{MailKind, Message};
use tokio::{net::TcpStream, task::JoinSet};

use crate::{
    baseline::raw_hashes,
    environment::{
        deployment::Scene,
        fake_smtp::{LIKE_A_DISK, Sink},
        isolated_runtime::apart,
        prefill,
        services::Ground,
    },
    load::users,
    report::{
        progress::say,
        table::{Goal, Row},
    },
};

/// The default of WORKER_CONCURRENCY.
const CONNECTIONS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(180);

pub(crate) async fn run(ground: &Ground) -> Result<Vec<Row>> {
    let slow = "worker ÷ plain lettre loop, a mail server that needs 5 ms a mail";
    let fast = "the same, a mail server that needs no time";
    Ok(vec![
        measure(ground, ("B5", slow), LIKE_A_DISK, Goal::AtLeast(0.97, 0.9)).await?,
        measure(ground, ("B5-fast", fast), Duration::ZERO, Goal::None).await?,
    ])
}

async fn measure(ground: &Ground, (id, what): (&'static str, &str), pause: Duration, goal: Goal) -> Result<Row> {
    let mut scene = Scene::prepare(ground, id).await?;
    scene.set("WORKER_CONCURRENCY", CONNECTIONS);
    let sink = Sink::start(pause).await?;
    let count = ground.either(6_000, 400);
    let mut rounds = Vec::new();
    for round in 1..=ground.rounds() {
        let ours = mailed(ground, &mut scene, &sink, count).await?;
        let theirs = raw(&sink, count).await?;
        say(&format!("  {id} round {round}: {ours:.0} mails/s, lettre {theirs:.0}"));
        rounds.push((ours, theirs));
    }
    Ok(Row::ratio(id, what, &rounds, "/s", goal))
}

/// The queue is full before the worker starts.
async fn mailed(ground: &Ground, scene: &mut Scene, sink: &Sink, count: usize) -> Result<f64> {
    let many = u64::try_from(count)?;
    let stored = raw_hashes::slow();
    let new = prefill::register(&mut scene.database, ground.people(many), many, &stored, false).await?;
    let messages: Vec<_> = new.iter().map(|one| Message { kind: MailKind::SendCode, id: one.code }).collect();
    scene.broker.publish(&messages).await?;
    let worker = scene.launch_worker(ground, sink)?;
    let rate = sink.rate_of(count, PATIENCE).await;
    worker.stop().await?;
    let rate = rate?;
    let left = scene.broker.waiting().await?;
    ensure!(left == 0, "{left} messages came back");
    Ok(rate)
}

/// Mails like the worker's last one.
async fn raw(sink: &Sink, count: usize) -> Result<f64> {
    let (address, bytes) = (sink.address(), sink.last());
    let sending = apart(move || async move {
        let mut connections = JoinSet::new();
        for _ in 0..CONNECTIONS {
            connections.spawn(send(address, bytes.clone(), count.div_ceil(CONNECTIONS)));
        }
        while let Some(sent) = connections.join_next().await {
            sent??;
        }
        Ok(())
    });
    let (sent, rate) = tokio::join!(sending, sink.rate_of(count.div_ceil(CONNECTIONS) * CONNECTIONS, PATIENCE));
    sent?;
    rate
}

async fn send(to: SocketAddr, bytes: Vec<u8>, count: usize) -> Result<()> {
    let envelope = Envelope::new(Some("no-reply@example.com".parse()?), vec![users::email(0).parse()?])?;
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    let hello = ClientId::Ipv4(std::net::Ipv4Addr::LOCALHOST);
    let mut connection = AsyncSmtpConnection::connect_with_transport(Box::new(stream), &hello).await?;
    for _ in 0..count {
        connection.send(&envelope, &bytes).await?;
    }
    connection.quit().await?;
    Ok(())
}
