//! S-17: what is secret stands nowhere but where it must, in no spelling.

use base64::{Engine, engine::general_purpose::STANDARD};
use lapin::options::BasicGetOptions;

use crate::stack::Stack;

const ADA: &str = "ada.canary@example.com";
const PASSWORD: &str = "canary:horse battery";

/// As it is, and as programs like to write it: base64 has three forms, by where in a text it begins.
fn spellings(secret: &str) -> [String; 6] {
    let hex = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let url = secret.replace(':', "%3A").replace(' ', "%20").replace('@', "%40");
    let base64 = |skipped: usize| {
        let rest = &secret.as_bytes()[skipped..];
        STANDARD.encode(&rest[..rest.len() / 3 * 3])
    };
    [secret.to_owned(), hex, url, base64(0), base64(1), base64(2)]
}

/// All rows of all tables but these, as text.
async fn dump(stack: &Stack, without: &[&str]) -> String {
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
async fn s_17_neither_the_database_nor_the_broker_holds_a_code_a_password_or_a_needless_address() {
    let stack = Stack::prepare(&[("CODE_LENGTH", "10")]).await;
    let api = stack.start_api(&[]).await;
    let registration = api.client.register_with(ADA, PASSWORD).await.registration();
    let wrong = serde_json::json!({ "code": "0000000000" });
    api.client.activate_with(ADA, "canary, but wrong", &wrong).await;
    api.client.activate_with("nobody.canary@example.com", PASSWORD, &wrong).await;

    // The message as it lies in the queue, headers and all; unacknowledged, it goes back.
    stack.queue_holds(&stack.topology.queue, 1).await;
    let channel = stack.amqp().await;
    let message = channel.basic_get(stack.topology.queue.as_str().into(), BasicGetOptions::default()).await.unwrap();
    let message = message.unwrap();
    let queued = format!("{} {:?}", String::from_utf8_lossy(&message.delivery.data), message.delivery.properties);
    message.delivery.nack(lapin::options::BasicNackOptions { requeue: true, ..Default::default() }).await.unwrap();
    let before = dump(&stack, &["registrations", "users"]).await;
    assert!(before.contains("codes: ") && before.contains("budgets: ") && before.contains("lockouts: "), "{before}");
    for text in [&queued, &before] {
        assert!(!text.to_lowercase().contains("canary"), "{text}");
    }

    stack.start_worker(&[]).await;
    let code = stack.sink.mail_to(ADA).await.code();
    api.client.receipt_when(&registration, "sent").await;
    let right = serde_json::json!({ "code": code });
    assert_eq!(api.client.activate_with(ADA, PASSWORD, &right).await.status, 200);
    let after = dump(&stack, &[]).await;
    for secret in [code.as_str(), PASSWORD].into_iter().flat_map(spellings) {
        for text in [&queued, &before, &after] {
            assert!(!text.contains(&secret), "{secret} in {text}");
        }
    }
}
