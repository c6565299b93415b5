//! Postgres crashes, restarts, disconnects clients, stalls, loses answers, or fails over.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::harness::{
    checker::Rows,
    environment::{Environment, ServerUrls},
    lost_commits::LostCommits,
    servers::{postgres::Postgres, wait_until},
    tolerance::{MAX_IN_FLIGHT, Tolerance, schedule},
};
use support::{
    database,
    proxy::{Proxy, ProxyMode},
};

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

/// Nothing that is deleted can be vacuumed, as while a dump is made or a standby with feedback runs a long query.
#[tokio::test(flavor = "multi_thread")]
async fn held_snapshot_delays_nothing() {
    let environment = Environment::start().await;
    let holder = environment.client().await;
    holder.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM outbox").await.unwrap();
    let fault = async |environment: &mut Environment| {
        let fault_started = Instant::now();
        sleep(schedule().snapshot).await;
        let client = environment.client().await;
        client.batch_execute("VACUUM outbox").await.unwrap();
        let deleted = "SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 'outbox'";
        assert!(client.query_one(deleted, &[]).await.unwrap().get::<_, i64>(0) > 0, "the fault has no effect");
        assert_eq!(environment.history.failures_after_waiting(fault_started).await, []);
    };
    // The snapshot is held until the end, so that recovery is measured with it, too.
    environment.assert_survives("a snapshot held", Tolerance::none(), fault).await;
}

/// The standby has every acknowledged commit, because the primary waits for it. Clients find it because their URL names
/// both servers.
#[tokio::test(flavor = "multi_thread")]
async fn failover_to_synchronous_standby_loses_nothing() {
    let mut primary = Postgres::start().await;
    let standby = Postgres::standby_of(&primary).await;
    let mut environment = on_primary_and_standby(&primary, &standby).await;
    environment.start_processes(2, 2).await;
    let fault = async |_: &mut Environment| {
        primary.crash();
        sleep(Duration::from_secs(1)).await;
        standby.promote().await;
    };
    environment.assert_survives("Postgres fails over to a synchronous standby", duplicates_in_flight(1), fault).await;
}

/// An environment whose processes know both servers, without processes.
async fn on_primary_and_standby(primary: &Postgres, standby: &Postgres) -> Environment {
    let both = format!("{},{}", primary.authority(), standby.authority());
    let url = primary.url().replace(&primary.authority(), &both) + "?target_session_attrs=read-write";
    // Without the proxy, which has a single target.
    let servers = ServerUrls { database_url: primary.url(), amqp_url: database::server_url("AMQP_URL") };
    let mut environment = Environment::on_servers(servers).await;
    environment.set("DATABASE_URL", &url);
    environment.database_url = url;
    environment
}

/// A primary, the link over which its asynchronous standby reads from it, that standby, and two APIs and two workers on both.
async fn with_lagging_standby() -> (Postgres, Proxy, Postgres, Environment) {
    let primary = Postgres::start().await;
    let (link, primary_url) = Proxy::in_front_of(&primary.url()).await;
    let standby = Postgres::asynchronous_standby_of(&primary_url).await;
    let mut environment = on_primary_and_standby(&primary, &standby).await;
    environment.set("RESCUE_AFTER_SECONDS", "10");
    environment.start_processes(2, 2).await;
    (primary, link, standby, environment)
}

