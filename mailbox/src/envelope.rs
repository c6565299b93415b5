//! Who a mail is from and for, as SMTP said it: written above the message, as mail servers do, and read from there.

use std::net::{IpAddr, Ipv4Addr};

use time::{OffsetDateTime, format_description::well_known::Rfc2822};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Envelope {
    /// Empty for a mail that nobody is to answer.
    pub(super) from: String,
    pub(super) to: Vec<String>,
    /// What the sender calls itself.
    pub(super) host: String,
    pub(super) remote_address: IpAddr,
}

const FROM: &str = "Return-Path: <";
const TO: &str = "X-Envelope-To: <";
const RECEIVED: &str = "Received: from ";

impl Envelope {
    /// The SMTP session has let in nothing that would need a line of its own, or folding.
    pub(super) fn to_headers(&self, id: Uuid) -> String {
        let Envelope { from, to, host, remote_address } = self;
        let to: String = to.iter().map(|to| format!("{TO}{to}>\r\n")).collect();
        let date = arrival(id).format(&Rfc2822).unwrap_or_default();
        format!(
            "{FROM}{from}>\r\n{to}{RECEIVED}{host} ([{remote_address}]) by localhost with ESMTP id {id}; {date}\r\n"
        )
    }

    /// The envelope, and the message below it. What does not begin with an envelope is a message without one.
    pub(super) fn split_from(file: &[u8]) -> (Envelope, &[u8]) {
        let nobody = Envelope {
            from: String::new(),
            to: Vec::new(),
            host: String::new(),
            remote_address: Ipv4Addr::UNSPECIFIED.into(),
        };
        Envelope::try_split(file).unwrap_or((nobody, file))
    }

    /// Ends with our Received: headers of the same names below it are the sender's, and prove nothing.
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

/// The id of a mail holds the millisecond of its arrival; another id is as old as time.
pub(super) fn arrival(id: Uuid) -> OffsetDateTime {
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
    fn an_envelope_is_read_as_it_was_written() {
        let file = format!("{}Subject: x\r\n\r\nhello\r\n", envelope().to_headers(ID));
        assert_eq!(Envelope::split_from(file.as_bytes()), (envelope(), b"Subject: x\r\n\r\nhello\r\n".as_slice()));
    }

    #[test]
    fn what_a_sender_writes_below_our_envelope_changes_nothing() {
        let forged = "X-Envelope-To: <eve@example.com>\r\nReceived: from x ([1.1.1.1]) by x\r\n\r\n";
        let file = format!("{}{forged}", envelope().to_headers(ID));
        assert_eq!(Envelope::split_from(file.as_bytes()), (envelope(), forged.as_bytes()));
    }

    #[test]
    fn a_file_without_an_envelope_is_all_message() {
        for file in ["", "\0\u{ff}", "Return-Path: <a@x.io>\r\n", "Return-Path: <\r\n\r\n", "Subject: x\r\n\r\nhello"] {
            assert_eq!(Envelope::split_from(file.as_bytes()).1, file.as_bytes());
        }
    }

    #[test]
    fn an_id_tells_when_a_mail_came() {
        assert_eq!(arrival(ID).to_string(), "2024-11-03 3:09:44.832 +00:00:00");
        assert_eq!(arrival(Uuid::nil()), OffsetDateTime::UNIX_EPOCH);
        assert_eq!(arrival(Uuid::from_u128(0xffff_ffff_ffff_7000_8000_0000_0000_0000)), OffsetDateTime::UNIX_EPOCH);
    }
}
