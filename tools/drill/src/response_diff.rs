//! Differences between two responses that an attacker can observe. Ids, dates and lengths always differ and are masked.

use serde_json::Value;
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use super::response::Response;

/// Headers whose values are new each time or follow from the body.
const VARYING_HEADERS: [&str; 2] = ["date", "content-length"];

/// The time between two dates of a body, which must be equal in both responses although the dates differ.
struct Interval {
    from: &'static str,
    to: &'static str,
    tolerance: Duration,
}

const INTERVALS: [Interval; 2] = [
    // Before the second code is requested, the mail with the first one must have been sent, which takes a varying time.
    Interval { from: "requested_at", to: "resend_at", tolerance: Duration::seconds(20) },
    Interval { from: "sent_at", to: "expires_at", tolerance: Duration::ZERO },
];

/// Describes each difference between the responses to the same request.
pub(crate) fn differences(request: &str, first: &Response, second: &Response) -> Vec<String> {
    let (first_lines, second_lines) = (masked_lines(first), masked_lines(second));
    let only_in = |lines: &[String], others: &[String]| -> Vec<String> {
        lines.iter().filter(|line| !others.contains(line)).cloned().collect()
    };
    let removed = only_in(&first_lines, &second_lines);
    let added = only_in(&second_lines, &first_lines);
    let mut found = vec![];
    if !removed.is_empty() || !added.is_empty() {
        found.push(format!("{request}: {} became {}", removed.join(", "), added.join(", ")));
    }
    let (first, second) = (first.json(), second.json());
    for Interval { from, to, tolerance } in INTERVALS {
        if let (Some(first), Some(second)) = (interval(&first, from, to), interval(&second, from, to))
            && (first - second).abs() > tolerance
        {
            found.push(format!("{request}: {to} after {first} became after {second}"));
        }
    }
    found
}

/// Status, headers and body as sorted lines, with ids and dates replaced by placeholders.
fn masked_lines(response: &Response) -> Vec<String> {
    let body = response.json();
    let mut varying = vec![];
    collect_varying(&body, &mut varying);
    let mask = |text: &str| {
        let replace = |text: String, (value, placeholder): &(String, &str)| text.replace(value.as_str(), placeholder);
        varying.iter().fold(text.to_owned(), replace)
    };
    let mut lines = vec![format!("status {}", response.status)];
    for (name, value) in &response.headers {
        let value = match value.to_str() {
            _ if VARYING_HEADERS.contains(&name.as_str()) => "…".to_owned(),
            Ok(id) if Uuid::parse_str(id).is_ok() => "<id>".to_owned(),
            Ok(text) => mask(text),
            Err(_) => "?".to_owned(),
        };
        lines.push(format!("{name}: {value}"));
    }
    lines.push(mask(&response.text));
    lines.sort();
    lines
}

/// Collects every id and date in the body with its placeholder.
fn collect_varying(value: &Value, found: &mut Vec<(String, &'static str)>) {
    match value {
        Value::String(text) if Uuid::parse_str(text).is_ok() => found.push((text.clone(), "<id>")),
        Value::String(text) if date(text).is_some() => found.push((text.clone(), "<date>")),
        Value::Array(values) => values.iter().for_each(|value| collect_varying(value, found)),
        Value::Object(members) => members.values().for_each(|value| collect_varying(value, found)),
        _ => {}
    }
}

fn interval(body: &Value, from: &str, to: &str) -> Option<Duration> {
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

    fn response(status: u16, id: &str, body: &str) -> Response {
        let mut headers = HeaderMap::new();
        headers.insert("x-request-id", HeaderValue::from_str(id).unwrap());
        headers.insert("location", HeaderValue::from_str(&format!("/v1/registrations/{id}")).unwrap());
        headers.insert("content-length", HeaderValue::from(body.len()));
        Response { status, headers, text: body.replace("ID", id), ..Response::default() }
    }

    fn differ(first: &str, second: &str) -> bool {
        !differences("x", &response(202, ID, first), &response(202, OTHER_ID, second)).is_empty()
    }

    #[test]
    fn ids_and_dates_are_ignored() {
        let (one, other) = ("2026-11-21T12:00:00.5Z", "2026-11-22T12:00:00.25Z");
        let body = |date: &str| format!(r#"{{"registration":"ID","requested_at":"{date}","attempts_left":3}}"#);
        assert!(!differ(&body(one), &body(other)));
    }

    #[test]
    fn any_other_difference_is_found() {
        let body = r#"{"registration":"ID","attempts_left":3}"#;
        for other in [
            r#"{"attempts_left":3,"registration":"ID"}"#,
            r#"{"registration":"ID","attempts_left":2}"#,
            r#"{"registration":"ID", "attempts_left":3}"#,
            r#"{"registration":"none","attempts_left":3}"#,
        ] {
            assert!(differ(body, other), "{other}");
        }
        assert!(!differences("x", &response(202, ID, body), &response(200, ID, body)).is_empty());
        let mut with_header = response(202, ID, body);
        with_header.headers.insert("x-cache", HeaderValue::from_static("hit"));
        assert_eq!(differences("register", &response(202, ID, body), &with_header), ["register:  became x-cache: hit"]);
    }

    #[test]
    fn time_between_dates_is_compared() {
        let body = |time: &str| {
            let dates = format!(r#""requested_at":"2026-11-21T12:00:00Z","resend_at":"2026-11-21T12:{time}Z""#);
            format!(r#"{{"registration":"ID",{dates}}}"#)
        };
        assert!(differ(&body("01:00"), &body("59:00")));
        assert!(!differ(&body("01:00"), &body("01:09.9")), "a later mail is tolerated");
        let valid = |until: &str| body("01:00").replace("requested_at", "sent_at").replace("resend_at", until);
        let (one, other) = (valid("expires_at"), valid("expires_at").replace("01:00", "01:01"));
        assert!(differ(&one, &other) && !differ(&one, &one));
    }
}
