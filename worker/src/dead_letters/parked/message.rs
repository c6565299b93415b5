//! A parked message as the operator sees it: ID, reason, properties, headers and body.

use std::fmt;

use lapin::{
    BasicProperties,
    message::Delivery,
    types::{AMQPValue, FieldTable},
};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::{
    dead_letters::output::{escape_unprintable, format_time},
    message_headers::{PARKED_AT, PARKED_REASON},
};

const MAX_ID_BYTES: usize = 64;

/// The prefix of an ID that is derived from the body.
const DERIVED_ID_PREFIX: &str = "body-";

/// A parked message.
pub(crate) struct ParkedMessage {
    pub(crate) summary: Summary,
    body: Vec<u8>,
    properties: Map<String, Value>,
    headers: Map<String, Value>,
}

/// One row of `worker parked list`.
pub(crate) struct Summary {
    /// The `message_id` property, or the ID derived from the body. Any publisher can reuse the ID of another message:
    /// an ambiguous one is replaced by `id_by_body`.
    pub(crate) id: String,
    /// An ID derived from the body.
    pub(crate) id_by_body: String,
    pub(crate) reason: String,
    pub(crate) parked_at: Option<String>,
    pub(crate) bytes: usize,
}

impl Summary {
    /// One row of the list as JSON.
    pub(crate) fn to_json(&self) -> Value {
        json!({ "id": self.id, "why": self.reason, "since": self.parked_at, "bytes": self.bytes })
    }

    /// When the message was parked, or "unknown".
    pub(crate) fn parked_at(&self) -> &str {
        self.parked_at.as_deref().unwrap_or("unknown")
    }
}

impl ParkedMessage {
    /// Parses a delivery from the parked queue.
    pub(crate) fn from_delivery(delivery: &Delivery) -> Self {
        let no_headers = FieldTable::default();
        let headers = delivery.properties.headers().as_ref().unwrap_or(&no_headers);
        let id_by_body = id_by_body(&delivery.data);
        let summary = Summary {
            id: usable_message_id(&delivery.properties).unwrap_or(&id_by_body).to_owned(),
            id_by_body,
            reason: reason(headers),
            parked_at: parked_at(headers).map(format_time),
            bytes: delivery.data.len(),
        };
        Self {
            summary,
            body: delivery.data.clone(),
            properties: properties_to_json(&delivery.properties),
            headers: table_to_json(headers),
        }
    }

    /// The complete message as JSON.
    pub(crate) fn to_json(&self) -> Value {
        let mut document = self.summary.to_json();
        let text = std::str::from_utf8(&self.body);
        document["properties"] = self.properties.clone().into();
        document["headers"] = self.headers.clone().into();
        document["body_is_text"] = text.is_ok().into();
        document["body"] = text.map_or_else(|_| self.body.escape_ascii().to_string(), str::to_owned).into();
        document
    }
}

/// Formats the complete message as text, with unprintable characters escaped.
impl fmt::Display for ParkedMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let summary = &self.summary;
        let reason = escape_unprintable(&summary.reason);
        writeln!(f, "id     {}\nwhy    {reason}\nsince  {}", summary.id, summary.parked_at())?;
        for (title, fields) in [("properties", &self.properties), ("headers", &self.headers)] {
            writeln!(f, "{title}")?;
            for (name, value) in fields {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                writeln!(f, "    {}: {}", escape_unprintable(name), escape_unprintable(&value))?;
            }
        }
        writeln!(f, "body   {} bytes", summary.bytes)?;
        match std::str::from_utf8(&self.body) {
            Ok(text) => text.lines().try_for_each(|line| writeln!(f, "    {}", escape_unprintable(line))),
            Err(_) => writeln!(f, "    {}", self.body.escape_ascii()),
        }
    }
}

/// Returns the `message_id` property if the operator can type it without quoting and it has no other meaning on the
/// command line.
fn usable_message_id(properties: &BasicProperties) -> Option<&str> {
    let id = properties.message_id().as_ref()?.as_str();
    let is_plain = (1..=MAX_ID_BYTES).contains(&id.len())
        && id.starts_with(|first: char| first.is_ascii_alphanumeric())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte));
    (is_plain && id != "all" && !id.starts_with(DERIVED_ID_PREFIX)).then_some(id)
}

