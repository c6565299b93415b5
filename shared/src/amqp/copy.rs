//! What goes along when a message is published once more: this, and nothing else.
//!
//! A stranger's message may say things that the broker obeys, or refuses to hear from us: `CC` makes more copies,
//! `expiration` ends a message, the `user_id` of somebody else closes our channel, and by the `x-death` of an
//! earlier journey the broker sees a circle, and keeps the message in a pause for ever.

use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable},
};

use crate::amqp::topology::TRACEPARENT;

/// The broker closes the connection over headers that do not fit into one frame, and ours are added to this one.
const LONGEST_TRACEPARENT: usize = 255;

/// The properties of a copy: what a person knows the message by, and these headers.
pub fn properties<const N: usize>(original: &BasicProperties, stamps: [(&str, AMQPValue); N]) -> BasicProperties {
    let mut headers = FieldTable::default();
    if let Some(trace) = traceparent(original) {
        headers.insert(TRACEPARENT.into(), trace.clone());
    }
    for (name, value) in stamps {
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

fn traceparent(original: &BasicProperties) -> Option<&AMQPValue> {
    let value = original.headers().as_ref()?.inner().get(TRACEPARENT)?;
    matches!(value, AMQPValue::LongString(trace) if trace.as_bytes().len() <= LONGEST_TRACEPARENT).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> AMQPValue {
        AMQPValue::LongString(text.into())
    }

    #[test]
    fn what_steers_the_broker_stays_behind() {
        let mut headers = FieldTable::default();
        for name in ["CC", "BCC", "x-death", "x-first-death-queue", "x-delivery-count", "stamp", "foreign", TRACEPARENT]
        {
            headers.insert(name.into(), text("theirs"));
        }
        let known = BasicProperties::default().with_message_id("id".into()).with_content_type("text/plain".into());
        let foreign = known.clone().with_headers(headers).with_delivery_mode(1).with_expiration("1".into());
        // No test can publish these: the broker asks the publisher whether he is the user, and has the answers.
        let foreign = foreign.with_user_id("somebody".into()).with_reply_to("amq.rabbitmq.reply-to".into());
        let foreign = foreign.with_priority(9).with_cluster_id("c".into()).with_app_id("a".into());

        let mut expected = FieldTable::default();
        expected.insert(TRACEPARENT.into(), text("theirs"));
        expected.insert("stamp".into(), text("ours"));
        let copy = properties(&foreign, [("stamp", text("ours"))]);
        assert_eq!(copy, known.with_delivery_mode(2).with_headers(expected));
    }

    #[test]
    fn a_trace_that_cannot_be_one_stays_behind() {
        for (trace, kept) in [
            (text(&"a".repeat(255)), true),
            (text(&"a".repeat(256)), false),
            (AMQPValue::FieldTable(FieldTable::default()), false),
        ] {
            let mut headers = FieldTable::default();
            headers.insert(TRACEPARENT.into(), trace.clone());
            let copy = properties(&BasicProperties::default().with_headers(headers), []);
            let headers = copy.headers().as_ref().unwrap();
            assert_eq!(headers.inner().get(TRACEPARENT), kept.then_some(&trace));
        }
    }
}
