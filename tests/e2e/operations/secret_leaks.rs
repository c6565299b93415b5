//! S-17: codes, passwords and tokens appear in no table, message or metric, in no encoding.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use lapin::options::BasicGetOptions;

use support::{client::send, scrape::Scrape, stack::Stack};

const ADA: &str = "ada.canary@example.com";
const PASSWORD: &str = "canary:horse battery";
const PASSWORD_AFTER_RESET: &str = "canary:another horse";
const PASSWORD_AFTER_CHANGE: &str = "canary:the last horse";

/// The secret in plain text, hex, URL encoding and base64. Base64 has three forms, by the offset of the secret in the
/// text.
pub(crate) fn spellings(secret: &str) -> [String; 6] {
    let hex = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let url = secret.replace(':', "%3A").replace(' ', "%20").replace('@', "%40");
    let base64 = |skipped: usize| {
        let rest = &secret.as_bytes()[skipped..];
        STANDARD.encode(&rest[..rest.len() / 3 * 3])
    };
    [secret.to_owned(), hex, url, base64(0), base64(1), base64(2)]
}

/// All rows of all tables as text, except of the tables in `without`.
pub(crate) async fn dump(stack: &Stack, without: &[&str]) -> String {
    let tables = "SELECT table_name::text FROM information_schema.tables WHERE table_schema = 'public'";
    let mut dump = String::new();
    for table in stack.database.client().query(tables, &[]).await.unwrap() {
        let table: String = table.get(0);
        if !without.contains(&table.as_str()) {
            let rows = stack.database.client().query(&format!("SELECT t::text FROM {table} t"), &[]).await.unwrap();
            rows.iter().for_each(|row| dump.push_str(&format!("{table}: {}\n", row.get::<_, &str>(0))));
        }
    }
    dump
}

#[tokio::test(flavor = "multi_thread")]
async fn s_17_database_broker_and_metrics_hold_no_secret() {
    let stack = Stack::prepare(&[("CODE_LENGTH", "10")]).await;
    let api = stack.start_api(&[]).await;
    let registration = api.client.register_with(ADA, PASSWORD).await.registration();
    let wrong = serde_json::json!({ "code": "0000000000" });
    api.client.activate_with(ADA, "canary, but wrong", &wrong).await;
    api.client.activate_with("unknown.canary@example.com", PASSWORD, &wrong).await;

    // Reads the queued message with its headers, and requeues it.
    stack.wait_for_queue_length(&stack.topology.codes.name, 1).await;
    let channel = stack.open_channel().await;
    let message =
        channel.basic_get(stack.topology.codes.name.as_str().into(), BasicGetOptions::default()).await.unwrap();
    let message = message.unwrap();
    let queued = format!("{} {:?}", String::from_utf8_lossy(&message.delivery.data), message.delivery.properties);
    message.delivery.nack(lapin::options::BasicNackOptions { requeue: true, ..Default::default() }).await.unwrap();
    let before = dump(&stack, &["registrations", "users"]).await;
    assert!(before.contains("codes: ") && before.contains("budgets: ") && before.contains("lockouts: "), "{before}");
    for text in [&queued, &before] {
        assert!(!text.to_lowercase().contains("canary"), "{text}");
    }

    let worker = stack.start_worker(&[]).await;
    let mail = stack.mail_server.mail_to(ADA).await;
    let code = mail.code();
    let link = crate::registration::not_me::not_me_path(&mail);
    api.client.wait_for_receipt(&registration, "sent").await;
    let right = serde_json::json!({ "code": code });
    assert_eq!(api.client.activate_with(ADA, PASSWORD, &right).await.status, 200);
    let token = api.client.login(ADA, PASSWORD).await.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(api.client.bearer("GET", "/v1/users/me", &token).await.status, 200);
    // Two more passwords: one set with a reset code, one by changing the former.
    stack.mail_server.nth_mail_to(ADA, 2).await;
    let receipt = api.client.request_reset(ADA).await.receipt();
    let reset_code = stack.mail_server.nth_mail_to(ADA, 3).await.code();
    api.client.wait_for_reset_receipt(&receipt, "sent").await;
    let between = dump(&stack, &[]).await;
    assert!(between.contains("sessions: "), "{between}");
    assert_eq!(api.client.reset_to(&receipt, &reset_code, PASSWORD_AFTER_RESET).await.status, 204);
    let second_token = api.client.login(ADA, PASSWORD_AFTER_RESET).await.json()["token"].as_str().unwrap().to_owned();
    let body = serde_json::json!({ "password": PASSWORD_AFTER_RESET, "new_password": PASSWORD_AFTER_CHANGE });
    let change = api.client.request("POST", "/v1/users/me/password").bearer_auth(&second_token).json(&body);
    assert_eq!(send(change).await.status, 204);
    let after = dump(&stack, &[]).await;
    let tables = ["sessions: ", "resets: ", "password_changes: "];
    assert!(tables.iter().all(|table| after.contains(table)), "{after}");
    // The decoded token, too, as the database would print it.
    let token_bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
    let token_hex: String = token_bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let link_token = link.trim_start_matches("/not-me/");
    let metrics = Scrape::of(&api.ops).await.text + Scrape::of(&worker.ops).await.text.as_str();
    let mailed = [code.as_str(), &reset_code, link_token, &link_token[22..]];
    let others = [PASSWORD, PASSWORD_AFTER_RESET, PASSWORD_AFTER_CHANGE, &token, &token_hex, &second_token];
    for secret in mailed.into_iter().chain(others).flat_map(spellings) {
        for text in [&queued, &before, &between, &after, &metrics] {
            assert!(!text.contains(&secret), "{secret} in {text}");
        }
    }
}