fn id_by_body(body: &[u8]) -> String {
    let digest: String = Sha256::digest(body).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{DERIVED_ID_PREFIX}{digest}")
}

/// Why the message was parked: the worker writes its reason into a header; the broker has headers of its own for the
/// messages that it dead-lettered.
fn reason(headers: &FieldTable) -> String {
    let header =
        |name: &str| headers.inner().get(name).map(value_to_json).and_then(|value| value.as_str().map(str::to_owned));
    match (header(PARKED_REASON), header("x-first-death-reason")) {
        (Some(reason), _) => reason,
        (None, Some(reason)) => format!("dead-lettered by the broker: {reason}"),
        (None, None) => "unknown: not parked by a worker".to_owned(),
    }
}

/// When the message was parked, according to the worker's header, else to the broker's.
fn parked_at(headers: &FieldTable) -> Option<OffsetDateTime> {
    let deaths = headers.inner().get("x-death");
    let dead_lettered_at = || match deaths? {
        AMQPValue::FieldArray(deaths) => match deaths.as_slice().first()? {
            AMQPValue::FieldTable(death) => death.inner().get("time"),
            _ => None,
        },
        _ => None,
    };
    match headers.inner().get(PARKED_AT).or_else(dead_lettered_at)? {
        AMQPValue::Timestamp(at) => OffsetDateTime::from_unix_timestamp(i64::try_from(*at).ok()?).ok(),
        _ => None,
    }
}

fn properties_to_json(properties: &BasicProperties) -> Map<String, Value> {
    let text = |value: Option<&str>| value.map(Value::from);
    let all = [
        ("message_id", text(properties.message_id().as_ref().map(|value| value.as_str()))),
        ("content_type", text(properties.content_type().as_ref().map(|value| value.as_str()))),
        ("content_encoding", text(properties.content_encoding().as_ref().map(|value| value.as_str()))),
        ("type", text(properties.kind().as_ref().map(|value| value.as_str()))),
        ("app_id", text(properties.app_id().as_ref().map(|value| value.as_str()))),
        ("user_id", text(properties.user_id().as_ref().map(|value| value.as_str()))),
        ("correlation_id", text(properties.correlation_id().as_ref().map(|value| value.as_str()))),
        ("reply_to", text(properties.reply_to().as_ref().map(|value| value.as_str()))),
        ("expiration", text(properties.expiration().as_ref().map(|value| value.as_str()))),
        ("delivery_mode", properties.delivery_mode().map(Value::from)),
        ("priority", properties.priority().map(Value::from)),
        ("timestamp", properties.timestamp().map(Value::from)),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn table_to_json(table: &FieldTable) -> Map<String, Value> {
    table.inner().iter().map(|(name, field)| (name.to_string(), value_to_json(field))).collect()
}

fn value_to_json(field: &AMQPValue) -> Value {
    match field {
        AMQPValue::Boolean(value) => (*value).into(),
        AMQPValue::ShortShortInt(value) => (*value).into(),
        AMQPValue::ShortShortUInt(value) => (*value).into(),
        AMQPValue::ShortInt(value) => (*value).into(),
        AMQPValue::ShortUInt(value) => (*value).into(),
        AMQPValue::LongInt(value) => (*value).into(),
        AMQPValue::LongUInt(value) => (*value).into(),
        AMQPValue::LongLongInt(value) => (*value).into(),
        AMQPValue::Timestamp(value) => (*value).into(),
        AMQPValue::ShortString(value) => value.as_str().into(),
        AMQPValue::LongString(value) => String::from_utf8_lossy(value.as_bytes()).into(),
        AMQPValue::FieldArray(values) => values.as_slice().iter().map(value_to_json).collect(),
        AMQPValue::FieldTable(table) => table_to_json(table).into(),
        AMQPValue::Void => Value::Null,
        other => format!("{other:?}").into(),
    }
}
