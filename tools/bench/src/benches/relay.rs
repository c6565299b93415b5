//! B4: messages per second from the outbox to the queue ÷ plain lapin publishes, confirmed and as many in flight.

use std::time::Duration;

use anyhow::{Result, ensure};
use shared::messages::{MailKind, Message};
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

const TIMEOUT: Duration = Duration::from_secs(120);
const BETWEEN_TWO_LOOKS: Duration = Duration::from_millis(20);

const FILL: &str = "INSERT INTO outbox (id, message, traceparent) \
    SELECT id, jsonb_build_object('v', 1, 'kind', 'send-code', 'id', id), $1 \
    FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, $2)) AS new";

pub(crate) async fn run(context: &BenchContext) -> Result<Vec<Row>> {
    let deployment = Deployment::prepare(context, "relay").await?;
    let api = deployment.start_api(context).await?;
    let count = context.full_or_quick(20_000, 10_000);
    let mut rounds = Vec::new();
    for round in 1..=context.rounds() {
        let baseline = raw(context, &deployment, count).await?;
        let vestibule = relayed(&deployment, count).await?;
        print(&format!("  B4 round {round}: {vestibule:.0} messages/s, lapin {baseline:.0}"));
        rounds.push((vestibule, baseline));
    }
    api.process.stop().await?;
    let label = "relay ÷ plain lapin with confirms, same queue, 1 000 in flight";
    Ok(vec![Row::ratio("B4", label, &rounds, "/s", Goal::AtLeast(0.7, 0.4))])
}

async fn relayed(deployment: &Deployment, count: u32) -> Result<f64> {
    deployment.database.execute(FILL, &[&TRACEPARENT, &i32::try_from(count)?]).await?;
    let rate = watch(&deployment.broker, count).await?;
    // The last rows go after the last message has come.
    let deadline = now() + TIMEOUT;
    while database::count(&deployment.database, "SELECT count(*) FROM outbox").await? > 0 {
        ensure!(now() < deadline, "rows stay in the outbox");
        tokio::time::sleep(BETWEEN_TWO_LOOKS).await;
    }
    deployment.broker.purge().await?;
    Ok(rate)
}

async fn raw(context: &BenchContext, deployment: &Deployment, count: u32) -> Result<f64> {
    let (url, prefix) = (context.amqp_url.clone(), deployment.name.clone());
    let message = |n: u32| Message { kind: MailKind::SendCode, id: Uuid::from_u128(n.into()) };
    let messages: Vec<_> = (0..count).map(message).collect();
    let publishing = run_isolated(move || async move {
        let broker = Broker::open(&url, &prefix).await?;
        broker.publish(&messages).await?;
        broker.close().await;
        Ok(())
    });
    let (published, rate) = tokio::join!(publishing, watch(&deployment.broker, count));
    published?;
    deployment.broker.purge().await?;
    rate
}

/// The rate at which the queue fills, from nothing to so many.
async fn watch(broker: &Broker, count: u32) -> Result<f64> {
    let (started, mut samples) = (now(), Vec::new());
    loop {
        let waiting = broker.waiting().await?;
        samples.push((started.elapsed().as_secs_f64(), f64::from(waiting)));
        if waiting >= count {
            return Ok(middle_rate_of_counts(&samples, count.into()));
        }
        ensure!(started.elapsed() < TIMEOUT, "only {waiting} of {count} messages came");
        tokio::time::sleep(BETWEEN_TWO_LOOKS).await;
    }
}
