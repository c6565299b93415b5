//! B4: messages per second from the outbox to the queue ÷ plain lapin publishes, confirmed and as many in flight.

use std::time::Duration;

use anyhow::{Result, ensure};
use shared::messages::{MailKind, Message};
use uuid::Uuid;

use crate::{
    clock::now,
    environment::{broker::Broker, database, deployment::Scene, isolated_runtime::apart, services::Ground},
    load::users::TRACEPARENT,
    report::{
        progress::say,
        statistics::middle_rate_of_counts,
        table::{Goal, Row},
    },
};

const PATIENCE: Duration = Duration::from_secs(120);
const BETWEEN_TWO_LOOKS: Duration = Duration::from_millis(20);

const FILL: &str = "INSERT INTO outbox (id, message, traceparent) \
    SELECT id, jsonb_build_object('v', 1, 'kind', 'send-code', 'id', id), $1 \
    FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, $2)) AS new";

pub(crate) async fn run(ground: &Ground) -> Result<Vec<Row>> {
    let scene = Scene::prepare(ground, "relay").await?;
    let api = scene.api(ground).await?;
    let count = ground.either(20_000, 10_000);
    let mut rounds = Vec::new();
    for round in 1..=ground.rounds() {
        let theirs = raw(ground, &scene, count).await?;
        let ours = relayed(&scene, count).await?;
        say(&format!("  B4 round {round}: {ours:.0} messages/s, lapin {theirs:.0}"));
        rounds.push((ours, theirs));
    }
    api.process.stop().await?;
    let what = "relay ÷ plain lapin with confirms, same queue, 1 000 in flight";
    Ok(vec![Row::ratio("B4", what, &rounds, "/s", Goal::AtLeast(0.7, 0.4))])
}

async fn relayed(scene: &Scene, count: u32) -> Result<f64> {
    scene.database.execute(FILL, &[&TRACEPARENT, &i32::try_from(count)?]).await?;
    let rate = watch(&scene.broker, count).await?;
    // The last rows go after the last message has come.
    let until = now() + PATIENCE;
    while database::count(&scene.database, "SELECT count(*) FROM outbox").await? > 0 {
        ensure!(now() < until, "rows stay in the outbox");
        tokio::time::sleep(BETWEEN_TWO_LOOKS).await;
    }
    scene.broker.purge().await?;
    Ok(rate)
}

async fn raw(ground: &Ground, scene: &Scene, count: u32) -> Result<f64> {
    let (url, prefix) = (ground.amqp_url.clone(), scene.name.clone());
    let message = |n: u32| Message { kind: MailKind::SendCode, id: Uuid::from_u128(n.into()) };
    let messages: Vec<_> = (0..count).map(message).collect();
    let publishing = apart(move || async move {
        let broker = Broker::open(&url, &prefix).await?;
        broker.publish(&messages).await?;
        broker.close().await;
        Ok(())
    });
    let (published, rate) = tokio::join!(publishing, watch(&scene.broker, count));
    published?;
    scene.broker.purge().await?;
    rate
}

/// The rate at which the queue fills, from nothing to so many.
async fn watch(broker: &Broker, count: u32) -> Result<f64> {
    let (begun, mut samples) = (now(), Vec::new());
    loop {
        let waiting = broker.waiting().await?;
        samples.push((begun.elapsed().as_secs_f64(), f64::from(waiting)));
        if waiting >= count {
            return Ok(middle_rate_of_counts(&samples, count.into()));
        }
        ensure!(begun.elapsed() < PATIENCE, "only {waiting} of {count} messages came");
        tokio::time::sleep(BETWEEN_TWO_LOOKS).await;
    }
}
