//! What the fuzzer in fuzz/ throws at the inbox as a client, and a test its seeds. Panics where a promise is broken.

use std::net::Ipv4Addr;

use uuid::Uuid;

use super::{
    super::envelope::Envelope,
    session::{Answer, Delivery, MAX_MAIL_BYTES, Session},
    wire::Line,
};

/// Every line is answered as SMTP wants it, and a mail is read from its file as it was said.
pub fn session(bytes: &[u8]) {
    let mut session = Session::new(Ipv4Addr::LOCALHOST.into());
    let mut rest = bytes;
    while let Some(end) = rest.windows(2).position(|end| end == b"\r\n") {
        let (line, was_in_a_mail) = (&rest[..end], session.is_in_a_mail());
        rest = &rest[end + 2..];
        match session.hear(if line.len() > 200 { Line::TooLong } else { Line::Whole(line) }) {
            Answer::Nothing => assert!(was_in_a_mail, "{line:?} was not answered"),
            Answer::Say(reply) => assert_is_reply(&reply),
            Answer::Leave(reply) => return assert_is_reply(reply),
            Answer::Keep(delivery) => {
                assert!(was_in_a_mail && line == b".");
                assert_is_kept(&delivery);
            }
        }
    }
}

fn assert_is_reply(reply: &str) {
    for line in reply.split("\r\n") {
        let (code, text) = line.split_at(3);
        assert!(code.bytes().all(|byte| byte.is_ascii_digit()) && text.starts_with(['-', ' ']), "{line}");
        assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{line}");
    }
}

fn assert_is_kept(Delivery { envelope, message }: &Delivery) {
    assert!(message.len() <= MAX_MAIL_BYTES && (message.is_empty() || message.ends_with(b"\r\n")));
    let file = [envelope.to_headers(Uuid::nil()).as_bytes(), message.as_slice()].concat();
    assert_eq!(Envelope::split_from(&file), (envelope.clone(), message.as_slice()));
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_seeds_of_the_fuzzer_hold() {
        let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus-seeds/session");
        for seed in std::fs::read_dir(seeds).unwrap() {
            super::session(&std::fs::read(seed.unwrap().path()).unwrap());
        }
    }
}
