//! The SMTP envelope of a mail: stored as headers above the message, as mail servers do, and parsed from there.

use std::net::{IpAddr, Ipv4Addr};

use time::{OffsetDateTime, format_description::well_known::Rfc2822};
use uuid::Uuid;

/// Sender, recipients and client of a mail, as given in the SMTP session.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Envelope {
    /// The address from `MAIL FROM`; empty for the null sender `<>`.
    pub(super) from: String,
    /// The addresses from `RCPT TO`.
    pub(super) to: Vec<String>,
    /// The host name that the client gave in `EHLO` or `HELO`.
    pub(super) host: String,
    pub(super) remote_address: IpAddr,
}

const FROM: &str = "Return-Path: <";
const TO: &str = "X-Envelope-To: <";
const RECEIVED: &str = "Received: from ";

impl Envelope {
    /// The envelope as headers. The SMTP session accepts only printable ASCII, so no value needs escaping or folding.
    pub(super) fn to_headers(&self, id: Uuid) -> String {
        let Envelope { from, to, host, remote_address } = self;
        let to: String = to.iter().map(|to| format!("{TO}{to}>\r\n")).collect();
        let date = arrival_time(id).format(&Rfc2822).unwrap_or_default();
        format!(
            "{FROM}{from}>\r\n{to}{RECEIVED}{host} ([{remote_address}]) by localhost with ESMTP id {id}; {date}\r\n"
        )
    }

    /// Splits a stored file into the envelope and the message. A file without an envelope is all message.
    pub(super) fn split_from(file: &[u8]) -> (Envelope, &[u8]) {
        let empty = Envelope {
            from: String::new(),
            to: Vec::new(),
            host: String::new(),
            remote_address: Ipv4Addr::UNSPECIFIED.into(),
        };
        Envelope::try_split(file).unwrap_or((empty, file))
    }

    /// Stops after the first `Received` header, which this server wrote: later headers of the same names come from the
    /// sender and cannot be trusted.
    fn try_split(file: &[u8]) -> Option<(Envelope, &[u8])> {
        let (first, mut rest) = split_line(file)?;
        let from = first.strip_prefix(FROM)?.strip_suffix('>')?.to_owned();
        let mut to = Vec::new();
        loop {
            let (line, below) = split_line(rest)?;
            rest = below;
            if let Some(address) = line.strip_prefix(TO) {
                to.push(address.strip_suffix('>')?.to_owned());
                continue;
            }
            let (host, line) = line.strip_prefix(RECEIVED)?.split_once(" ([")?;
            let remote_address = line.split_once("])")?.0.parse().ok()?;
            return Some((Envelope { from, to, host: host.to_owned(), remote_address }, rest));
        }
    }
}

/// The time of arrival, which a UUIDv7 contains in milliseconds; the Unix epoch for any other id.
pub(super) fn arrival_time(id: Uuid) -> OffsetDateTime {
    let (seconds, nanoseconds) = id.get_timestamp().map(|timestamp| timestamp.to_unix()).unwrap_or_default();
    let nanoseconds = i128::from(seconds) * 1_000_000_000 + i128::from(nanoseconds);
    OffsetDateTime::from_unix_timestamp_nanos(nanoseconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn split_line(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    Some((str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 2..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: Uuid = Uuid::from_u128(0x0192_f000_0000_7000_8000_0000_0000_0000);

    fn envelope() -> Envelope {
        Envelope {
            from: "sender@example.com".into(),
            to: vec!["ada@example.com".into(), "\"b > c\"@example.com".into()],
            host: "[127.0.0.1]".into(),
            remote_address: "::1".parse().unwrap(),
        }
    }

    #[test]
    fn envelope_survives_a_round_trip() {
        let file = format!("{}Subject: x\r\n\r\nhello\r\n", envelope().to_headers(ID));
        assert_eq!(Envelope::split_from(file.as_bytes()), (envelope(), b"Subject: x\r\n\r\nhello\r\n".as_slice()));
    }

    #[test]
    fn forged_envelope_headers_of_the_sender_are_ignored() {
        let forged = "X-Envelope-To: <eve@example.com>\r\nReceived: from x ([1.1.1.1]) by x\r\n\r\n";
        let file = format!("{}{forged}", envelope().to_headers(ID));
        assert_eq!(Envelope::split_from(file.as_bytes()), (envelope(), forged.as_bytes()));
    }

    #[test]
    fn file_without_envelope_is_all_message() {
        for file in ["", "\0\u{ff}", "Return-Path: <a@x.io>\r\n", "Return-Path: <\r\n\r\n", "Subject: x\r\n\r\nhello"] {
            assert_eq!(Envelope::split_from(file.as_bytes()).1, file.as_bytes());
        }
    }

    #[test]
    fn id_contains_the_time_of_arrival() {
        assert_eq!(arrival_time(ID).to_string(), "2024-11-03 3:09:44.832 +00:00:00");
        assert_eq!(arrival_time(Uuid::nil()), OffsetDateTime::UNIX_EPOCH);
        assert_eq!(
            arrival_time(Uuid::from_u128(0xffff_ffff_ffff_7000_8000_0000_0000_0000)),
            OffsetDateTime::UNIX_EPOCH
        );
    }
}