/// The standby lags behind when the primary is lost: what was acknowledged since is gone, and nothing else. An API publishes
/// the messages again whose records are gone; the operator starts the old primary only after fencing it.
#[tokio::test(flavor = "multi_thread")]
async fn failover_to_asynchronous_standby_loses_only_the_lag() {
    let (mut primary, link, standby, environment) = with_lagging_standby().await;
    let fault = async |environment: &mut Environment| {
        // Codes that the standby has and whose delivery it will not know.
        environment.to_mail.set(ProxyMode::Stalled);
        let stalled = Instant::now();
        wait_until("codes wait for the mail server", async || environment.history.acknowledged(stalled) >= 4).await;
        let replicated_until = primary.wait_until_replicated().await;
        link.set(ProxyMode::Stalled);
        let in_the_lag = Instant::now();
        environment.to_mail.set(ProxyMode::Open);
        wait_until("some users signed up and activated", async || {
            environment.history.acknowledged(in_the_lag) >= 8 && environment.history.activated(in_the_lag) >= 2
        })
        .await;
        assert!(primary.replication_lag_bytes().await > 0, "the fault has no effect");
        primary.crash();
        standby.wait_until_replayed().await;
        let replicated = Rows::read(&standby.connect().await.unwrap()).await;
        sleep(Duration::from_secs(1)).await;
        standby.promote().await;
        primary.restart_read_only().await;
        let committed = Rows::read(&primary.connect().await.unwrap()).await;
        environment.failover = LostCommits::between(replicated_until, committed, &replicated);
        let LostCommits { registrations, records, .. } = &environment.failover;
        assert!(!registrations.is_empty() && *records > 0, "the fault has no effect");
        // A process that is started now finds the old primary first, and passes it.
        environment.apis.remove(0).stop().await;
        environment.start_processes(1, 0).await;
    };
    environment.assert_survives("Postgres fails over to an asynchronous standby", duplicates_in_flight(1), fault).await;
}

/// The operator makes the primary read-only, promotes the standby, and leaves the connections to the old primary open.
#[tokio::test(flavor = "multi_thread")]
async fn read_only_primary_is_left_for_the_new_one() {
    let primary = Postgres::start().await;
    let standby = Postgres::asynchronous_standby_of(&primary.url()).await;
    let mut environment = on_primary_and_standby(&primary, &standby).await;
    environment.start_processes(2, 2).await;
    let fault = async |_: &mut Environment| {
        primary.refuse_writes().await;
        primary.wait_until_replicated().await;
        standby.promote().await;
    };
    environment.assert_survives("Postgres fails over, the old primary read-only", duplicates_in_flight(1), fault).await;
}

/// Transaction ids go back on a standby that lags behind. The relays do not use Postgres while the broker is away, so that
/// they see no failure that would make them read the outbox from its beginning.
#[tokio::test(flavor = "multi_thread")]
async fn unnoticed_failover_delays_no_mail() {
    let (mut primary, link, standby, environment) = with_lagging_standby().await;
    let fault = async |environment: &mut Environment| {
        let replicated_until = primary.wait_until_replicated().await;
        link.set(ProxyMode::Stalled);
        // More than the new primary uses until the end of the test.
        primary.use_transaction_ids(50_000).await;
        let used = Instant::now();
        wait_until("the relays have passed them", async || environment.history.activated(used) >= 8).await;
        environment.to_broker.set(ProxyMode::Closed);
        wait_until("rows wait", async || environment.outbox_rows().await >= 4).await;
        primary.crash();
        standby.wait_until_replayed().await;
        let replicated = Rows::read(&standby.connect().await.unwrap()).await;
        standby.promote().await;
        let promoted = Instant::now();
        wait_until("rows wait", async || environment.outbox_rows().await >= 4).await;
        let opened = Instant::now();
        environment.to_broker.set(ProxyMode::Open);
        // Rows are published in the order of their transactions, or nearly so.
        wait_until("users who came later have their mails", async || environment.history.mailed(opened) >= 40).await;
        assert_eq!(environment.history.without_mail(promoted, opened), [0; 0], "the relays passed over rows");
        primary.restart_read_only().await;
        let committed = Rows::read(&primary.connect().await.unwrap()).await;
        environment.failover = LostCommits::between(replicated_until, committed, &replicated);
    };
    let tolerance = duplicates_in_flight(1);
    environment.assert_survives("Postgres fails over while the broker is away", tolerance, fault).await;
}
