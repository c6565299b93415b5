//! A Postgres that restarts, sends clients away, says nothing, or answers too late to be heard.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::{
    bounds::{IN_HAND, May, form},
    scene::{Ground, Scene},
    servers::postgres::Postgres,
};
use support::{database, proxy::Way};

/// What the two workers may have handed over and not on record when Postgres goes.
fn some(faults: u32) -> May {
    May::duplicate(faults as usize * 2 * IN_HAND)
}

async fn on(database_url: String) -> Scene {
    let ground = Ground { database_url, amqp_url: database::server("AMQP_URL") };
    let mut scene = Scene::on(ground).await;
    scene.people(2, 2).await;
    scene
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_crashes_and_restarts_under_load() {
    let mut postgres = Postgres::start().await;
    let scene = on(postgres.url()).await;
    let fault = async |_: &mut Scene| {
        for _ in 0..form().times {
            postgres.crash();
            postgres.restart().await;
        }
    };
    scene.survives("Postgres crashes, restarts", some(form().times), fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_restarted_under_load() {
    let mut postgres = Postgres::start().await;
    let scene = on(postgres.url()).await;
    let fault = async |_: &mut Scene| {
        postgres.stop();
        sleep(form().outage).await;
        postgres.restart().await;
    };
    scene.survives("Postgres stopped, started later", some(1), fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn backends_are_terminated_every_second() {
    let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let fault = async |scene: &mut Scene| {
        let client = scene.client().await;
        let until = Instant::now() + form().outage;
        while Instant::now() < until {
            client.batch_execute(others).await.unwrap();
            sleep(Duration::from_secs(1)).await;
        }
    };
    let faults = u32::try_from(form().outage.as_secs()).unwrap();
    Scene::start().await.survives("backends terminated every second", some(faults), fault).await;
}

/// Every connection of every pool waits for a lock that somebody else does not give back.
#[tokio::test(flavor = "multi_thread")]
async fn the_pools_are_exhausted() {
    let fault = async |scene: &mut Scene| {
        let client = scene.client().await;
        let struck = Instant::now();
        client.batch_execute("BEGIN; LOCK TABLE codes IN ACCESS EXCLUSIVE MODE").await.unwrap();
        sleep(form().outage).await;
        assert!(!scene.history.hindrances(struck).is_empty(), "the fault is none");
        client.batch_execute("COMMIT").await.unwrap();
    };
    Scene::start().await.survives("pool exhausted (a lock held)", some(1), fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_to_a_commit_is_lost() {
    let fault = async |scene: &mut Scene| {
        for _ in 0..form().times {
            scene.to_postgres.set(Way::DeafAfter("COMMIT"));
            scene.to_postgres.heard().await;
            sleep(Duration::from_secs(1)).await;
            scene.to_postgres.set(Way::Open);
        }
    };
    Scene::start().await.survives("the answer to COMMIT cut off", May::nothing(), fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_falls_silent() {
    let fault = async |scene: &mut Scene| {
        let struck = Instant::now();
        scene.to_postgres.set(Way::Held);
        // Longer than any of its limits.
        sleep(form().outage.max(Duration::from_secs(12))).await;
        assert!(!scene.history.hindrances(struck).is_empty(), "the fault is none");
        scene.to_postgres.set(Way::Open);
    };
    Scene::start().await.survives("Postgres blackholed", some(1), fault).await;
}

/// The standby has every commit that was answered, because the primary waits for it; and it is found through
/// a URL that names both.
#[tokio::test(flavor = "multi_thread")]
async fn postgres_fails_over_to_its_standby() {
    let mut primary = Postgres::start().await;
    let standby = Postgres::standby_of(&primary).await;
    let both = format!("{},{}", primary.authority(), standby.authority());
    let url = primary.url().replace(&primary.authority(), &both) + "?target_session_attrs=read-write";
    // Past the proxy, which knows one server only.
    let mut scene = Scene::on(Ground { database_url: primary.url(), amqp_url: database::server("AMQP_URL") }).await;
    scene.set("DATABASE_URL", &url);
    scene.database_url = url;
    scene.people(2, 2).await;
    let fault = async |_: &mut Scene| {
        primary.crash();
        sleep(Duration::from_secs(1)).await;
        standby.promote().await;
    };
    scene.survives("Postgres fails over to a synchronous standby", some(1), fault).await;
}
