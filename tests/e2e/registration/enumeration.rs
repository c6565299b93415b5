//! Account enumeration (I-15, S-06): responses do not reveal whether an email address is new, pending or active.

use std::collections::BTreeSet;

use serde_json::json;

use crate::registration::receipt_events::{Event, Stream};
use support::{
    client::Answer,
    fake_smtp::behaviour::{Behaviour, Stage},
    stack::Stack,
};

const ATTACKERS_PASSWORD: &str = "an attacker's password";

/// Status, header names and body of an answer, with ids and dates masked, so that answers can be compared.
pub(crate) fn without_ids_and_dates(answer: &Answer) -> (u16, BTreeSet<String>, String) {
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
async fn s_06_new_pending_and_active_addresses_respond_alike() {
    let stack = Stack::start_with(&[("RESEND_THROTTLE_SECONDS", "0")]).await;
    let (_, code) = stack.sign_up("active@example.com").await;
    assert_eq!(stack.client.activate("active@example.com", &code).await.status, 200);
    stack.sign_up("pending@example.com").await;

    let mut responses_by_address: Vec<Vec<_>> = Vec::new();
    for (email, mails) in [("new@example.com", 0), ("pending@example.com", 1), ("active@example.com", 2)] {
        let mut responses = Vec::new();
        let registered = stack.client.register_with(email, ATTACKERS_PASSWORD).await;
        responses.push(without_ids_and_dates(&registered));
        stack.mail_server.nth_mail_to(email, mails + 1).await;
        let receipt = stack.client.wait_for_receipt(&registered.registration(), "sent").await;
        responses.push((200, receipt.as_object().unwrap().keys().cloned().collect(), String::new()));
        // A guess that is wrong at all three email addresses: the attacker cannot read the mails.
        let real_codes = stack
            .mail_server
            .mails_to(email)
            .iter()
            .filter_map(|mail| std::panic::catch_unwind(|| mail.code()).ok())
            .collect::<Vec<_>>();
        let guess = (0..).map(|n| format!("{n:04}")).find(|guess| !real_codes.contains(guess)).unwrap();
        for _ in 0..4 {
            responses.push(without_ids_and_dates(
                &stack.client.activate_with(email, ATTACKERS_PASSWORD, &json!({ "code": guess })).await,
            ));
        }
        let wrong_password =
            stack.client.activate_with(email, "another password still", &json!({ "code": guess })).await;
        responses.push(without_ids_and_dates(&wrong_password));
        responses_by_address.push(responses);
    }
    assert_eq!(responses_by_address[0], responses_by_address[1]);
    assert_eq!(responses_by_address[0], responses_by_address[2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn s_06_responses_are_alike_while_mail_is_undeliverable() {
    let stack = Stack::start().await;
    let (_, code) = stack.sign_up("active@example.com").await;
    assert_eq!(stack.client.activate("active@example.com", &code).await.status, 200);
    stack.mail_server.nth_mail_to("active@example.com", 2).await;
    for email in ["new@example.com", "active@example.com"] {
        stack.mail_server.script(email, [Behaviour::Reply { at: Stage::Rcpt, code: 550 }]);
        let registration = stack.client.register_with(email, ATTACKERS_PASSWORD).await.registration();
        stack.client.wait_for_receipt(&registration, "undeliverable").await;
        let answer = stack.client.activate_with(email, ATTACKERS_PASSWORD, &json!({ "code": "0000" })).await;
        assert_eq!(answer.problem(), (410, "code-expired".into()));
    }
}

/// The event stream of one email address, and what it reported so far.
struct Watched {
    email: &'static str,
    stream: Stream,
    events: Vec<String>,
}

/// I-15: server-sent events are equal for new, pending and active email addresses, too.
#[tokio::test(flavor = "multi_thread")]
async fn s_06_receipt_events_are_alike_for_all_addresses() {
    let mut stack = Stack::prepare(&[("RESEND_THROTTLE_SECONDS", "0")]).await;
    stack.client = stack.start_api(&[]).await.client.clone();
    let worker = stack.start_worker(&[]).await;
    stack.sign_up_and_activate("active@example.com").await;
    stack.sign_up("pending@example.com").await;
    worker.stop().await.unwrap();

    let mut watched = Vec::new();
    for email in ["new@example.com", "pending@example.com", "active@example.com"] {
        let registration = stack.client.register_with(email, ATTACKERS_PASSWORD).await.registration();
        let stream = Stream::open(&stack.client, &registration).await;
        let headers: BTreeSet<_> = stream.response.headers().keys().map(ToString::to_string).collect();
        watched.push(Watched { email, stream, events: vec![format!("{headers:?}")] });
    }
    stack.start_worker(&[]).await;
    for Watched { email, stream, events } in &mut watched {
        for status in ["queued", "sent"] {
            events.push(masked_receipt(stream.until(status).await));
        }
        let mails = stack.mail_server.mails_to(email);
        let texts = mails.iter().map(|mail| mail.text.clone()).collect::<String>();
        let guess = (0..).map(|n| format!("{n:04}")).find(|guess| !texts.contains(guess)).unwrap();
        stack.client.activate_with(email, ATTACKERS_PASSWORD, &json!({ "code": guess })).await;
        events.push(masked_receipt(stream.next().await.unwrap()));
    }
    stack.database.age(61).await;
    for Watched { stream, events, .. } in &mut watched {
        events.push(masked_receipt(stream.until("expired").await));
    }
    stack.database.age(2 * 86_400).await;
    for Watched { stream, events, .. } in &mut watched {
        events.push(masked_receipt(stream.until("closed").await));
        assert!(stream.next().await.is_none());
    }
    assert_eq!(watched[0].events.len(), 6);
    assert_eq!(watched[0].events, watched[1].events);
    assert_eq!(watched[0].events, watched[2].events);
}

/// The receipt of an event, with ids and dates masked.
fn masked_receipt(event: Event) -> String {
    let mut receipt = event.receipt;
    for (name, value) in receipt.as_object_mut().unwrap() {
        if name.ends_with("_at") || name == "registration" {
            *value = json!("…");
        }
    }
    receipt.to_string()
}
