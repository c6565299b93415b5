//! Several hosts in DATABASE_URL, and a Postgres that rejects connections.

use tokio::net::TcpListener;

use support::stack::Stack;

const ADA: &str = "ada@example.com";

/// As after a failover: the machine of the first host hangs, and the second one has been promoted.
#[tokio::test(flavor = "multi_thread")]
async fn silent_first_host_falls_back_to_the_next() {
    let stack = Stack::without_broker().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (scheme, rest) = stack.database.service_url.split_once("://").unwrap();
    let (user, host) = rest.split_at(rest.find('@').map_or(0, |at| at + 1));
    let two_hosts = format!("{scheme}://{user}{},{host}", silent.local_addr().unwrap());
    let api = stack.start_api(&[("DATABASE_URL", &two_hosts)]).await;
    assert_eq!(api.client.register(ADA).await.status, 202);
}

/// As after a change of the password, or on a standby with other access rules: not an internal error.
#[tokio::test(flavor = "multi_thread")]
async fn rejected_postgres_login_answers_503() {
    let stack = Stack::without_broker().await;
    let api = stack.start_api(&[]).await;
    assert_eq!(api.client.register(ADA).await.status, 202);
    stack.database.reject_connections().await;
    let answer = api.client.register("bob@example.com").await;
    assert_eq!(answer.problem(), (503, "unavailable".into()));
}
