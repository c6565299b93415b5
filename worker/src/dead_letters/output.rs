//! Formats the output of commands for terminals and for `--json`.
//!
//! Messages may come from an attacker: no byte of them may reach the operator's terminal as a control sequence.

use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// The output of a command, as text for operators and as JSON for programs.
#[derive(Debug)]
pub(crate) struct CommandOutput {
    pub(crate) text: String,
    pub(crate) json: Value,
}

impl CommandOutput {
    /// Formats the JSON document in printable ASCII only, because it may be printed to a terminal.
    pub(crate) fn to_json(&self) -> String {
        let mut document = String::new();
        // Outside of strings, JSON consists of these characters only.
        for char in format!("{:#}\n", self.json).chars() {
            match char {
                '\n' | ' '..='~' => document.push(char),
                _ => document.extend(char.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}"))),
            }
        }
        document
    }
}

/// Formats rows in columns below their names, each as wide as its widest cell; escapes unprintable characters.
pub(crate) fn format_table<const N: usize>(names: [&str; N], rows: Vec<[String; N]>) -> String {
    let rows: Vec<_> = std::iter::once(names.map(str::to_owned)).chain(rows).collect();
    let rows: Vec<_> = rows.iter().map(|row| row.each_ref().map(|cell| escape_unprintable(cell))).collect();
    let widths: [_; N] = std::array::from_fn(|n| rows.iter().map(|row| row[n].chars().count()).max().unwrap_or(0));
    let line = |row: &[String; N]| {
        let cells: Vec<_> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

/// Escapes everything but printable ASCII: other Unicode includes characters that reverse a line or are invisible.
pub(crate) fn escape_unprintable(text: &str) -> String {
    let mut escaped = String::new();
    for char in text.chars() {
        match char {
            ' '..='~' => escaped.push(char),
            _ => escaped.extend(char.escape_default()),
        }
    }
    escaped
}

/// Masks an email address in the same form as in logs: `a***@example.com`.
pub(crate) fn mask_email(email: &str) -> String {
    let (local, domain) = email.rsplit_once('@').unwrap_or((email, ""));
    format!("{}***@{domain}", local.chars().next().unwrap_or('?'))
}

/// Formats a time as RFC 3339 in UTC, to the second.
pub(crate) fn format_time(at: OffsetDateTime) -> String {
    at.replace_nanosecond(0).unwrap_or(at).format(&Rfc3339).unwrap_or_else(|_| at.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use time::macros::datetime;

    #[test]
    fn table_columns_fit_their_widest_cell() {
        let rows = vec![["a".to_owned(), "long enough".to_owned()], ["longer".to_owned(), "b\x1b[2J".to_owned()]];
        assert_eq!(format_table(["ID", "WHY"], rows), "ID      WHY\na       long enough\nlonger  b\\u{1b}[2J\n");
    }

    #[test]
    fn json_output_is_ascii_and_parses_back() {
        let json = serde_json::json!({ "ä\u{9b}": "\u{1f4ee}\u{7f}\u{202e}\x1b\"\\" });
        let document = CommandOutput { text: String::new(), json: json.clone() }.to_json();
        assert_eq!(document, "{\n  \"\\u00e4\\u009b\": \"\\ud83d\\udcee\\u007f\\u202e\\u001b\\\"\\\\\"\n}\n");
        assert_eq!(serde_json::from_str::<Value>(&document).unwrap(), json);
    }

    #[test]
    fn email_addresses_are_masked_and_times_truncated() {
        assert_eq!(mask_email("ada@example.com"), "a***@example.com");
        assert_eq!(mask_email(""), "?***@");
        assert_eq!(format_time(datetime!(2026-11-21 12:00:00.123 UTC)), "2026-11-21T12:00:00Z");
    }
}
