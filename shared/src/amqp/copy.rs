//! The properties of a message that is published again: an allow-list of those of the original.
//!
//! A message from a foreign publisher may have properties that the broker acts on or rejects: `CC` makes more copies,
//! `expiration` deletes the message, the `user_id` of another user makes the broker close the channel, and because of
//! an earlier `x-death` the broker detects a dead-letter cycle and keeps the message in a retry queue forever.

use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable},
};

use crate::amqp::topology::TRACEPARENT;

/// A longer `traceparent` is not copied: together with the added headers, the headers could exceed a frame, and then
/// the broker closes the connection.
const MAX_TRACEPARENT_BYTES: usize = 255;

/// The properties of a copy: the message id, the content type and the trace of the original, and these headers.
pub fn properties<const N: usize>(
    original: &BasicProperties,
    added_headers: [(&str, AMQPValue); N],
) -> BasicProperties {
    let mut headers = FieldTable::default();
    if let Some(trace) = traceparent(original) {
        headers.insert(TRACEPARENT.into(), trace.clone());
    }
    for (name, value) in added_headers {
        headers.insert(name.into(), value);
    }
    let mut copy = BasicProperties::default().with_delivery_mode(2).with_headers(headers);
    if let Some(id) = original.message_id() {
        copy = copy.with_message_id(id.clone());
    }
    if let Some(content_type) = original.content_type() {
        copy = copy.with_content_type(content_type.clone());
    }
    copy
}

/// The `traceparent` header of the original, if it is a string of acceptable length.
fn traceparent(original: &BasicProperties) -> Option<&AMQPValue> {
    let value = original.headers().as_ref()?.inner().get(TRACEPARENT)?;
    matches!(value, AMQPValue::LongString(trace) if trace.as_bytes().len() <= MAX_TRACEPARENT_BYTES).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> AMQPValue {
        AMQPValue::LongString(text.into())
    }

    #[test]
    fn properties_that_control_the_broker_are_not_copied() {
        let mut headers = FieldTable::default();
        for name in ["CC", "BCC", "x-death", "x-first-death-queue", "x-delivery-count", "stamp", "foreign", TRACEPARENT]
        {
            headers.insert(name.into(), text("theirs"));
        }
        let known = BasicProperties::default().with_message_id("id".into()).with_content_type("text/plain".into());
        let foreign = known.clone().with_headers(headers).with_delivery_mode(1).with_expiration("1".into());
        // No test against a broker can publish these: RabbitMQ verifies the user id and handles direct reply-to itself.
        let foreign = foreign.with_user_id("other-user".into()).with_reply_to("amq.rabbitmq.reply-to".into());
        let foreign = foreign.with_priority(9).with_cluster_id("c".into()).with_app_id("a".into());

        let mut expected = FieldTable::default();
        expected.insert(TRACEPARENT.into(), text("theirs"));
        expected.insert("stamp".into(), text("ours"));
        let copy = properties(&foreign, [("stamp", text("ours"))]);
        assert_eq!(copy, known.with_delivery_mode(2).with_headers(expected));
    }

    #[test]
    fn invalid_traceparent_is_not_copied() {
        for (trace, is_copied) in [
            (text(&"a".repeat(255)), true),
            (text(&"a".repeat(256)), false),
            (AMQPValue::FieldTable(FieldTable::default()), false),
        ] {
            let mut headers = FieldTable::default();
            headers.insert(TRACEPARENT.into(), trace.clone());
            let copy = properties(&BasicProperties::default().with_headers(headers), []);
            let headers = copy.headers().as_ref().unwrap();
            assert_eq!(headers.inner().get(TRACEPARENT), is_copied.then_some(&trace));
        }
    }
}
