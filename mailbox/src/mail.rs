//! A stored mail as JSON in MailDev's format, so that a script written for MailDev works with this inbox.

use std::{panic::catch_unwind, path::PathBuf};

use mail_parser::{Address, Message, MessageParser, MessagePart, PartType, parsers::MessageStream};
use serde::Serialize;
use serde_json::{Map, Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use uuid::Uuid;

use super::{
    ReadStatus,
    envelope::{Envelope, arrival_time},
};

const CONTENT_TYPE: &[u8] = b"Content-Type";
/// Messages with more `Content-Type` headers than this are not parsed beyond their own headers.
const MAX_PARTS: usize = 200;

/// One mail, as the REST calls return it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Mail {
    id: Uuid,
    time: String,
    from: Vec<Mailbox>,
    to: Vec<Mailbox>,
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
    /// Always empty: Vestibule sends no attachments, and those of other mails are visible in the source.
    attachments: [(); 0],
}

/// An email address with its display name.
#[derive(Serialize)]
struct Mailbox {
    address: String,
    name: String,
}

impl Mail {
    /// Parses a stored file; never fails. A message that cannot be parsed is reduced to its headers, then to its size.
    ///
    /// Some malformed messages make the parser panic in a debug build; the panic is caught so that one such mail does
    /// not hide the others.
    pub(super) fn parse(id: Uuid, status: ReadStatus, path: PathBuf, file: &[u8]) -> Mail {
        let (envelope, source) = Envelope::split_from(file);
        let mail = catch_unwind(|| Mail::from_message(parse_message(source), source))
            .or_else(|_| catch_unwind(|| Mail::from_message(parse_headers(source), source)))
            .unwrap_or_else(|_| Mail::from_message(None, source));
        Mail {
            id,
            time: rfc3339(arrival_time(id)),
            read: status == ReadStatus::Read,
            envelope: envelope_json(&envelope),
            source: path,
            ..mail
        }
    }

    /// The members that come from the message. The caller fills in those that come from the file and its envelope.
    fn from_message(message: Option<Message<'_>>, source: &[u8]) -> Mail {
        // The accessors of a message without any part panic.
        let empty = || Message { parts: vec![MessagePart::default()], ..Message::default() };
        let message = &message.unwrap_or_else(empty);
        Mail {
            id: Uuid::nil(),
            time: String::new(),
            from: mailboxes(message.from()),
            to: mailboxes(message.to()),
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
            size_human: human_size(source.len()),
            attachments: [],
        }
    }
}

/// Parses the whole message, or only its headers if it has more than [`MAX_PARTS`] content types.
///
/// The parser frees nested messages by recursion: thousands of levels would overflow the stack and abort the process.
/// Each level needs a `Content-Type` header, so the number of these headers bounds the depth.
fn parse_message(source: &[u8]) -> Option<Message<'_>> {
    let parts = source.windows(CONTENT_TYPE.len()).filter(|name| name.eq_ignore_ascii_case(CONTENT_TYPE)).count();
    if parts <= MAX_PARTS { MessageParser::default().parse(source) } else { parse_headers(source) }
}

fn parse_headers(source: &[u8]) -> Option<Message<'_>> {
    MessageParser::default().parse_headers(source)
}

fn envelope_json(envelope: &Envelope) -> Value {
    let address = |address: &String| json!({ "address": address, "args": false });
    json!({
        "from": address(&envelope.from),
        "to": envelope.to.iter().map(address).collect::<Vec<_>>(),
        "host": envelope.host,
        "remoteAddress": envelope.remote_address,
    })
}

fn mailboxes(list: Option<&Address<'_>>) -> Vec<Mailbox> {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let addresses = list.into_iter().flat_map(Address::iter);
    addresses.map(|address| Mailbox { address: text(address.address()), name: text(address.name()) }).collect()
}

/// The text parts, joined. Line ends are LF, which scripts expect, instead of CRLF.
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

/// The headers by lower-case name. A repeated header has a list of values.
fn headers(message: &Message<'_>, source: &[u8]) -> Map<String, Value> {
    let mut headers = Map::new();
    for header in message.headers() {
        let raw = source.get(header.offset_start() as usize..header.offset_end() as usize).unwrap_or_default();
        let value = Value::from(MessageStream::new(raw).parse_unstructured().as_text().unwrap_or_default());
        match headers.entry(header.name().to_ascii_lowercase()).or_insert(Value::Null) {
            Value::Array(values) => values.push(value),
            empty @ Value::Null => *empty = value,
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

/// A size in MailDev's format: `532 Bytes`, `1.5 KB`.
fn human_size(bytes: usize) -> String {
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
