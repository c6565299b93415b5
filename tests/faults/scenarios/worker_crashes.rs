//! A worker process is killed at each step between the delivery of a message and its acknowledgement.

use crate::harness::{
    environment::Environment,
    service_process::{Service, ServiceProcess},
    tolerance::{MAX_IN_FLIGHT, Tolerance, schedule},
};
use support::proxy::{Proxy, ProxyMode};

/// Starts workers that are killed at this fault point, beside the two that keep running.
async fn kill_at(fault_point: &str, name: &str, tolerance: Tolerance) {
    Environment::start()
        .await
        .assert_survives(name, tolerance, async |environment| {
            for _ in 0..schedule().repetitions {
                environment.spawn_process(Service::Worker, &[("FAIL_AT", fault_point)]).wait_for_death().await;
            }
        })
        .await;
}

/// Starts workers with a proxy of their own to the mail server, and kills each when the proxy has stopped its dialogue.
async fn kill_when_proxy_stops(mode: ProxyMode, name: &str, tolerance: Tolerance) {
    Environment::start()
        .await
        .assert_survives(name, tolerance, async |environment| {
            for _ in 0..schedule().repetitions {
                let (proxy, url) = Proxy::in_front_of(&environment.mail_server.url()).await;
                proxy.set(mode);
                let victim = environment.spawn_process(Service::Worker, &[("SMTP_URL", &url)]);
                proxy.wait_for_match().await;
                victim.kill();
                proxy.set(ProxyMode::Closed);
            }
        })
        .await;
}

/// Everything that a killed worker has in flight may be mailed twice.
fn duplicates_in_flight() -> Tolerance {
    Tolerance::duplicates_up_to(schedule().repetitions as usize * MAX_IN_FLIGHT)
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_killed_after_delivery_loses_nothing() {
    kill_at("worker-after-delivery", "worker killed after the delivery", duplicates_in_flight()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_killed_during_data_loses_nothing() {
    kill_when_proxy_stops(ProxyMode::TruncateBefore("Subject:"), "worker killed mid-DATA", Tolerance::none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_killed_after_the_dot_loses_nothing() {
    kill_when_proxy_stops(
        ProxyMode::NoResponseAfter("\r\n.\r\n"),
        "worker killed after the dot",
        duplicates_in_flight(),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_killed_before_recording_delivery_loses_nothing() {
    kill_at("worker-after-250", "worker killed after the 250, before the record", duplicates_in_flight()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_killed_before_ack_loses_nothing() {
    kill_at("worker-after-record", "worker killed after the record, before the ack", duplicates_in_flight()).await;
}

/// The same messages are redelivered to one worker after the other, and each is killed.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_one_killed_workers_lose_nothing() {
    Environment::start()
        .await
        .assert_survives(
            "21 workers killed in a row",
            Tolerance::duplicates_up_to(2 * MAX_IN_FLIGHT),
            async |environment| {
                environment.workers.drain(..).for_each(ServiceProcess::kill);
                for _ in 0..21 {
                    environment
                        .spawn_process(Service::Worker, &[("FAIL_AT", "worker-after-delivery")])
                        .wait_for_death()
                        .await;
                }
                environment.start_processes(0, 2).await;
            },
        )
        .await;
}

/// I-18: one process of each kind is enough.
#[tokio::test(flavor = "multi_thread")]
async fn killing_all_but_one_of_each_loses_nothing() {
    let mut environment = Environment::prepare().await;
    environment.start_processes(3, 3).await;
    let name = "all processes but one of each killed";
    environment
        .assert_survives(name, Tolerance::duplicates_up_to(2 * MAX_IN_FLIGHT), async |environment| {
            environment.apis.drain(1..).chain(environment.workers.drain(1..)).for_each(ServiceProcess::kill);
        })
        .await;
}
