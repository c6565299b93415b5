//! An accepted mail, parsed.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio::time::Instant;

/// An accepted mail. `from` and `to` come from the SMTP envelope, not from the headers.
#[derive(Clone, Debug)]
pub struct Mail {
    pub from: String,
    pub to: String,
    pub raw: String,
    pub headers: Vec<(String, String)>,
    /// Decoded.
    pub subject: String,
    pub message_id: String,
    /// The decoded parts, with `\n` line endings.
    pub text: String,
    pub html: String,
    /// The number of the connection, counting from 1.
    pub connection: usize,
    pub at: Instant,
}

impl Mail {
    /// Parses a mail as it was sent after DATA.
    pub fn parse(from: &str, to: &str, raw: &str, connection: usize) -> Mail {
        let (headers, body) = split_entity(raw);
        let parts = parts(&headers, body);
        let part = |content_type: &str| {
            let found = parts.iter().find(|(headers, _)| find(headers, "content-type").starts_with(content_type));
            found.map(|(headers, body)| decode(find(headers, "content-transfer-encoding"), body)).unwrap_or_default()
        };
        Mail {
            from: from.into(),
            to: to.into(),
            raw: raw.into(),
            subject: decode_words(find(&headers, "subject")),
            message_id: find(&headers, "message-id").into(),
            text: part("text/plain"),
            html: part("text/html"),
            headers,
            connection,
            at: Instant::now(),
        }
    }

    /// A header of the mail, or an empty string.
    pub fn header(&self, name: &str) -> &str {
        find(&self.headers, name)
    }

    /// The code: the line of the text part that has digits only.
    pub fn code(&self) -> String {
        let is_code = |line: &&str| (4..=10).contains(&line.len()) && line.bytes().all(|byte| byte.is_ascii_digit());
        match self.text.lines().find(is_code) {
            Some(code) => code.into(),
            None => panic!("no line of the text is a code:\n{}", self.text),
        }
    }
}

type Headers = Vec<(String, String)>;

/// Headers (unfolded) and body of an entity.
fn split_entity(entity: &str) -> (Headers, &str) {
    let (head, body) = entity.split_once("\r\n\r\n").unwrap_or((entity, ""));
    let unfolded = head.replace("\r\n ", " ").replace("\r\n\t", " ");
    let pairs = unfolded.split("\r\n").filter_map(|line| line.split_once(':'));
    (pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect(), body)
}

/// A header by name, or an empty string.
fn find<'a>(headers: &'a Headers, name: &str) -> &'a str {
    let found = headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str()).unwrap_or_default()
}

/// The parts of a multipart body, or the whole body as the only part.
fn parts<'a>(headers: &Headers, body: &'a str) -> Vec<(Headers, &'a str)> {
    let boundary = find(headers, "content-type").split("boundary=").nth(1);
    let Some(boundary) = boundary.map(|rest| rest.split(';').next().unwrap_or_default().trim_matches('"')) else {
        return vec![(headers.clone(), body)];
    };
    // The text before the first delimiter is a preamble to ignore; after the last one there is only `--`.
    let delimiter = format!("--{boundary}");
    let mut pieces: Vec<&str> = body.split(&delimiter).skip(1).collect();
    pieces.pop();
    pieces.into_iter().map(|piece| split_entity(piece.strip_prefix("\r\n").unwrap_or(piece))).collect()
}

/// Decodes the body of a text part.
fn decode(encoding: &str, body: &str) -> String {
    let bytes = match encoding.to_ascii_lowercase().as_str() {
        "quoted-printable" => from_quoted_printable(body),
        "base64" => {
            let base64: String = body.split_whitespace().collect();
            STANDARD.decode(base64).expect("a base64 part that decodes")
        }
        _ => body.as_bytes().to_vec(),
    };
    String::from_utf8(bytes).expect("a part in UTF-8").replace("\r\n", "\n")
}

/// Decodes a header with encoded words (RFC 2047). The blanks between two encoded words are not part of the text.
fn decode_words(header: &str) -> String {
    let mut text = String::new();
    let mut was_encoded = false;
    for word in header.split(' ') {
        let encoded = word.strip_prefix("=?utf-8?b?").and_then(|word| word.strip_suffix("?="));
        let continues = was_encoded && encoded.is_some();
        if !text.is_empty() && !continues {
            text.push(' ');
        }
        text.push_str(&encoded.map_or(word.to_owned(), |base64| decode("base64", base64)));
        was_encoded = encoded.is_some();
    }
    text
}

fn from_quoted_printable(body: &str) -> Vec<u8> {
    let joined = body.replace("=\r\n", "");
    let mut pieces = joined.split('=');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let (hex, rest) = piece.split_at_checked(2).expect("two hex digits after = in a quoted-printable part");
        bytes.push(u8::from_str_radix(hex, 16).expect("hex digits after = in a quoted-printable part"));
        bytes.extend_from_slice(rest.as_bytes());
    }
    bytes
}
