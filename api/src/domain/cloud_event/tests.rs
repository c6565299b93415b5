//! Published events match docs/EVENTS.md.

use time::macros::datetime;

use super::*;

const DOCUMENT: &str = include_str!("../../../../docs/EVENTS.md");
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn id(text: &str) -> Uuid {
    text.parse().unwrap()
}

fn example(id_text: &str, kind: EventKind, email: Option<&EmailAddress>) -> Event {
    let at = datetime!(2026-11-21 15:04:05.123456 UTC);
    let context = EventContext { source: "https://accounts.example.com", at, traceparent: TRACE, email };
    Event::new(id(id_text), kind, &context)
}

/// The examples of the document: what is between "```json" and "```".
fn documented_examples() -> Vec<Value> {
    let blocks = DOCUMENT.split("```json\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.map(|block| serde_json::from_str(block).unwrap()).collect()
}

#[test]
fn published_events_match_the_documented_examples() {
    let registration = id("9b2f7a1e-6d3c-4f7b-8a51-2c9d0e4b6f13");
    let user = id("5e0c4d2a-93b8-4a6e-b1f7-7d8a1c3e5f90");
    let events = [
        example("0d9c8b7a-1f2e-4d3c-9b5a-6e7f8091a2b3", EventKind::Registered { registration }, None),
        example("1e8d7c6b-2a3f-4e4d-8c6b-7f8091a2b3c4", EventKind::Activated { user, registration }, None),
        example("2f7e6d5c-3b40-4f5e-9d7c-8091a2b3c4d5", EventKind::PasswordChanged { user }, None),
        example("308f7e6d-4c51-406f-8e8d-91a2b3c4d5e6", EventKind::Deleted { user }, None),
    ];
    assert_eq!(documented_examples(), events.map(|event| event.body));
}

#[test]
fn deleted_event_never_contains_the_email_address() {
    let email = EmailAddress::parse("ada@example.com").unwrap();
    let user = Uuid::from_u128(7);
    for (kind, expected) in [
        (EventKind::Registered { registration: user }, true),
        (EventKind::Activated { user, registration: user }, true),
        (EventKind::PasswordChanged { user }, true),
        (EventKind::Deleted { user }, false),
    ] {
        let [with_email, without_email] =
            [Some(&email), None].map(|email| example(&user.to_string(), kind, email).body);
        assert_eq!(with_email["data"]["email"] == "ada@example.com", expected, "{with_email}");
        assert!(!without_email.to_string().contains("ada"), "{without_email}");
    }
}

#[test]
fn stored_event_is_read_with_any_type() {
    let event = example(&Uuid::from_u128(1).to_string(), EventKind::Deleted { user: Uuid::from_u128(2) }, None);
    let read = |body: Value| Event::read(event.id, body, event.traceparent.clone(), Duration::ZERO);
    assert_eq!(read(event.body.clone()), Ok(event.clone()));
    let with = |name: &str, value: Value| {
        let mut body = event.body.clone();
        body[name] = value;
        read(body)
    };
    assert_eq!(with("type", "user.renamed".into()).unwrap().kind, "user.renamed");
    assert_eq!(with("specversion", "2.0".into()), Err("a version of CloudEvents this relay does not know"));
    for kind in [json!(null), json!(""), json!(7), json!("x".repeat(256))] {
        assert_eq!(with("type", kind), Err("an event without a type"));
    }
}

#[test]
fn back_off_grows_with_the_age_of_the_event() {
    let user = Uuid::from_u128(1);
    let event = example(&user.to_string(), EventKind::Deleted { user }, None);
    for (age, back_off) in [(0, 30), (300, 30), (310, 31), (3_600, 360), (36_000, 3_600), (10 * 86_400, 3_600)] {
        let event = Event { age: Duration::from_secs(age), ..event.clone() };
        assert_eq!(event.back_off(), Duration::from_secs(back_off), "after {age} s");
    }
}

#[test]
fn debug_output_contains_no_email_address() {
    let email = EmailAddress::parse("ada@example.com").unwrap();
    let user = Uuid::from_u128(7);
    let printed = format!("{:?}", example(&user.to_string(), EventKind::PasswordChanged { user }, Some(&email)));
    assert_eq!(printed, format!("Event {{ id: {user}, kind: \"user.password_changed\", .. }}"));
}
