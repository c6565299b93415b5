//! Encodes spans for OTLP in protobuf. Only the eight messages and four field types that spans need are implemented.

use super::layer::{AttributeValue, SpanRecord};

/// An encoded protobuf message.
#[derive(Default)]
struct ProtobufMessage(Vec<u8>);

/// Encodes an `ExportTraceServiceRequest` with spans of one resource, which is already encoded.
pub(super) fn export_request(resource: &[u8], spans: &[SpanRecord]) -> Vec<u8> {
    let scope = ProtobufMessage::default().text(1, "vestibule");
    let scope_spans = spans
        .iter()
        .fold(ProtobufMessage::default().bytes(1, &scope.0), |message, record| message.bytes(2, &span(record).0));
    let resource_spans = ProtobufMessage::default().bytes(1, resource).bytes(2, &scope_spans.0);
    ProtobufMessage::default().bytes(1, &resource_spans.0).0
}

/// Encodes a `Resource`: the service that the spans belong to.
pub(super) fn resource<'a>(attributes: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let text = |name, value: &str| attribute(name, &AttributeValue::Text(value.to_owned()));
    attributes.fold(ProtobufMessage::default(), |message, (name, value)| message.bytes(1, &text(name, value).0)).0
}

fn span(span: &SpanRecord) -> ProtobufMessage {
    let mut message = ProtobufMessage::default().bytes(1, &span.trace.to_be_bytes()).bytes(2, &span.id.to_be_bytes());
    if span.parent != 0 {
        message = message.bytes(4, &span.parent.to_be_bytes());
    }
    message = message.text(5, &span.name).number(6, span.kind).fixed64(7, span.started_at).fixed64(8, span.ended_at);
    for (name, value) in &span.attributes {
        message = message.bytes(9, &attribute(name, value).0);
    }
    // STATUS_CODE_ERROR. Otherwise the status is unset, as OpenTelemetry recommends for instrumentation.
    if span.failed { message.bytes(15, &ProtobufMessage::default().number(3, 2).0) } else { message }
}

fn attribute(name: &str, value: &AttributeValue) -> ProtobufMessage {
    let any = match value {
        AttributeValue::Text(text) => ProtobufMessage::default().text(1, text),
        AttributeValue::Number(number) => ProtobufMessage::default().number(3, *number),
    };
    ProtobufMessage::default().text(1, name).bytes(2, &any.0)
}

impl ProtobufMessage {
    /// Appends a string field.
    fn text(self, field: u64, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    /// Appends a field of bytes or an embedded message.
    fn bytes(self, field: u64, value: &[u8]) -> Self {
        let mut message = self.varint(field << 3 | 2).varint(value.len() as u64);
        message.0.extend_from_slice(value);
        message
    }

    /// Appends an integer field.
    fn number(self, field: u64, value: u64) -> Self {
        self.varint(field << 3).varint(value)
    }

    /// Appends a `fixed64` field.
    fn fixed64(self, field: u64, value: u64) -> Self {
        let mut message = self.varint(field << 3 | 1);
        message.0.extend_from_slice(&value.to_le_bytes());
        message
    }

    /// Appends a varint: seven bits in each byte, lowest first; the eighth bit marks that more bytes follow.
    fn varint(mut self, mut value: u64) -> Self {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected bytes were produced with the protobuf library of the OpenTelemetry project.
    #[test]
    fn encoding_matches_the_reference_implementation() {
        let record = SpanRecord {
            trace: 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10,
            id: 0x1112,
            parent: 0x2122,
            kind: 2,
            name: "GET /".into(),
            started_at: 1,
            ended_at: 300,
            attributes: vec![
                ("http.response.status_code", AttributeValue::Number(200)),
                ("url.scheme", AttributeValue::Text("http".into())),
            ],
            failed: true,
        };
        let bytes = export_request(&resource([("service.name", "x")].into_iter()), &[record]);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, EXPECTED);
    }

    const EXPECTED: &str = "0aa6010a150a130a0c736572766963652e6e616d6512030a0178128c010a0b0a09766573746962756c65127d0a1001020304\
        05060708090a0b0c0d0e0f1012080000000000001112220800000000000021222a05474554202f3002390100000000000000\
        412c010000000000004a200a19687474702e726573706f6e73652e7374617475735f636f6465120318c8014a140a0a75726c\
        2e736368656d6512060a04687474707a021802";
}
