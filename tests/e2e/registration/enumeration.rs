//! I-15: nobody learns from an answer whether an address is new, pending or active.

use std::collections::BTreeSet;

use serde_json::json;

use crate::registration::receipt_events::{Event, Stream};
use support::{client::Answer, stack::Stack};

const STRANGER: &str = "a stranger's password";

/// Everything about an answer but ids and dates.
pub(crate) fn shape(answer: &Answer) -> (u16, BTreeSet<String>, String) {
    let headers = answer.headers.keys().map(ToString::to_string).collect();
    let mut body = answer.json();
    for (name, value) in body.as_object_mut().unwrap() {
        if name.ends_with("_at") || ["registration", "receipt", "request_id"].contains(&name.as_str()) {
            *value = json!("…");
        }
    }
    (answer.status, headers, body.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn s_06_new_pending_and_active_addresses_answer_alike() {
    let stack = Stack::start_with(&[("RESEND_THROTTLE_SECONDS", "0")]).await;
    let (_, code) = stack.sign_up("active@example.com").await;
    assert_eq!(stack.client.activate("active@example.com", &code).await.status, 200);
    stack.sign_up("pending@example.com").await;

    let mut seen: Vec<Vec<_>> = Vec::new();
    for (email, mails) in [("new@example.com", 0), ("pending@example.com", 1), ("active@example.com", 2)] {
        let mut story = Vec::new();
        let registered = stack.client.register_with(email, STRANGER).await;
        story.push(shape(&registered));
        stack.mail_server.nth_mail_to(email, mails + 1).await;
        let receipt = stack.client.receipt_when(&registered.registration(), "sent").await;
        story.push((200, receipt.as_object().unwrap().keys().cloned().collect(), String::new()));
        // A guess that is wrong for all three: the receipt's owner never saw a code.
        let real = stack
            .mail_server
            .mails_to(email)
            .iter()
            .filter_map(|mail| std::panic::catch_unwind(|| mail.code()).ok())
            .collect::<Vec<_>>();
        let guess = (0..).map(|n| format!("{n:04}")).find(|guess| !real.contains(guess)).unwrap();
        for _ in 0..4 {
            story.push(shape(&stack.client.activate_with(email, STRANGER, &json!({ "code": guess })).await));
        }
        let unknown = stack.client.activate_with(email, "not even that", &json!({ "code": guess })).await;
        story.push(shape(&unknown));
        seen.push(story);
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], seen[2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn s_06_they_answer_alike_while_mail_cannot_be_delivered() {
    let stack = Stack::start().await;
    let (_, code) = stack.sign_up("active@example.com").await;
    assert_eq!(stack.client.activate("active@example.com", &code).await.status, 200);
    stack.mail_server.nth_mail_to("active@example.com", 2).await;
    for email in ["new@example.com", "active@example.com"] {
        stack.mail_server.script(
            email,
            [support::fake_smtp::behaviour::Behaviour::Reply {
                at: support::fake_smtp::behaviour::Stage::Rcpt,
                code: 550,
            }],
        );
        let registration = stack.client.register_with(email, STRANGER).await.registration();
        stack.client.receipt_when(&registration, "undeliverable").await;
        let answer = stack.client.activate_with(email, STRANGER, &json!({ "code": "0000" })).await;
        assert_eq!(answer.problem(), (410, "code-expired".into()));
    }
}

/// I-15: what is told as it happens is told alike, too.
#[tokio::test(flavor = "multi_thread")]
async fn s_06_their_timelines_are_watched_alike() {
    let mut stack = Stack::prepare(&[("RESEND_THROTTLE_SECONDS", "0")]).await;
    stack.client = stack.start_api(&[]).await.client.clone();
    let worker = stack.start_worker(&[]).await;
    stack.sign_up_and_activate("active@example.com").await;
    stack.sign_up("pending@example.com").await;
    worker.stop().await.unwrap();

    let mut watched = Vec::new();
    for email in ["new@example.com", "pending@example.com", "active@example.com"] {
        let registration = stack.client.register_with(email, STRANGER).await.registration();
        let stream = Stream::open(&stack.client, &registration).await;
        let headers: BTreeSet<_> = stream.response.headers().keys().map(ToString::to_string).collect();
        watched.push((email, stream, vec![format!("{headers:?}")]));
    }
    stack.start_worker(&[]).await;
    for (email, stream, story) in &mut watched {
        for status in ["queued", "sent"] {
            story.push(told(stream.until(status).await));
        }
        let mails = stack.mail_server.mails_to(email);
        let codes = mails.iter().map(|mail| mail.text.clone()).collect::<String>();
        let guess = (0..).map(|n| format!("{n:04}")).find(|guess| !codes.contains(guess)).unwrap();
        stack.client.activate_with(email, STRANGER, &json!({ "code": guess })).await;
        story.push(told(stream.next().await.unwrap()));
    }
    stack.database.age(61).await;
    for (_, stream, story) in &mut watched {
        story.push(told(stream.until("expired").await));
    }
    stack.database.age(2 * 86_400).await;
    for (_, stream, story) in &mut watched {
        story.push(told(stream.until("closed").await));
        assert!(stream.next().await.is_none());
    }
    assert_eq!(watched[0].2.len(), 6);
    assert_eq!(watched[0].2, watched[1].2);
    assert_eq!(watched[0].2, watched[2].2);
}

/// Everything about an event but ids and dates.
fn told(event: Event) -> String {
    let mut receipt = event.receipt;
    for (name, value) in receipt.as_object_mut().unwrap() {
        if name.ends_with("_at") || name == "registration" {
            *value = json!("…");
        }
    }
    receipt.to_string()
}
