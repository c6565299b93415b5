//! Several hosts in AMQP_URL: a RabbitMQ cluster.

use support::{
    database,
    proxy::{Proxy, ProxyMode},
    stack::Stack,
};

/// The URL with its host replaced by these hosts, each with a port.
fn with_hosts(url: &str, hosts: &[&str]) -> String {
    let (login, rest) = url.split_once('@').unwrap();
    format!("{login}@{}{}", hosts.join(","), &rest[rest.find(['/', '?']).unwrap_or(rest.len())..])
}

/// The host and the port of an AMQP URL.
fn host(url: &str) -> &str {
    url.split('@').nth(1).unwrap().split(['/', '?']).next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn unreachable_hosts_are_skipped() {
    let stack = Stack::prepare(&[]).await;
    let amqp = database::server_url("AMQP_URL");
    let urls = with_hosts(&amqp, &["127.0.0.1:1", "127.0.0.1:2", "[::1]:3", host(&amqp)]);
    let api = stack.start_api(&[("AMQP_URL", &urls)]).await;
    stack.start_worker(&[("AMQP_URL", &urls)]).await.wait_for_readiness(200).await;
    assert_eq!(api.client.register("ada@example.com").await.status, 202);
    stack.mail_server.mail_to("ada@example.com").await;
}

/// Each host fails once, so that the processes lose their connection whichever host they chose.
#[tokio::test(flavor = "multi_thread")]
async fn connections_fail_over_to_the_other_host() {
    let stack = Stack::prepare(&[]).await;
    let amqp = database::server_url("AMQP_URL");
    let (first, first_url) = Proxy::in_front_of(&amqp).await;
    let (second, second_url) = Proxy::in_front_of(&amqp).await;
    let both = with_hosts(&amqp, &[host(&first_url), host(&second_url)]);
    let api = stack.start_api(&[("AMQP_URL", &both)]).await;
    stack.start_worker(&[("AMQP_URL", &both)]).await.wait_for_readiness(200).await;
    for (n, (failing, healthy)) in [(&first, &second), (&second, &first)].into_iter().enumerate() {
        healthy.set(ProxyMode::Open);
        failing.set(ProxyMode::Closed);
        let email = format!("ada{n}@example.com");
        assert_eq!(api.client.register(&email).await.status, 202);
        stack.mail_server.mail_to(&email).await;
    }
}
