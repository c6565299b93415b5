//! kill -9 of an API at each point where it holds something of somebody's.

use crate::harness::{
    environment::Environment,
    service_process::Part,
    tolerance::{Allowed, form},
};

/// An API dies at this point, as often as the form says, and another one takes its place.
async fn dies_at(point: &str, name: &str, may: Allowed) {
    // A try is counted before it is compared, and three deaths may meet the same person.
    let may = Allowed { spend: form().times as usize / 4, ..may };
    Environment::start()
        .await
        .survives(name, may, async |environment| {
            for n in 0..form().times {
                // At once, and when it has done the same for others.
                let victim = environment.launch(Part::Api, &[("FAIL_AT", &format!("{point}:{}", 1 + n % 3))]);
                victim.dies().await;
            }
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_dies_before_the_commit_of_a_registration() {
    dies_at("register-before-commit", "API killed before COMMIT", Allowed::nothing()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_dies_after_the_commit_and_before_the_answer() {
    dies_at("register-after-commit", "API killed after COMMIT, before the answer", Allowed::nothing()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_dies_after_counting_an_attempt() {
    dies_at("activate-after-counting", "API killed after counting an attempt", Allowed::nothing()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_dies_after_consuming_a_code() {
    dies_at("activate-after-consuming", "API killed after consuming the code", Allowed::nothing()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_dies_after_leasing() {
    dies_at("relay-after-lease", "relay killed after the lease", Allowed::nothing()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_dies_after_publishing() {
    let may = Allowed::duplicate(form().times as usize);
    dies_at("relay-after-publish", "relay killed after the publish", may).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_dies_after_the_confirm() {
    let may = Allowed::duplicate(form().times as usize);
    dies_at("relay-after-confirm", "relay killed after the confirm", may).await;
}
