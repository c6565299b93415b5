//! What can be told about one parked message.

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
    cli::{self, printable},
    consumer::headers::{SINCE, WHY},
};

const LONGEST_ID: usize = 64;

/// How an ID begins that follows from a body.
const DERIVED: &str = "body-";

pub(crate) struct Parked {
    pub(crate) summary: Summary,
    body: Vec<u8>,
    properties: Map<String, Value>,
    headers: Map<String, Value>,
}

/// One line of a list.
pub(crate) struct Summary {
    /// Anybody can give a message the ID of another: so this may have to make way for the next.
    pub(crate) id: String,
    pub(crate) id_by_body: String,
    pub(crate) why: String,
    pub(crate) since: Option<String>,
    pub(crate) bytes: usize,
}

impl Summary {
    pub(crate) fn json(&self) -> Value {
        json!({ "id": self.id, "why": self.why, "since": self.since, "bytes": self.bytes })
    }

    pub(crate) fn since(&self) -> &str {
        self.since.as_deref().unwrap_or("unknown")
    }
}

impl Parked {
    pub(crate) fn of(delivery: &Delivery) -> Self {
        let nothing = FieldTable::default();
        let headers = delivery.properties.headers().as_ref().unwrap_or(&nothing);
        let id_by_body = id_by_body(&delivery.data);
        let summary = Summary {
            id: own_id(&delivery.properties).unwrap_or(&id_by_body).to_owned(),
            id_by_body,
            why: why(headers),
            since: since(headers).map(cli::time),
            bytes: delivery.data.len(),
        };
        Self {
            summary,
            body: delivery.data.clone(),
            properties: properties(&delivery.properties),
            headers: object(headers),
        }
    }

    pub(crate) fn whole(&self) -> Value {
        let mut whole = self.summary.json();
        let text = std::str::from_utf8(&self.body);
        whole["properties"] = self.properties.clone().into();
        whole["headers"] = self.headers.clone().into();
        whole["body_is_text"] = text.is_ok().into();
        whole["body"] = text.map_or_else(|_| self.body.escape_ascii().to_string(), str::to_owned).into();
        whole
    }
}

impl fmt::Display for Parked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let summary = &self.summary;
        writeln!(f, "id     {}\nwhy    {}\nsince  {}", summary.id, printable(&summary.why), summary.since())?;
        for (title, fields) in [("properties", &self.properties), ("headers", &self.headers)] {
            writeln!(f, "{title}")?;
            for (name, value) in fields {
                let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                writeln!(f, "    {}: {}", printable(name), printable(&value))?;
            }
        }
        writeln!(f, "body   {} bytes", summary.bytes)?;
        match std::str::from_utf8(&self.body) {
            Ok(text) => text.lines().try_for_each(|line| writeln!(f, "    {}", printable(line))),
            Err(_) => writeln!(f, "    {}", self.body.escape_ascii()),
        }
    }
}

/// Its own, if that can be typed as it stands and means nothing else on a command line.
fn own_id(properties: &BasicProperties) -> Option<&str> {
    let id = properties.message_id().as_ref()?.as_str();
    let is_word = (1..=LONGEST_ID).contains(&id.len())
        && id.starts_with(|first: char| first.is_ascii_alphanumeric())
        && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte));
    (is_word && id != "all" && !id.starts_with(DERIVED)).then_some(id)
}

fn id_by_body(body: &[u8]) -> String {
    let digest: String = Sha256::digest(body).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    format!("{DERIVED}{digest}")
}

/// A worker of ours says it in a header; the broker, of those that it gave up, in others.
fn why(headers: &FieldTable) -> String {
    let said = |name: &str| headers.inner().get(name).map(value).and_then(|value| value.as_str().map(str::to_owned));
    match (said(WHY), said("x-first-death-reason")) {
        (Some(why), _) => why,
        (None, Some(reason)) => format!("the broker gave it up: {reason}"),
        (None, None) => "unknown: no worker of ours parked it".to_owned(),
    }
}

fn since(headers: &FieldTable) -> Option<OffsetDateTime> {
    let deaths = headers.inner().get("x-death");
    let by_broker = || match deaths? {
        AMQPValue::FieldArray(deaths) => match deaths.as_slice().first()? {
            AMQPValue::FieldTable(death) => death.inner().get("time"),
            _ => None,
        },
        _ => None,
    };
    match headers.inner().get(SINCE).or_else(by_broker)? {
        AMQPValue::Timestamp(at) => OffsetDateTime::from_unix_timestamp(i64::try_from(*at).ok()?).ok(),
        _ => None,
    }
}

fn properties(properties: &BasicProperties) -> Map<String, Value> {
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

fn object(table: &FieldTable) -> Map<String, Value> {
    table.inner().iter().map(|(name, field)| (name.to_string(), value(field))).collect()
}

fn value(field: &AMQPValue) -> Value {
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
        AMQPValue::FieldArray(values) => values.as_slice().iter().map(self::value).collect(),
        AMQPValue::FieldTable(table) => object(table).into(),
        AMQPValue::Void => Value::Null,
        other => format!("{other:?}").into(),
    }
}
