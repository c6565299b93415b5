//! How an answer looks, on a terminal that must not obey what a stranger wrote into a message.

use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// The same thing twice: for people, and for machines.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) json: Value,
}

impl Answer {
    /// For machines; but it may be a terminal that they print it on.
    pub(crate) fn document(&self) -> String {
        let mut document = String::new();
        // Outside of its strings, JSON has nothing but these.
        for char in format!("{:#}\n", self.json).chars() {
            match char {
                '\n' | ' '..='~' => document.push(char),
                _ => document.extend(char.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}"))),
            }
        }
        document
    }
}

/// Columns below their names, as wide as they must be.
pub(crate) fn table<const N: usize>(names: [&str; N], rows: Vec<[String; N]>) -> String {
    let rows: Vec<_> = std::iter::once(names.map(str::to_owned)).chain(rows).collect();
    let rows: Vec<_> = rows.iter().map(|row| row.each_ref().map(|cell| printable(cell))).collect();
    let widths: [_; N] = std::array::from_fn(|n| rows.iter().map(|row| row[n].chars().count()).max().unwrap_or(0));
    let line = |row: &[String; N]| {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// What is not on every keyboard is spelt out: there are emails, too, that turn a line around or cannot be seen.
pub(crate) fn printable(text: &str) -> String {
    let mut printable = String::new();
    for char in text.chars() {
        match char {
            ' '..='~' => printable.push(char),
            _ => printable.extend(char.escape_default()),
        }
    }
    printable
}

/// As addresses stand in logs.
pub(crate) fn masked(email: &str) -> String {
    let (local, domain) = email.rsplit_once('@').unwrap_or((email, ""));
    format!("{}***@{domain}", local.chars().next().unwrap_or('?'))
}

/// To the second, in UTC.
pub(crate) fn time(at: OffsetDateTime) -> String {
    at.replace_nanosecond(0).unwrap_or(at).format(&Rfc3339).unwrap_or_else(|_| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn columns_are_as_wide_as_they_must_be() {
        let rows = vec![["a".to_owned(), "long enough".to_owned()], ["longer".to_owned(), "b\x1b[2J".to_owned()]];
        assert_eq!(table(["ID", "WHY"], rows), "ID      WHY\na       long enough\nlonger  b\\u{1b}[2J\n");
    }

    #[test]
    fn a_document_is_the_same_json_in_ascii() {
        let json = serde_json::json!({ "ä\u{9b}": "\u{1f4ee}\u{7f}\u{202e}\x1b\"\\" });
        let document = Answer { text: String::new(), json: json.clone() }.document();
        assert_eq!(document, "{\n  \"\\u00e4\\u009b\": \"\\ud83d\\udcee\\u007f\\u202e\\u001b\\\"\\\\\"\n}\n");
        assert_eq!(serde_json::from_str::<Value>(&document).unwrap(), json);
    }

    #[test]
    fn addresses_are_masked_and_times_are_short() {
        assert_eq!(masked("ada@example.com"), "a***@example.com");
        assert_eq!(masked(""), "?***@");
        assert_eq!(time(datetime!(2026-11-21 12:00:00.123 UTC)), "2026-11-21T12:00:00Z");
    }
}
