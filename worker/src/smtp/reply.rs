//! Normalizes reply lines to the form that lettre can parse, without changing their meaning.
//!
//! RFC 5321 allows a reply to be a bare code, and requires clients to interpret an unknown code by its first digit.
//! lettre rejects a bare 250, a 571 and a text in Latin-1 as invalid: an email accepted with such a reply would be sent
//! again and again, and one rejected with such a reply would be retried until its deadline.

/// The longest text of a line that is kept. No real reply is longer; lettre accepts up to 1000 bytes.
const MAX_TEXT_BYTES: usize = 512;

/// Normalizes one line of a reply.
pub(crate) fn normalize_line(line: &[u8]) -> Vec<u8> {
    let end = line.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
    let (code, text) = line[..end].split_at(end.min(3));
    let mut normalized = known_code(code);
    match text {
        [] => normalized.push(b' '),
        text => {
            let ascii = text.iter().map(|byte| if byte.is_ascii() { *byte } else { b'?' });
            normalized.extend(ascii.take(MAX_TEXT_BYTES));
        }
    }
    // lettre panics on an extension whose name is only whitespace.
    while normalized.len() > 4 && normalized.last().is_some_and(|byte| char::from(*byte).is_whitespace()) {
        normalized.pop();
    }
    normalized.extend_from_slice(b"\r\n");
    normalized
}

/// Replaces an unknown second digit: lettre knows 0 to 5, and 571 is as permanent as 550.
fn known_code(code: &[u8]) -> Vec<u8> {
    match code {
        [class, b'6'..=b'9', b'0'..=b'9'] => vec![*class, b'5', b'0'],
        code => code.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::normalize_line;

    fn normalized(line: &[u8]) -> String {
        String::from_utf8(normalize_line(line)).unwrap()
    }

    #[test]
    fn valid_line_is_unchanged() {
        for line in ["250 2.0.0 Ok\r\n", "250-8BITMIME\r\n", "354 \r\n", "334 VXNlcm5hbWU6\r\n"] {
            assert_eq!(normalized(line.as_bytes()), line);
        }
    }

    #[test]
    fn bare_code_gets_a_space() {
        assert_eq!(normalized(b"250\r\n"), "250 \r\n");
        assert_eq!(normalized(b"250-\r\n"), "250-\r\n");
    }

    /// Found by the fuzzer: lettre panics on a whitespace line in the reply to EHLO.
    #[test]
    fn whitespace_text_is_removed() {
        assert_eq!(normalized(b"250    \r\n"), "250 \r\n");
        assert_eq!(normalized(b"250-\t\x0b \r\n"), "250-\r\n");
        assert_eq!(normalized(&[b"250 ".as_slice(), &[b' '; 600], b"x\r\n"].concat()), "250 \r\n");
        assert_eq!(normalized(b"250-SIZE 1 \r\n"), "250-SIZE 1\r\n");
    }

    #[test]
    fn bare_line_feed_ends_a_line() {
        assert_eq!(normalized(b"250 Ok\n"), "250 Ok\r\n");
    }

    #[test]
    fn unknown_code_keeps_its_first_digit() {
        assert_eq!(normalized(b"571 5.7.1 no\r\n"), "550 5.7.1 no\r\n");
        assert_eq!(normalized(b"299-so\r\n"), "250-so\r\n");
    }

    #[test]
    fn non_ascii_bytes_are_replaced() {
        assert_eq!(normalized(b"550 Empf\xe4nger\r\n"), "550 Empf?nger\r\n");
    }

    #[test]
    fn long_text_is_truncated() {
        let line = [b"550 ".as_slice(), &[b'x'; 2000], b"\r\n"].concat();
        assert!(normalized(&line).len() < 600 && normalized(&line).ends_with("x\r\n"));
    }

    #[test]
    fn invalid_line_stays_invalid() {
        for line in [b"\r\n".as_slice(), b"2\r\n", b"hello\r\n", b"\n"] {
            assert!(normalized(line).parse::<lettre::transport::smtp::response::Response>().is_err(), "{line:?}");
        }
    }
}
