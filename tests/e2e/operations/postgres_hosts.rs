//! Where Postgres is, and whether it lets us in.

use tokio::net::TcpListener;

use support::stack::Stack;

const ADA: &str = "ada@example.com";

/// As when the machine of the one hangs, and the other has been promoted.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_accepts_and_says_nothing_does_not_hide_the_next() {
    let stack = Stack::without_broker().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (scheme, rest) = stack.database.url.split_once("://").unwrap();
    let (user, host) = rest.split_at(rest.find('@').map_or(0, |at| at + 1));
    let both = format!("{scheme}://{user}{},{host}", silent.local_addr().unwrap());
    let api = stack.start_api(&[("DATABASE_URL", &both)]).await;
    assert_eq!(api.client.register(ADA).await.status, 202);
}

/// As when the password was changed, or a standby has other rules: it is no bug of ours.
#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_lets_nobody_in_is_away() {
    let stack = Stack::without_broker().await;
    let api = stack.start_api(&[]).await;
    assert_eq!(api.client.register(ADA).await.status, 202);
    stack.database.shut().await;
    let answer = api.client.register("bob@example.com").await;
    assert_eq!(answer.problem(), (503, "unavailable".into()));
}
