//! An API process is killed at each of its fault points: in a registration, an activation, and in the relay.

use crate::harness::{
    environment::Environment,
    service_process::Service,
    tolerance::{Tolerance, schedule},
};

/// Starts APIs that are killed at this fault point, beside the two that keep running.
async fn kill_at(fault_point: &str, name: &str, tolerance: Tolerance) {
    // An attempt is counted before its code is compared, and three crashes may hit the same user.
    let tolerance = Tolerance { exhausted_codes: schedule().repetitions as usize / 4, ..tolerance };
    Environment::start()
        .await
        .assert_survives(name, tolerance, async |environment| {
            for n in 0..schedule().repetitions {
                // Killed when it reaches the fault point for the first, second or third time.
                let fail_at = format!("{fault_point}:{}", 1 + n % 3);
                environment.spawn_process(Service::Api, &[("FAIL_AT", &fail_at)]).wait_for_death().await;
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn api_killed_before_registration_commit_loses_nothing() {
    kill_at("register-before-commit", "API killed before COMMIT", Tolerance::none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn api_killed_after_registration_commit_loses_nothing() {
    kill_at("register-after-commit", "API killed after COMMIT, before the answer", Tolerance::none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn api_killed_after_counting_an_attempt_loses_nothing() {
    kill_at("activate-after-counting", "API killed after counting an attempt", Tolerance::none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn api_killed_after_consuming_a_code_loses_nothing() {
    kill_at("activate-after-consuming", "API killed after consuming the code", Tolerance::none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn relay_killed_after_lease_loses_nothing() {
    kill_at("relay-after-lease", "relay killed after the lease", Tolerance::none()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn relay_killed_after_publish_loses_nothing() {
    let tolerance = Tolerance::duplicates_up_to(schedule().repetitions as usize);
    kill_at("relay-after-publish", "relay killed after the publish", tolerance).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn relay_killed_after_confirm_loses_nothing() {
    let tolerance = Tolerance::duplicates_up_to(schedule().repetitions as usize);
    kill_at("relay-after-confirm", "relay killed after the confirm", tolerance).await;
}
