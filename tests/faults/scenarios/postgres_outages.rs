//! A Postgres that restarts, sends clients away, says nothing, or answers too late to be heard.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::harness::{
    environment::{Environment, Servers},
    servers::postgres::Postgres,
    tolerance::{Allowed, IN_HAND, form},
};
use support::{database, proxy::ProxyMode};

/// What the two workers may have handed over and not on record when Postgres goes.
fn some(faults: u32) -> Allowed {
    Allowed::duplicate(faults as usize * 2 * IN_HAND)
}

async fn on(database_url: String) -> Environment {
    let ground = Servers { database_url, amqp_url: database::server("AMQP_URL") };
    let mut environment = Environment::on(ground).await;
    environment.people(2, 2).await;
    environment
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_crashes_and_restarts_under_load() {
    let mut postgres = Postgres::start().await;
    let environment = on(postgres.url()).await;
    let fault = async |_: &mut Environment| {
        for _ in 0..form().times {
            postgres.crash();
            postgres.restart().await;
        }
    };
    environment.survives("Postgres crashes, restarts", some(form().times), fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_is_restarted_under_load() {
    let mut postgres = Postgres::start().await;
    let environment = on(postgres.url()).await;
    let fault = async |_: &mut Environment| {
        postgres.stop();
        sleep(form().outage).await;
        postgres.restart().await;
    };
    environment.survives("Postgres stopped, started later", some(1), fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn backends_are_terminated_every_second() {
    let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let fault = async |environment: &mut Environment| {
        let client = environment.client().await;
        let until = Instant::now() + form().outage;
        while Instant::now() < until {
            client.batch_execute(others).await.unwrap();
            sleep(Duration::from_secs(1)).await;
        }
    };
    let faults = u32::try_from(form().outage.as_secs()).unwrap();
    Environment::start().await.survives("backends terminated every second", some(faults), fault).await;
}

/// Every connection of every pool waits for a lock that somebody else does not give back.
#[tokio::test(flavor = "multi_thread")]
async fn the_pools_are_exhausted() {
    let fault = async |environment: &mut Environment| {
        let client = environment.client().await;
        let struck = Instant::now();
        client.batch_execute("BEGIN; LOCK TABLE codes IN ACCESS EXCLUSIVE MODE").await.unwrap();
        sleep(form().outage).await;
        assert!(!environment.history.hindrances(struck).is_empty(), "the fault is none");
        client.batch_execute("COMMIT").await.unwrap();
    };
    Environment::start().await.survives("pool exhausted (a lock held)", some(1), fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_to_a_commit_is_lost() {
    let fault = async |environment: &mut Environment| {
        for _ in 0..form().times {
            environment.to_postgres.set(ProxyMode::DeafAfter("COMMIT"));
            environment.to_postgres.heard().await;
            sleep(Duration::from_secs(1)).await;
            environment.to_postgres.set(ProxyMode::Open);
        }
    };
    Environment::start().await.survives("the answer to COMMIT cut off", Allowed::nothing(), fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_falls_silent() {
    let fault = async |environment: &mut Environment| {
        let struck = Instant::now();
        environment.to_postgres.set(ProxyMode::Held);
        // Longer than any of its limits.
        sleep(form().outage.max(Duration::from_secs(12))).await;
        assert!(!environment.history.hindrances(struck).is_empty(), "the fault is none");
        environment.to_postgres.set(ProxyMode::Open);
    };
    Environment::start().await.survives("Postgres blackholed", some(1), fault).await;
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
    let mut environment =
        Environment::on(Servers { database_url: primary.url(), amqp_url: database::server("AMQP_URL") }).await;
    environment.set("DATABASE_URL", &url);
    environment.database_url = url;
    environment.people(2, 2).await;
    let fault = async |_: &mut Environment| {
        primary.crash();
        sleep(Duration::from_secs(1)).await;
        standby.promote().await;
    };
    environment.survives("Postgres fails over to a synchronous standby", some(1), fault).await;
}
