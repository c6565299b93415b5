//! What somebody who compares two answers sees of them: all but ids, dates and lengths, which always differ.

use serde_json::Value;
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use super::answer::Answer;

/// They are new each time, or follow from what is.
const FLEETING: [&str; 2] = ["date", "content-length"];

/// Dates differ, the times between them must not: from, to, and by how much they may.
///
/// Who asks for a second code has waited for the first one's mail, and mails take their time.
const PAUSES: [(&str, &str, Duration); 2] =
    [("requested_at", "resend_at", Duration::seconds(20)), ("sent_at", "expires_at", Duration::ZERO)];

/// What differs between two answers to the same question, in a few words each.
pub(crate) fn differences(what: &str, one: &Answer, other: &Answer) -> Vec<String> {
    let (lines, other_lines) = (shape(one), shape(other));
    let missing = |here: &[String], there: &[String]| -> Vec<String> {
        here.iter().filter(|line| !there.contains(line)).cloned().collect()
    };
    let (gone, new) = (missing(&lines, &other_lines), missing(&other_lines, &lines));
    let mut found = vec![];
    if !gone.is_empty() || !new.is_empty() {
        found.push(format!("{what}: {} became {}", gone.join(", "), new.join(", ")));
    }
    let (one, other) = (one.json(), other.json());
    for (from, to, slack) in PAUSES {
        if let (Some(one), Some(other)) = (pause(&one, from, to), pause(&other, from, to))
            && (one - other).abs() > slack
        {
            found.push(format!("{what}: {to} after {one} became after {other}"));
        }
    }
    found
}

fn shape(answer: &Answer) -> Vec<String> {
    let body = answer.json();
    let mut fleeting = vec![];
    collect(&body, &mut fleeting);
    let mask = |text: &str| {
        let blank = |text: String, (value, name): &(String, &str)| text.replace(value.as_str(), name);
        fleeting.iter().fold(text.to_owned(), blank)
    };
    let mut lines = vec![format!("status {}", answer.status)];
    for (name, value) in &answer.headers {
        let value = match value.to_str() {
            _ if FLEETING.contains(&name.as_str()) => "…".to_owned(),
            Ok(id) if Uuid::parse_str(id).is_ok() => "<id>".to_owned(),
            Ok(text) => mask(text),
            Err(_) => "?".to_owned(),
        };
        lines.push(format!("{name}: {value}"));
    }
    lines.push(mask(&answer.text));
    lines.sort();
    lines
}

/// Every id and date in the body, with the name that stands for it.
fn collect(value: &Value, found: &mut Vec<(String, &'static str)>) {
    match value {
        Value::String(text) if Uuid::parse_str(text).is_ok() => found.push((text.clone(), "<id>")),
        Value::String(text) if date(text).is_some() => found.push((text.clone(), "<date>")),
        Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
        Value::Object(members) => members.values().for_each(|value| collect(value, found)),
        _ => {}
    }
}

fn pause(body: &Value, from: &str, to: &str) -> Option<Duration> {
    let at = |name: &str| body[name].as_str().and_then(date);
    Some(at(to)? - at(from)?)
}

fn date(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::{HeaderMap, HeaderValue};

    const ID: &str = "01890000-0000-7000-8000-000000000001";
    const OTHER_ID: &str = "01890000-0000-7000-8000-000000000002";

    fn answer(status: u16, id: &str, body: &str) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert("x-request-id", HeaderValue::from_str(id).unwrap());
        headers.insert("location", HeaderValue::from_str(&format!("/v1/registrations/{id}")).unwrap());
        headers.insert("content-length", HeaderValue::from(body.len()));
        Answer { status, headers, text: body.replace("ID", id), ..Answer::default() }
    }

    fn differ(one: &str, other: &str) -> bool {
        !differences("x", &answer(202, ID, one), &answer(202, OTHER_ID, other)).is_empty()
    }

    #[test]
    fn ids_and_dates_are_no_difference() {
        let (one, other) = ("2026-11-21T12:00:00.5Z", "2026-11-22T12:00:00.25Z");
        let body = |date: &str| format!(r#"{{"registration":"ID","requested_at":"{date}","attempts_left":3}}"#);
        assert!(!differ(&body(one), &body(other)));
    }

    #[test]
    fn everything_else_is() {
        let body = r#"{"registration":"ID","attempts_left":3}"#;
        for other in [
            r#"{"attempts_left":3,"registration":"ID"}"#,
            r#"{"registration":"ID","attempts_left":2}"#,
            r#"{"registration":"ID", "attempts_left":3}"#,
            r#"{"registration":"none","attempts_left":3}"#,
        ] {
            assert!(differ(body, other), "{other}");
        }
        assert!(!differences("x", &answer(202, ID, body), &answer(200, ID, body)).is_empty());
        let mut more = answer(202, ID, body);
        more.headers.insert("x-cache", HeaderValue::from_static("hit"));
        assert_eq!(differences("register", &answer(202, ID, body), &more), ["register:  became x-cache: hit"]);
    }

    #[test]
    fn the_time_until_another_code_tells_as_much_as_a_date_and_is_compared() {
        let body = |time: &str| {
            let dates = format!(r#""requested_at":"2026-11-21T12:00:00Z","resend_at":"2026-11-21T12:{time}Z""#);
            format!(r#"{{"registration":"ID",{dates}}}"#)
        };
        assert!(differ(&body("01:00"), &body("59:00")));
        assert!(!differ(&body("01:00"), &body("01:09.9")), "a mail took longer");
        let valid = |until: &str| body("01:00").replace("requested_at", "sent_at").replace("resend_at", until);
        let (one, other) = (valid("expires_at"), valid("expires_at").replace("01:00", "01:01"));
        assert!(differ(&one, &other) && !differ(&one, &one));
    }
}
