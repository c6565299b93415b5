//! A RabbitMQ of three nodes that loses its leader, and one that falls apart.

use tokio::time::sleep;

use crate::harness::{
    environment::Environment,
    servers::{self, rabbitmq::RabbitMq},
    tolerance::{Allowed, IN_HAND, form},
};

async fn on(broker: &RabbitMq) -> Environment {
    // Past the proxy, which knows one node only.
    let mut environment = Environment::prepare().await;
    environment.set("AMQP_URL", &broker.url());
    environment.amqp_url = broker.url();
    environment.people(2, 2).await;
    environment
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leader_of_three_nodes_is_killed() {
    let mut broker = RabbitMq::cluster(3).await;
    let environment = on(&broker).await;
    let fault = async |environment: &mut Environment| {
        let queue = format!("{}.send-code", environment.prefix);
        let leader = broker.leader_of(&queue, 0);
        broker.kill(leader);
        sleep(form().outage).await;
        let led_by_another = async || broker.leader_of(&queue, (leader + 1) % 3) != leader;
        servers::until("another node leads", led_by_another).await;
        broker.restart(leader).await;
    };
    environment.survives("cluster of three: the leader killed", Allowed::duplicate(4 * IN_HAND), fault).await;
}

/// The leader finds itself alone: the other two go on without it.
#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_are_partitioned() {
    let broker = RabbitMq::cluster(3).await;
    let environment = on(&broker).await;
    let fault = async |environment: &mut Environment| {
        let queue = format!("{}.send-code", environment.prefix);
        let leader = broker.leader_of(&queue, 0);
        broker.isolate(leader, true);
        sleep(form().outage).await;
        let led_by_another = async || broker.leader_of(&queue, (leader + 1) % 3) != leader;
        servers::until("another node leads", led_by_another).await;
        broker.isolate(leader, false);
    };
    environment.survives("cluster of three: the leader cut off", Allowed::duplicate(4 * IN_HAND), fault).await;
}
