//! Fuzz target for the SMTP session, called by `fuzz/` and by a test with the seed corpus. Panics if an invariant is
//! violated.

use std::net::Ipv4Addr;

use uuid::Uuid;

use super::{
    super::envelope::Envelope,
    line_stream::Line,
    session::{Action, MAX_MESSAGE_BYTES, ReceivedMail, Session},
};

/// Runs a session over the lines in `bytes`: each reply must be valid SMTP, and each stored file must parse back to the
/// mail.
pub fn session(bytes: &[u8]) {
    let mut session = Session::new(Ipv4Addr::LOCALHOST.into());
    let mut rest = bytes;
    while let Some(end) = rest.windows(2).position(|end| end == b"\r\n") {
        let line = &rest[..end];
        let was_receiving_message = session.is_receiving_message();
        rest = &rest[end + 2..];
        match session.handle_line(if line.len() > 200 { Line::TooLong } else { Line::Complete(line) }) {
            Action::Continue => assert!(was_receiving_message, "{line:?} got no reply"),
            Action::Reply(reply) => assert_valid_reply(&reply),
            Action::ReplyAndClose(reply) => return assert_valid_reply(reply),
            Action::Store(mail) => {
                assert!(was_receiving_message && line == b".");
                assert_round_trip(&mail);
            }
        }
    }
}

fn assert_valid_reply(reply: &str) {
    for line in reply.split("\r\n") {
        let (code, text) = line.split_at(3);
        assert!(code.bytes().all(|byte| byte.is_ascii_digit()) && text.starts_with(['-', ' ']), "{line}");
        assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{line}");
    }
}

fn assert_round_trip(ReceivedMail { envelope, message }: &ReceivedMail) {
    assert!(message.len() <= MAX_MESSAGE_BYTES && (message.is_empty() || message.ends_with(b"\r\n")));
    let file = [envelope.to_headers(Uuid::nil()).as_bytes(), message.as_slice()].concat();
    assert_eq!(Envelope::split_from(&file), (envelope.clone(), message.as_slice()));
}

#[cfg(test)]
mod tests {
    #[test]
    fn seed_corpus_violates_no_invariant() {
        let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus-seeds/session");
        for seed in std::fs::read_dir(seeds).unwrap() {
            super::session(&std::fs::read(seed.unwrap().path()).unwrap());
        }
    }
}
