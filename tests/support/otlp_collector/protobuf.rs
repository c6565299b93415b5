//! A minimal protobuf reader for spans. It shares no code with the exporter, so that both cannot be wrong in the same
//! way.

/// The fields of a message: field number and content. Numbers are little-endian bytes.
pub(super) fn fields(mut message: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut fields = vec![];
    while !message.is_empty() {
        let tag = varint(&mut message);
        let value = match tag & 7 {
            0 => varint(&mut message).to_le_bytes().to_vec(),
            1 => take(&mut message, 8),
            2 => {
                let length = varint(&mut message);
                take(&mut message, length as usize)
            }
            other => panic!("wire type {other}"),
        };
        fields.push((tag >> 3, value));
    }
    fields
}

/// Reads a varint and advances.
fn varint(message: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = take(message, 1)[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}

/// Takes the first bytes and advances.
fn take(message: &mut &[u8], length: usize) -> Vec<u8> {
    let (taken, rest) = message.split_at(length);
    *message = rest;
    taken.to_vec()
}

/// All values of a repeated field.
pub(super) fn all(message: &[u8], number: u64) -> Vec<Vec<u8>> {
    fields(message).into_iter().filter(|(field, _)| *field == number).map(|(_, value)| value).collect()
}

/// The last value of a field, or an empty one.
pub(super) fn last(message: &[u8], number: u64) -> Vec<u8> {
    all(message, number).pop().unwrap_or_default()
}

/// A number from little-endian bytes.
pub(super) fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// A string, which must be UTF-8.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Lower-case hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
