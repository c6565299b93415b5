//! What a mail looks like to those who read the inbox: the JSON of MailDev, so that scripts for one serve the other.

use std::{panic::catch_unwind, path::PathBuf};

use mail_parser::{Address, Message, MessageParser, MessagePart, PartType, parsers::MessageStream};
use serde::Serialize;
use serde_json::{Map, Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use super::{
    Seen,
    envelope::{Envelope, arrival},
};

const CONTENT_TYPE: &[u8] = b"Content-Type";
const MAX_PARTS: usize = 200;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Mail {
    id: Uuid,
    time: String,
    from: Vec<Person>,
    to: Vec<Person>,
    subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) html: Option<String>,
    headers: Map<String, Value>,
    message_id: String,
    date: Option<String>,
    read: bool,
    priority: &'static str,
    envelope: Value,
    source: PathBuf,
    size: usize,
    size_human: String,
    /// Always empty: this service attaches nothing, and who wants to see an attachment has the source.
    attachments: [(); 0],
}

#[derive(Serialize)]
struct Person {
    address: String,
    name: String,
}

impl Mail {
    /// Whatever the file holds, it is shown as well as it can be. Some broken messages make the parser panic
    /// in a debug build; one of them must not hide the other mails.
    pub(super) fn parse(id: Uuid, seen: Seen, path: PathBuf, file: &[u8]) -> Mail {
        let (envelope, source) = Envelope::split_from(file);
        let mail = catch_unwind(|| Mail::about(whole(source), source))
            .or_else(|_| catch_unwind(|| Mail::about(headers_only(source), source)))
            .unwrap_or_else(|_| Mail::about(None, source));
        Mail { id, time: rfc3339(arrival(id)), read: seen.0, envelope: shown(&envelope), source: path, ..mail }
    }

    fn about(message: Option<Message<'_>>, source: &[u8]) -> Mail {
        // A message without any part would panic when it is asked.
        let nothing = || Message { parts: vec![MessagePart::default()], ..Message::default() };
        let message = &message.unwrap_or_else(nothing);
        Mail {
            id: Uuid::nil(),
            time: String::new(),
            from: people(message.from()),
            to: people(message.to()),
            subject: message.subject().unwrap_or_default().to_owned(),
            text: text(message),
            html: html(message),
            headers: headers(message, source),
            message_id: message.message_id().unwrap_or_default().to_owned(),
            date: message.date().map(|date| rfc3339_of_seconds(date.to_timestamp())),
            read: false,
            priority: "normal",
            envelope: Value::Null,
            source: PathBuf::new(),
            size: source.len(),
            size_human: in_words(source.len()),
            attachments: [],
        }
    }
}

/// Messages within messages are freed by recursion, and each level needs a header that says so: thousands of
/// them would overflow the stack, which ends the process.
fn whole(source: &[u8]) -> Option<Message<'_>> {
    let parts = source.windows(CONTENT_TYPE.len()).filter(|name| name.eq_ignore_ascii_case(CONTENT_TYPE)).count();
    if parts <= MAX_PARTS { MessageParser::default().parse(source) } else { headers_only(source) }
}

fn headers_only(source: &[u8]) -> Option<Message<'_>> {
    MessageParser::default().parse_headers(source)
}

fn shown(envelope: &Envelope) -> Value {
    let address = |address: &String| json!({ "address": address, "args": false });
    json!({
        "from": address(&envelope.from),
        "to": envelope.to.iter().map(address).collect::<Vec<_>>(),
        "host": envelope.host,
        "remoteAddress": envelope.remote_address,
    })
}

fn people(list: Option<&Address<'_>>) -> Vec<Person> {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let people = list.into_iter().flat_map(Address::iter);
    people.map(|one| Person { address: text(one.address()), name: text(one.name()) }).collect()
}

/// The line ends are those of scripts, not those of SMTP.
fn text(message: &Message<'_>) -> Option<String> {
    let texts = message.text_bodies().filter_map(|part| match &part.body {
        PartType::Text(text) => Some(text.replace("\r\n", "\n")),
        _ => None,
    });
    texts.reduce(|all, more| all + "\n" + more.as_str())
}

fn html(message: &Message<'_>) -> Option<String> {
    message.html_bodies().find_map(|part| match &part.body {
        PartType::Html(html) => Some(html.replace("\r\n", "\n")),
        _ => None,
    })
}

/// A header that is there more than once has a list of values.
fn headers(message: &Message<'_>, source: &[u8]) -> Map<String, Value> {
    let mut headers = Map::new();
    for header in message.headers() {
        let raw = source.get(header.offset_start() as usize..header.offset_end() as usize).unwrap_or_default();
        let value = Value::from(MessageStream::new(raw).parse_unstructured().as_text().unwrap_or_default());
        match headers.entry(header.name().to_ascii_lowercase()).or_insert(Value::Null) {
            Value::Array(values) => values.push(value),
            nothing @ Value::Null => *nothing = value,
            first => *first = Value::Array(vec![first.take(), value]),
        }
    }
    headers
}

fn rfc3339(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).unwrap_or_default()
}

fn rfc3339_of_seconds(seconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(seconds).map(rfc3339).unwrap_or_default()
}

/// `532 Bytes`, `1.5 KB`, as MailDev says it.
fn in_words(bytes: usize) -> String {
    let units = ["Bytes", "KB", "MB"];
    let (mut size, mut unit) = (bytes as f64, 0);
    while size >= 1024.0 && unit + 1 < units.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{} {}", (size * 100.0).round() / 100.0, units[unit])
}

#[cfg(test)]
mod tests;
