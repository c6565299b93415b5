//! Postgres crashes, restarts, disconnects clients, stalls, loses answers, or fails over.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::harness::{
    environment::{Environment, ServerUrls},
    servers::postgres::Postgres,
    tolerance::{MAX_IN_FLIGHT, Tolerance, schedule},
};
use support::{database, proxy::ProxyMode};

/// Everything that the two workers have sent and not yet recorded when Postgres fails may be mailed twice.
fn duplicates_in_flight(faults: u32) -> Tolerance {
    Tolerance::duplicates_up_to(faults as usize * 2 * MAX_IN_FLIGHT)
}

/// Two APIs and two workers on a Postgres that the test may kill.
async fn start_on(database_url: String) -> Environment {
    let servers = ServerUrls { database_url, amqp_url: database::server_url("AMQP_URL") };
    let mut environment = Environment::on_servers(servers).await;
    environment.start_processes(2, 2).await;
    environment
}

#[tokio::test(flavor = "multi_thread")]
async fn crashed_postgres_loses_nothing() {
    let mut postgres = Postgres::start().await;
    let environment = start_on(postgres.url()).await;
    let fault = async |_: &mut Environment| {
        for _ in 0..schedule().repetitions {
            postgres.crash();
            postgres.restart().await;
        }
    };
    environment
        .assert_survives("Postgres crashes, restarts", duplicates_in_flight(schedule().repetitions), fault)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_postgres_loses_nothing() {
    let mut postgres = Postgres::start().await;
    let environment = start_on(postgres.url()).await;
    let fault = async |_: &mut Environment| {
        postgres.stop();
        sleep(schedule().outage).await;
        postgres.restart().await;
    };
    environment.assert_survives("Postgres stopped, started later", duplicates_in_flight(1), fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn terminated_backends_lose_nothing() {
    let terminate_others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let fault = async |environment: &mut Environment| {
        let client = environment.client().await;
        let end = Instant::now() + schedule().outage;
        while Instant::now() < end {
            client.batch_execute(terminate_others).await.unwrap();
            sleep(Duration::from_secs(1)).await;
        }
    };
    let faults = u32::try_from(schedule().outage.as_secs()).unwrap();
    Environment::start()
        .await
        .assert_survives("backends terminated every second", duplicates_in_flight(faults), fault)
        .await;
}

/// Every connection of every pool waits for a lock that another client holds.
#[tokio::test(flavor = "multi_thread")]
async fn exhausted_pools_lose_nothing() {
    let fault = async |environment: &mut Environment| {
        let client = environment.client().await;
        let fault_started = Instant::now();
        client.batch_execute("BEGIN; LOCK TABLE codes IN ACCESS EXCLUSIVE MODE").await.unwrap();
        sleep(schedule().outage).await;
        assert!(!environment.history.failures(fault_started).is_empty(), "the fault has no effect");
        client.batch_execute("COMMIT").await.unwrap();
    };
    Environment::start().await.assert_survives("pool exhausted (a lock held)", duplicates_in_flight(1), fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_commit_answer_loses_nothing() {
    let fault = async |environment: &mut Environment| {
        for _ in 0..schedule().repetitions {
            environment.to_postgres.set(ProxyMode::CloseAfterRequest("COMMIT"));
            environment.to_postgres.wait_for_match().await;
            sleep(Duration::from_secs(1)).await;
            environment.to_postgres.set(ProxyMode::Open);
        }
    };
    Environment::start().await.assert_survives("the answer to COMMIT cut off", Tolerance::none(), fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_postgres_loses_nothing() {
    let fault = async |environment: &mut Environment| {
        let fault_started = Instant::now();
        environment.to_postgres.set(ProxyMode::Stalled);
        // Longer than every timeout for Postgres.
        sleep(schedule().outage.max(Duration::from_secs(12))).await;
        assert!(!environment.history.failures(fault_started).is_empty(), "the fault has no effect");
        environment.to_postgres.set(ProxyMode::Open);
    };
    Environment::start().await.assert_survives("Postgres blackholed", duplicates_in_flight(1), fault).await;
}

/// The standby has every acknowledged commit, because the primary waits for it. Clients find it because their URL names
/// both servers.
#[tokio::test(flavor = "multi_thread")]
async fn failover_to_synchronous_standby_loses_nothing() {
    let mut primary = Postgres::start().await;
    let standby = Postgres::standby_of(&primary).await;
    let both = format!("{},{}", primary.authority(), standby.authority());
    let url = primary.url().replace(&primary.authority(), &both) + "?target_session_attrs=read-write";
    // Without the proxy, which has a single target.
    let mut environment =
        Environment::on_servers(ServerUrls { database_url: primary.url(), amqp_url: database::server_url("AMQP_URL") })
            .await;
    environment.set("DATABASE_URL", &url);
    environment.database_url = url;
    environment.start_processes(2, 2).await;
    let fault = async |_: &mut Environment| {
        primary.crash();
        sleep(Duration::from_secs(1)).await;
        standby.promote().await;
    };
    environment.assert_survives("Postgres fails over to a synchronous standby", duplicates_in_flight(1), fault).await;
}
