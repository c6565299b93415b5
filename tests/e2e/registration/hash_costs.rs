//! Password hashes with other Argon2 parameters than the configured ones: they stay valid and are rehashed when the
//! correct password is given. Abandoned requests are not hashed.

use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use support::{
    client::{Client, PASSWORD},
    stack::Stack,
};

const ADA: &str = "ada@example.com";
const CHEAP: [(&str, &str); 1] = [("ARGON2_MEMORY_KIB", "1024")];
/// With the other engine, so that each verifies hashes of the other.
const EXPENSIVE: [(&str, &str); 2] = [("ARGON2_MEMORY_KIB", "2048"), ("PASSWORD_ENGINE", "fast")];

/// The Argon2 parameters of the only hash in the table.
async fn hash_parameters(stack: &Stack, table: &str) -> String {
    let row = stack.database.client().query_one(&format!("SELECT password_hash FROM {table}"), &[]).await.unwrap();
    let hash: String = row.get(0);
    hash.split('$').nth(3).unwrap().to_owned()
}

/// Status and slug of an activation with a wrong code.
async fn activate_with_wrong_code(client: &Client, password: &str) -> (u16, String) {
    client.activate_with(ADA, password, &json!({ "code": "0000" })).await.problem()
}

#[tokio::test(flavor = "multi_thread")]
async fn correct_password_rehashes_with_current_parameters() {
    let mut stack = Stack::prepare(&[]).await;
    let cheap = stack.start_api(&CHEAP).await;
    stack.start_worker(&[]).await;
    stack.client = cheap.client.clone();
    let (_, code) = stack.sign_up(ADA).await;
    assert_eq!(hash_parameters(&stack, "registrations").await, "m=1024,t=2,p=1");

    let expensive = stack.start_api(&EXPENSIVE).await;
    assert_eq!(expensive.client.activate(ADA, &code).await.status, 200, "a hash with other parameters is valid");
    assert_eq!(hash_parameters(&stack, "users").await, "m=1024,t=2,p=1");
    assert_eq!(activate_with_wrong_code(&expensive.client, "not her password").await, (401, "unauthenticated".into()));
    assert_eq!(hash_parameters(&stack, "users").await, "m=1024,t=2,p=1", "a wrong password does not rehash");
    assert_eq!(activate_with_wrong_code(&expensive.client, PASSWORD).await, (409, "already-active".into()));
    assert_eq!(hash_parameters(&stack, "users").await, "m=2048,t=2,p=1");
    assert_eq!(cheap.client.login(ADA, PASSWORD).await.status, 200);
    assert_eq!(hash_parameters(&stack, "users").await, "m=1024,t=2,p=1", "a login rehashes, too");
    for client in [&expensive.client, &cheap.client] {
        assert_eq!(activate_with_wrong_code(client, "not her password").await, (401, "unauthenticated".into()));
        assert_eq!(activate_with_wrong_code(client, PASSWORD).await, (409, "already-active".into()));
    }
}

/// I-15: all hashes of an email address have the same parameters. Otherwise an attacker who registered the email
/// address would see his own password rejected after the owner's rehash, and so learn that the email address has an
/// account.
#[tokio::test(flavor = "multi_thread")]
async fn no_rehash_while_the_address_has_open_registrations() {
    let mut stack = Stack::prepare(&[]).await;
    stack.client = stack.start_api(&CHEAP).await.client.clone();
    stack.start_worker(&[]).await;
    let (_, code) = stack.sign_up(ADA).await;
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
    let attackers = stack.client.register_with(ADA, "an attacker's password").await;
    let expensive = stack.start_api(&EXPENSIVE).await;

    let before = activate_with_wrong_code(&expensive.client, "an attacker's password").await;
    assert_eq!(activate_with_wrong_code(&expensive.client, PASSWORD).await, (409, "already-active".into()));
    assert_eq!(hash_parameters(&stack, "users").await, "m=1024,t=2,p=1");
    assert_eq!(activate_with_wrong_code(&expensive.client, "an attacker's password").await, before);

    let close = format!("UPDATE registrations SET closed_at = now() WHERE id = '{}'", attackers.registration());
    stack.database.execute(&close, &[]).await;
    assert_eq!(activate_with_wrong_code(&expensive.client, PASSWORD).await, (409, "already-active".into()));
    assert_eq!(hash_parameters(&stack, "users").await, "m=2048,t=2,p=1");
}

/// A request whose client disconnected while it was queued is not hashed: it would only delay the others.
#[tokio::test(flavor = "multi_thread")]
async fn disconnected_clients_cost_no_hash() {
    let stack = Stack::without_broker().await;
    // So slow that all clients have disconnected before the second hash begins.
    let slow = [("HASH_THREADS", "1"), ("ARGON2_PASSES", "64"), ("REGISTRATIONS_PER_NETWORK_PER_HOUR", "0")];
    let client = stack.start_api(&slow).await.client.clone();
    let mut connections = Vec::new();
    for n in 0..25 {
        let body = json!({ "email": format!("client{n}@example.com"), "password": PASSWORD }).to_string();
        let length = body.len();
        let head =
            format!("POST /v1/users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {length}");
        let mut stream = TcpStream::connect(client.base().trim_start_matches("http://")).await.unwrap();
        stream.write_all(format!("{head}\r\n\r\n{body}").as_bytes()).await.unwrap();
        connections.push(stream);
    }
    drop(connections);
    assert_eq!(client.register(ADA).await.status, 202);
    let hashed = stack.database.count("SELECT count(*) FROM registrations").await;
    assert!(hashed < 13, "{hashed} of 26 were hashed");
}
