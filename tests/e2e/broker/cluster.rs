//! Several hosts in AMQP_URL: a broker that is a cluster.

use support::{
    database,
    proxy::{Proxy, ProxyMode},
    stack::Stack,
};

/// The same URL with these hosts, each with a port.
fn at_hosts(url: &str, hosts: &[&str]) -> String {
    let (login, rest) = url.split_once('@').unwrap();
    format!("{login}@{}{}", hosts.join(","), &rest[rest.find(['/', '?']).unwrap_or(rest.len())..])
}

fn host(url: &str) -> &str {
    url.split('@').nth(1).unwrap().split(['/', '?']).next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_is_found_at_whichever_host_lives() {
    let stack = Stack::prepare(&[]).await;
    let amqp = database::server("AMQP_URL");
    let several = at_hosts(&amqp, &["127.0.0.1:1", "127.0.0.1:2", "[::1]:3", host(&amqp)]);
    let api = stack.start_api(&[("AMQP_URL", &several)]).await;
    stack.start_worker(&[("AMQP_URL", &several)]).await.becomes(200).await;
    assert_eq!(api.client.register("ada@example.com").await.status, 202);
    stack.mail_server.mail_to("ada@example.com").await;
}

/// Whichever host the connections were at, one of the two times they are cut off from it.
#[tokio::test(flavor = "multi_thread")]
async fn when_one_host_of_the_broker_dies_the_other_goes_on() {
    let stack = Stack::prepare(&[]).await;
    let amqp = database::server("AMQP_URL");
    let ((one, one_url), (two, two_url)) = (Proxy::before(&amqp).await, Proxy::before(&amqp).await);
    let both = at_hosts(&amqp, &[host(&one_url), host(&two_url)]);
    let api = stack.start_api(&[("AMQP_URL", &both)]).await;
    stack.start_worker(&[("AMQP_URL", &both)]).await.becomes(200).await;
    for (n, (dies, lives)) in [(&one, &two), (&two, &one)].into_iter().enumerate() {
        lives.set(ProxyMode::Open);
        dies.set(ProxyMode::Cut);
        let email = format!("ada{n}@example.com");
        assert_eq!(api.client.register(&email).await.status, 202);
        stack.mail_server.mail_to(&email).await;
    }
}
