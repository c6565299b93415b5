//! Hashes of other costs than those that are set now: they stay good, and are renewed by their owners.

use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use support::{
    client::{Client, PASSWORD},
    stack::Stack,
};

const ADA: &str = "ada@example.com";
const CHEAP: [(&str, &str); 1] = [("ARGON2_MEMORY_KIB", "1024")];
const DEAR: [(&str, &str); 2] = [("ARGON2_MEMORY_KIB", "2048"), ("PASSWORD_ENGINE", "reference")];

async fn costs_of(stack: &Stack, table: &str) -> String {
    let row = stack.database.client().query_one(&format!("SELECT password_hash FROM {table}"), &[]).await.unwrap();
    let hash: String = row.get(0);
    hash.split('$').nth(3).unwrap().to_owned()
}

async fn activate(client: &Client, password: &str) -> (u16, String) {
    client.activate_with(ADA, password, &json!({ "code": "0000" })).await.problem()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hash_is_renewed_when_its_owner_gives_the_password() {
    let mut stack = Stack::prepare(&[]).await;
    let cheap = stack.start_api(&CHEAP).await;
    stack.start_worker(&[]).await;
    stack.client = cheap.client.clone();
    let (_, code) = stack.sign_up(ADA).await;
    assert_eq!(costs_of(&stack, "registrations").await, "m=1024,t=2,p=1");

    let dear = stack.start_api(&DEAR).await;
    assert_eq!(dear.client.activate(ADA, &code).await.status, 200, "an older registration is as good as any");
    assert_eq!(costs_of(&stack, "users").await, "m=1024,t=2,p=1");
    assert_eq!(activate(&dear.client, "not her password").await, (401, "unauthenticated".into()));
    assert_eq!(costs_of(&stack, "users").await, "m=1024,t=2,p=1", "only who has the password renews");
    assert_eq!(activate(&dear.client, PASSWORD).await, (409, "already-active".into()));
    assert_eq!(costs_of(&stack, "users").await, "m=2048,t=2,p=1");
    assert_eq!(cheap.client.login(ADA, PASSWORD).await.status, 200);
    assert_eq!(costs_of(&stack, "users").await, "m=1024,t=2,p=1", "a login renews as well");
    for client in [&dear.client, &cheap.client] {
        assert_eq!(activate(client, "not her password").await, (401, "unauthenticated".into()));
        assert_eq!(activate(client, PASSWORD).await, (409, "already-active".into()));
    }
}

/// All hashes of an address are of one recipe, or a stranger who registered there would learn from his
/// password's no longer being right that the address has an account.
#[tokio::test(flavor = "multi_thread")]
async fn a_hash_is_not_renewed_while_registrations_are_open_at_its_address() {
    let mut stack = Stack::prepare(&[]).await;
    stack.client = stack.start_api(&CHEAP).await.client.clone();
    stack.start_worker(&[]).await;
    let (_, code) = stack.sign_up(ADA).await;
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
    let stranger = stack.client.register_with(ADA, "a stranger's password").await;
    let dear = stack.start_api(&DEAR).await;

    let before = activate(&dear.client, "a stranger's password").await;
    assert_eq!(activate(&dear.client, PASSWORD).await, (409, "already-active".into()));
    assert_eq!(costs_of(&stack, "users").await, "m=1024,t=2,p=1");
    assert_eq!(activate(&dear.client, "a stranger's password").await, before);

    let close = format!("UPDATE registrations SET closed_at = now() WHERE id = '{}'", stranger.registration());
    stack.database.execute(&close, &[]).await;
    assert_eq!(activate(&dear.client, PASSWORD).await, (409, "already-active".into()));
    assert_eq!(costs_of(&stack, "users").await, "m=2048,t=2,p=1");
}

/// Who goes away while waiting is not hashed for: it would only make the others wait.
#[tokio::test(flavor = "multi_thread")]
async fn who_goes_away_costs_no_hash() {
    let stack = Stack::without_broker().await;
    // So slow that all of them have gone before the second one's turn comes.
    let slow = [("HASH_THREADS", "1"), ("ARGON2_PASSES", "64"), ("REGISTRATIONS_PER_NETWORK_PER_HOUR", "0")];
    let client = stack.start_api(&slow).await.client.clone();
    let mut gone = Vec::new();
    for n in 0..25 {
        let body = json!({ "email": format!("gone{n}@example.com"), "password": PASSWORD }).to_string();
        let length = body.len();
        let head =
            format!("POST /v1/users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}");
        let mut stream = TcpStream::connect(client.base().trim_start_matches("http://")).await.unwrap();
        stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await.unwrap();
        gone.push(stream);
    }
    drop(gone);
    assert_eq!(client.register(ADA).await.status, 202);
    let hashed = stack.database.count("SELECT count(*) FROM registrations").await;
    assert!(hashed < 13, "{hashed} of 26 were hashed");
}
