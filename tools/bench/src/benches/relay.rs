//! B4: messages per second from the outbox to the queue ÷ plain lapin publishes with confirms and as many messages in
//! flight.

use std::time::Duration;

use anyhow::{Result, ensure};
use shared::messages::{MailKind, Message};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::{
    clock::now,
    environment::{
        broker::Broker, context::BenchContext, database, deployment::Deployment, isolated_runtime::run_isolated,
    },
    load::users::TRACEPARENT,
    report::{
        progress::print,
        statistics::middle_rate_of_counts,
        table::{Goal, Row},
    },
};

const TIMEOUT: Duration = Duration::from_secs(600);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Inserts messages into the outbox.
const FILL: &str = "INSERT INTO outbox (id, message, traceparent) \
    SELECT id, jsonb_build_object('v', 1, 'kind', 'send-code', 'id', id), $1 \
    FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, $2)) AS new";

pub(crate) async fn run(context: &BenchContext) -> Result<Vec<Row>> {
    let deployment = Deployment::prepare(context, "relay").await?;
    let api = deployment.start_api(context).await?;
    let count = context.full_or_quick(20_000, 10_000);
    let mut rounds = Vec::new();
    for round in 1..=context.rounds() {
        let baseline = lapin_rate(context, &deployment, count).await?;
        let vestibule = relay_rate(&deployment, count).await?;
        print(&format!("  B4 round {round}: {vestibule:.0} messages/s, lapin {baseline:.0}"));
        rounds.push((vestibule, baseline));
    }
    api.process.stop().await?;
    let label = "relay ÷ plain lapin with confirms, same queue, 1 000 in flight";
    Ok(vec![Row::ratio("B4", label, &rounds, "/s", Goal::AtLeast(0.8, 0.6))])
}

/// The rate of the relay.
async fn relay_rate(deployment: &Deployment, count: u32) -> Result<f64> {
    fill(&deployment.database, count).await?;
    let rate = queue_fill_rate(&deployment.broker, count).await?;
    // The relay deletes the last rows after the last message has arrived in the queue.
    let deadline = now() + TIMEOUT;
    while database::count(&deployment.database, "SELECT count(*) FROM outbox").await? > 0 {
        ensure!(now() < deadline, "the outbox was not empty within {TIMEOUT:?}");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    deployment.broker.purge().await?;
    Ok(rate)
}

/// Inserts messages into the outbox, in one transaction.
pub(crate) async fn fill(database: &Client, count: u32) -> Result<()> {
    database.execute(FILL, &[&TRACEPARENT, &i32::try_from(count)?]).await?;
    Ok(())
}

/// The rate of plain lapin.
async fn lapin_rate(context: &BenchContext, deployment: &Deployment, count: u32) -> Result<f64> {
    let (url, prefix) = (context.amqp_url.clone(), deployment.name.clone());
    let message = |n: u32| Message { kind: MailKind::SendCode, id: Uuid::from_u128(n.into()) };
    let messages: Vec<_> = (0..count).map(message).collect();
    let publishing = run_isolated(move || async move {
        let broker = Broker::open(&url, &prefix).await?;
        broker.publish(&messages).await?;
        broker.close().await;
        Ok(())
    });
    let (published, rate) = tokio::join!(publishing, queue_fill_rate(&deployment.broker, count));
    published?;
    deployment.broker.purge().await?;
    rate
}

/// Polls the queue until it has `count` messages, and returns the rate at which it filled.
pub(crate) async fn queue_fill_rate(broker: &Broker, count: u32) -> Result<f64> {
    let started = now();
    let mut samples = Vec::new();
    loop {
        let waiting = broker.waiting().await?;
        samples.push((started.elapsed().as_secs_f64(), f64::from(waiting)));
        if waiting >= count {
            return Ok(middle_rate_of_counts(&samples, count.into()));
        }
        ensure!(started.elapsed() < TIMEOUT, "only {waiting} of {count} messages arrived within {TIMEOUT:?}");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}
