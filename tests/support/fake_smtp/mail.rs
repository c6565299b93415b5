//! A mail as it arrived, taken apart.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio::time::Instant;

#[derive(Clone, Debug)]
pub struct Mail {
    /// The envelope, not the head.
    pub from: String,
    pub to: String,
    pub raw: String,
    pub headers: Vec<(String, String)>,
    /// As people read it.
    pub subject: String,
    pub message_id: String,
    /// The decoded parts, with `\n` as the end of a line.
    pub text: String,
    pub html: String,
    /// Which connection it came over, counting from 1.
    pub connection: usize,
    pub at: Instant,
}

impl Mail {
    pub fn parse(from: &str, to: &str, raw: &str, connection: usize) -> Mail {
        let (headers, body) = take_apart(raw);
        let parts = parts(&headers, body);
        let part = |kind: &str| {
            let found = parts.iter().find(|(headers, _)| find(headers, "content-type").starts_with(kind));
            found.map(|(headers, body)| decode(find(headers, "content-transfer-encoding"), body)).unwrap_or_default()
        };
        Mail {
            from: from.into(),
            to: to.into(),
            raw: raw.into(),
            subject: words(find(&headers, "subject")),
            message_id: find(&headers, "message-id").into(),
            text: part("text/plain"),
            html: part("text/html"),
            headers,
            connection,
            at: Instant::now(),
        }
    }

    pub fn header(&self, name: &str) -> &str {
        find(&self.headers, name)
    }

    /// The line of the text part that is digits alone.
    pub fn code(&self) -> String {
        let is_code = |line: &&str| (4..=10).contains(&line.len()) && line.bytes().all(|byte| byte.is_ascii_digit());
        match self.text.lines().find(is_code) {
            Some(code) => code.into(),
            None => panic!("no code stands alone on a line of:\n{}", self.text),
        }
    }
}

type Headers = Vec<(String, String)>;

fn take_apart(entity: &str) -> (Headers, &str) {
    let (head, body) = entity.split_once("\r\n\r\n").unwrap_or((entity, ""));
    let unfolded = head.replace("\r\n ", " ").replace("\r\n\t", " ");
    let pairs = unfolded.split("\r\n").filter_map(|line| line.split_once(':'));
    (pairs.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect(), body)
}

fn find<'a>(headers: &'a Headers, name: &str) -> &'a str {
    let found = headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str()).unwrap_or_default()
}

/// The parts of a multipart body, or the one part there is.
fn parts<'a>(headers: &Headers, body: &'a str) -> Vec<(Headers, &'a str)> {
    let boundary = find(headers, "content-type").split("boundary=").nth(1);
    let Some(boundary) = boundary.map(|rest| rest.split(';').next().unwrap_or_default().trim_matches('"')) else {
        return vec![(headers.clone(), body)];
    };
    // Before the first marker stands nothing of interest, after the last one only `--`.
    let marker = format!("--{boundary}");
    let mut pieces: Vec<&str> = body.split(&marker).skip(1).collect();
    pieces.pop();
    pieces.into_iter().map(|piece| take_apart(piece.strip_prefix("\r\n").unwrap_or(piece))).collect()
}

fn decode(encoding: &str, body: &str) -> String {
    let bytes = match encoding.to_ascii_lowercase().as_str() {
        "quoted-printable" => from_quoted_printable(body),
        "base64" => {
            let packed: String = body.split_whitespace().collect();
            STANDARD.decode(packed).expect("a base64 part that decodes")
        }
        _ => body.as_bytes().to_vec(),
    };
    String::from_utf8(bytes).expect("a part in UTF-8").replace("\r\n", "\n")
}

/// The words of a header, of which those that are not ASCII are encoded (RFC 2047), the blanks between two such too.
fn words(header: &str) -> String {
    let mut text = String::new();
    let mut was_encoded = false;
    for word in header.split(' ') {
        let encoded = word.strip_prefix("=?utf-8?b?").and_then(|word| word.strip_suffix("?="));
        let continues = was_encoded && encoded.is_some();
        if !text.is_empty() && !continues {
            text.push(' ');
        }
        text.push_str(&encoded.map_or(word.to_owned(), |packed| decode("base64", packed)));
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
