//! A RabbitMQ cluster of three nodes loses the leader of a queue, is partitioned, or gets its nodes only after the queues
//! were declared.

use tokio::time::sleep;

use crate::harness::{
    environment::Environment,
    servers::{self, rabbitmq::RabbitMq},
    tolerance::{MAX_IN_FLIGHT, Tolerance, schedule},
};

/// Two APIs and two workers on a cluster.
async fn start_on(broker: &RabbitMq) -> Environment {
    // Without the proxy, which has a single target.
    let mut environment = Environment::prepare().await;
    environment.set("AMQP_URL", &broker.url());
    environment.amqp_url = broker.url();
    environment.start_processes(2, 2).await;
    environment
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_cluster_leader_loses_nothing() {
    let mut broker = RabbitMq::cluster(3).await;
    let environment = start_on(&broker).await;
    let fault = async |environment: &mut Environment| {
        let queue = format!("{}.send-code", environment.prefix);
        let leader = broker.leader_of(&queue, 0);
        broker.kill(leader);
        sleep(schedule().outage).await;
        let has_new_leader = async || broker.leader_of(&queue, (leader + 1) % 3) != leader;
        servers::wait_until("another node leads", has_new_leader).await;
        broker.restart(leader).await;
    };
    environment
        .assert_survives("cluster of three: the leader killed", Tolerance::duplicates_up_to(4 * MAX_IN_FLIGHT), fault)
        .await;
}

/// The leader is isolated, and the other two nodes elect a new one.
#[tokio::test(flavor = "multi_thread")]
async fn partitioned_cluster_loses_nothing() {
    let broker = RabbitMq::cluster(3).await;
    let environment = start_on(&broker).await;
    let fault = async |environment: &mut Environment| {
        let queue = format!("{}.send-code", environment.prefix);
        let leader = broker.leader_of(&queue, 0);
        broker.isolate(leader, true);
        sleep(schedule().outage).await;
        let has_new_leader = async || broker.leader_of(&queue, (leader + 1) % 3) != leader;
        servers::wait_until("another node leads", has_new_leader).await;
        broker.isolate(leader, false);
    };
    environment
        .assert_survives("cluster of three: the leader cut off", Tolerance::duplicates_up_to(4 * MAX_IN_FLIGHT), fault)
        .await;
}

/// Queues that were declared on the first node have one member, until the operator grows them. Then the first node may fail.
#[tokio::test(flavor = "multi_thread")]
async fn queues_grown_to_added_nodes_survive_the_first() {
    let mut broker = RabbitMq::first_of(3).await;
    let environment = start_on(&broker).await;
    let fault = async |environment: &mut Environment| {
        let queue = format!("{}.send-code", environment.prefix);
        for node in [1, 2] {
            broker.restart(node).await;
        }
        assert_eq!(broker.members_of(&queue), 1, "the queue has grown by itself");
        for node in [1, 2] {
            broker.grow_queues(node);
        }
        assert_eq!(broker.members_of(&queue), 3);
        broker.kill(0);
        sleep(schedule().outage).await;
        broker.restart(0).await;
    };
    environment
        .assert_survives(
            "cluster: two nodes added, the first killed",
            Tolerance::duplicates_up_to(4 * MAX_IN_FLIGHT),
            fault,
        )
        .await;
}
