//! Puts a line of a reply into the form lettre understands, without changing what it says.
//!
//! RFC 5321 lets a reply be a bare code, and tells clients to go by the first digit of a code they
//! do not know. lettre takes a bare 250, a 571 and a text in Latin-1 for garbage: a email accepted
//! so would be sent again and again, one refused so would never be given up.

/// More than anybody says in earnest; lettre takes up to 1000.
const LONGEST_LINE: usize = 512;

pub(crate) fn plain_line(line: &[u8]) -> Vec<u8> {
    let end = line.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
    let (code, text) = line[..end].split_at(end.min(3));
    let mut plain = known_code(code);
    match text {
        [] => plain.push(b' '),
        text => plain.extend(text.iter().take(LONGEST_LINE).map(|byte| if byte.is_ascii() { *byte } else { b'?' })),
    }
    // lettre panics at an extension whose name is nothing but blanks.
    while plain.len() > 4 && plain.last().is_some_and(|byte| char::from(*byte).is_whitespace()) {
        plain.pop();
    }
    plain.extend_from_slice(b"\r\n");
    plain
}

/// 571 is as final as 550; lettre knows the second digits 0 to 5.
fn known_code(code: &[u8]) -> Vec<u8> {
    match code {
        [class, b'6'..=b'9', b'0'..=b'9'] => vec![*class, b'5', b'0'],
        code => code.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::plain_line;

    fn plain(line: &[u8]) -> String {
        String::from_utf8(plain_line(line)).unwrap()
    }

    #[test]
    fn a_usual_line_stays_as_it_is() {
        for line in ["250 2.0.0 Ok\r\n", "250-8BITMIME\r\n", "354 \r\n", "334 VXNlcm5hbWU6\r\n"] {
            assert_eq!(plain(line.as_bytes()), line);
        }
    }

    #[test]
    fn a_bare_code_gets_its_space() {
        assert_eq!(plain(b"250\r\n"), "250 \r\n");
        assert_eq!(plain(b"250-\r\n"), "250-\r\n");
    }

    /// Found by the fuzzer: at a line of blanks in the answer to EHLO lettre panics.
    #[test]
    fn a_text_of_blanks_is_no_text() {
        assert_eq!(plain(b"250    \r\n"), "250 \r\n");
        assert_eq!(plain(b"250-\t\x0b \r\n"), "250-\r\n");
        assert_eq!(plain(&[b"250 ".as_slice(), &[b' '; 600], b"x\r\n"].concat()), "250 \r\n");
        assert_eq!(plain(b"250-SIZE 1 \r\n"), "250-SIZE 1\r\n");
    }

    #[test]
    fn a_bare_line_feed_ends_a_line() {
        assert_eq!(plain(b"250 Ok\n"), "250 Ok\r\n");
    }

    #[test]
    fn an_unknown_code_keeps_its_first_digit() {
        assert_eq!(plain(b"571 5.7.1 no\r\n"), "550 5.7.1 no\r\n");
        assert_eq!(plain(b"299-so\r\n"), "250-so\r\n");
    }

    #[test]
    fn letters_beyond_ascii_do_not_matter() {
        assert_eq!(plain(b"550 Empf\xe4nger\r\n"), "550 Empf?nger\r\n");
    }

    #[test]
    fn a_long_text_is_cut() {
        let line = [b"550 ".as_slice(), &[b'x'; 2000], b"\r\n"].concat();
        assert!(plain(&line).len() < 600 && plain(&line).ends_with("x\r\n"));
    }

    #[test]
    fn garbage_stays_garbage() {
        for line in [b"\r\n".as_slice(), b"2\r\n", b"hello\r\n", b"\n"] {
            assert!(plain(line).parse::<lettre::transport::smtp::response::Response>().is_err(), "{line:?}");
        }
    }
}
