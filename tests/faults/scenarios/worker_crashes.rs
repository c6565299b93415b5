//! kill -9 of a worker at each point between the queue and the ack.

use crate::harness::{
    environment::Environment,
    service_process::{Node, Part},
    tolerance::{Allowed, IN_HAND, form},
};
use support::proxy::{Proxy, ProxyMode};

/// A worker dies at this point, as often as the form says.
async fn dies_at(point: &str, name: &str, may: Allowed) {
    Environment::start()
        .await
        .survives(name, may, async |environment| {
            for _ in 0..form().times {
                environment.launch(Part::Worker, &[("FAIL_AT", point)]).dies().await;
            }
        })
        .await;
}

/// A worker whose own way to the mail server does this is killed when it comes to it.
async fn dies_when(way: ProxyMode, name: &str, may: Allowed) {
    Environment::start()
        .await
        .survives(name, may, async |environment| {
            for _ in 0..form().times {
                let (proxy, url) = Proxy::before(&environment.mail_server.url()).await;
                proxy.set(way);
                let victim: Node = environment.launch(Part::Worker, &[("SMTP_URL", &url)]);
                proxy.heard().await;
                victim.kill();
                proxy.set(ProxyMode::Cut);
            }
        })
        .await;
}

fn some() -> Allowed {
    Allowed::duplicate(form().times as usize * IN_HAND)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_dies_after_the_delivery() {
    dies_at("worker-after-delivery", "worker killed after the delivery", some()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_dies_in_the_middle_of_the_data() {
    dies_when(ProxyMode::StuckBefore("Subject:"), "worker killed mid-DATA", Allowed::nothing()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_dies_after_the_dot() {
    dies_when(ProxyMode::MuteAfter("\r\n.\r\n"), "worker killed after the dot", some()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_dies_after_the_250_and_before_the_record() {
    dies_at("worker-after-250", "worker killed after the 250, before the record", some()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_dies_after_the_record_and_before_the_ack() {
    dies_at("worker-after-record", "worker killed after the record, before the ack", some()).await;
}

/// The same messages come to one worker after the other, and each dies of them.
#[tokio::test(flavor = "multi_thread")]
async fn twenty_one_workers_die_in_a_row() {
    Environment::start()
        .await
        .survives("21 workers killed in a row", Allowed::duplicate(2 * IN_HAND), async |environment| {
            environment.workers.drain(..).for_each(Node::kill);
            for _ in 0..21 {
                environment.launch(Part::Worker, &[("FAIL_AT", "worker-after-delivery")]).dies().await;
            }
            environment.people(0, 2).await;
        })
        .await;
}

/// I-18.
#[tokio::test(flavor = "multi_thread")]
async fn all_but_one_of_each_die() {
    let mut environment = Environment::prepare().await;
    environment.people(3, 3).await;
    let name = "all processes but one of each killed";
    environment
        .survives(name, Allowed::duplicate(2 * IN_HAND), async |environment| {
            environment.apis.drain(1..).chain(environment.workers.drain(1..)).for_each(Node::kill);
        })
        .await;
}
