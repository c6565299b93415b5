//! Spans as OTLP has them on the wire: protobuf, of which eight messages and four kinds of field are needed.

use super::layer::{Traced, Value};

/// A message that is being written.
#[derive(Default)]
struct Message(Vec<u8>);

/// Its `ExportTraceServiceRequest`: all spans are of one resource, which is given as it is on the wire.
pub(super) fn request(resource: &[u8], spans: &[Traced]) -> Vec<u8> {
    let scope = Message::default().text(1, "vestibule");
    let spans = spans.iter().fold(Message::default().bytes(1, &scope.0), |all, one| all.bytes(2, &span(one).0));
    Message::default().bytes(1, &Message::default().bytes(1, resource).bytes(2, &spans.0).0).0
}

/// A `Resource`: whose spans they are.
pub(super) fn resource<'a>(attributes: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let text = |name, value: &str| attribute(name, &Value::Text(value.to_owned()));
    attributes.fold(Message::default(), |all, (name, value)| all.bytes(1, &text(name, value).0)).0
}

fn span(span: &Traced) -> Message {
    let mut message = Message::default().bytes(1, &span.trace.to_be_bytes()).bytes(2, &span.id.to_be_bytes());
    if span.parent != 0 {
        message = message.bytes(4, &span.parent.to_be_bytes());
    }
    message = message.text(5, &span.name).number(6, span.kind).fixed(7, span.begun).fixed(8, span.ended);
    for (name, value) in &span.attributes {
        message = message.bytes(9, &attribute(name, value).0);
    }
    // STATUS_CODE_ERROR; whether it went well otherwise is not ours to say.
    if span.failed { message.bytes(15, &Message::default().number(3, 2).0) } else { message }
}

fn attribute(name: &str, value: &Value) -> Message {
    let any = match value {
        Value::Text(text) => Message::default().text(1, text),
        Value::Number(number) => Message::default().number(3, *number),
    };
    Message::default().text(1, name).bytes(2, &any.0)
}

impl Message {
    fn text(self, field: u64, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    /// Also for a message inside of this one.
    fn bytes(self, field: u64, value: &[u8]) -> Self {
        let mut message = self.varint(field << 3 | 2).varint(value.len() as u64);
        message.0.extend_from_slice(value);
        message
    }

    fn number(self, field: u64, value: u64) -> Self {
        self.varint(field << 3).varint(value)
    }

    fn fixed(self, field: u64, value: u64) -> Self {
        let mut message = self.varint(field << 3 | 1);
        message.0.extend_from_slice(&value.to_le_bytes());
        message
    }

    /// Seven bits to a byte, the lowest first; the eighth says that there are more.
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

    /// What the protobuf of the OpenTelemetry project makes of the same: written down from there.
    #[test]
    fn a_span_is_written_as_others_write_it() {
        let traced = Traced {
            trace: 0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10,
            id: 0x1112,
            parent: 0x2122,
            kind: 2,
            name: "GET /".into(),
            begun: 1,
            ended: 300,
            attributes: vec![
                ("http.response.status_code", Value::Number(200)),
                ("url.scheme", Value::Text("http".into())),
            ],
            failed: true,
        };
        let bytes = request(&resource([("service.name", "x")].into_iter()), &[traced]);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, EXPECTED);
    }

    const EXPECTED: &str = "0aa6010a150a130a0c736572766963652e6e616d6512030a0178128c010a0b0a09766573746962756c65127d0a1001020304\
        05060708090a0b0c0d0e0f1012080000000000001112220800000000000021222a05474554202f3002390100000000000000\
        412c010000000000004a200a19687474702e726573706f6e73652e7374617475735f636f6465120318c8014a140a0a75726c\
        2e736368656d6512060a04687474707a021802";
}
