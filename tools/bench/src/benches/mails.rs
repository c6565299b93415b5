//! B5: mails per second of the worker ÷ a plain lettre loop on as many connections, without Nagle's algorithm.

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
        context::BenchContext,
        deployment::Deployment,
        fake_smtp::{DISK_LATENCY, FakeSmtpServer},
        isolated_runtime::run_isolated,
        prefill,
    },
    load::users,
    report::{
        progress::print,
        table::{Goal, Row},
    },
};

/// The default of WORKER_CONCURRENCY.
const CONNECTIONS: usize = 8;
const TIMEOUT: Duration = Duration::from_secs(180);

pub(crate) async fn run(context: &BenchContext) -> Result<Vec<Row>> {
    let slow = "worker ÷ plain lettre loop, mail server that needs 5 ms per mail";
    let fast = "the same, mail server without delay";
    Ok(vec![
        measure(context, "B5", slow, DISK_LATENCY, Goal::AtLeast(0.97, 0.9)).await?,
        measure(context, "B5-fast", fast, Duration::ZERO, Goal::AtLeast(0.35, 0.2)).await?,
    ])
}

async fn measure(context: &BenchContext, id: &'static str, label: &str, delay: Duration, goal: Goal) -> Result<Row> {
    let mut deployment = Deployment::prepare(context, id).await?;
    deployment.set("WORKER_CONCURRENCY", CONNECTIONS);
    let mail_server = FakeSmtpServer::start(delay).await?;
    let count = context.full_or_quick(6_000, 400);
    let mut rounds = Vec::new();
    for round in 1..=context.rounds() {
        let vestibule = worker_rate(context, &mut deployment, &mail_server, count).await?;
        let baseline = lettre_rate(&mail_server, count).await?;
        print(&format!("  {id} round {round}: {vestibule:.0} mails/s, lettre {baseline:.0}"));
        rounds.push((vestibule, baseline));
    }
    Ok(Row::ratio(id, label, &rounds, "/s", goal))
}

/// The rate of the worker. The queue is filled before the worker starts.
async fn worker_rate(
    context: &BenchContext,
    deployment: &mut Deployment,
    mail_server: &FakeSmtpServer,
    count: usize,
) -> Result<f64> {
    let users = u64::try_from(count)?;
    let stored = raw_hashes::slow_hash();
    let new = prefill::register(&mut deployment.database, context.allocate_users(users), users, &stored, false).await?;
    let messages: Vec<_> =
        new.iter().map(|registration| Message { kind: MailKind::SendCode, id: registration.code_id }).collect();
    deployment.broker.publish(&messages).await?;
    let worker = deployment.spawn_worker(context, mail_server)?;
    let rate = mail_server.receive_rate(count, TIMEOUT).await;
    worker.stop().await?;
    let rate = rate?;
    let left = deployment.broker.waiting().await?;
    ensure!(left == 0, "{left} messages were requeued");
    Ok(rate)
}

/// The rate of lettre, which sends copies of the last mail of the worker.
async fn lettre_rate(mail_server: &FakeSmtpServer, count: usize) -> Result<f64> {
    let (address, message) = (mail_server.address(), mail_server.last_message());
    let sending = run_isolated(move || async move {
        let mut connections = JoinSet::new();
        for _ in 0..CONNECTIONS {
            connections.spawn(send_mails(address, message.clone(), count.div_ceil(CONNECTIONS)));
        }
        while let Some(sent) = connections.join_next().await {
            sent??;
        }
        Ok(())
    });
    let (sent, rate) =
        tokio::join!(sending, mail_server.receive_rate(count.div_ceil(CONNECTIONS) * CONNECTIONS, TIMEOUT));
    sent?;
    rate
}

async fn send_mails(to: SocketAddr, message: Vec<u8>, count: usize) -> Result<()> {
    let envelope = Envelope::new(Some("no-reply@example.com".parse()?), vec![users::email(0).parse()?])?;
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    let hello = ClientId::Ipv4(std::net::Ipv4Addr::LOCALHOST);
    let mut connection = AsyncSmtpConnection::connect_with_transport(Box::new(stream), &hello).await?;
    for _ in 0..count {
        connection.send(&envelope, &message).await?;
    }
    connection.quit().await?;
    Ok(())
}
