//! Converts captured statements into a pgbench script: values that belong to a user are replaced by random ones, so
//! that each transaction has its own user.

use std::collections::HashMap;

use crate::baseline::statement_log::Statement;

/// Upper limit of the random number of a transaction. In a million runs, two transactions of a run draw the same number
/// about once. It fits into the last part of a UUID.
const MAX_RANDOM: u64 = (1 << 47) - 1;
/// The random number in SQL.
const RANDOM: &str = "CAST(:r AS int8)";

/// A larger integer is not a count or a limit but a key derived from the user, such as that of an advisory lock.
const MAX_NUMBER: u64 = 1_000_000_000;

/// A hash has at least this many hexadecimal digits.
const MIN_HASH_DIGITS: usize = 32;

const UUID_LENGTH: usize = 36;

/// A script under construction.
#[derive(Default)]
pub(crate) struct Script {
    text: String,
    /// Values that belong to the user (ids, hashes, keys), numbered: equal values get equal replacements.
    user_values: HashMap<String, usize>,
    email: String,
}

impl Script {
    /// A script from the statements of a registration of this email address.
    pub(crate) fn new(email: &str) -> Self {
        Self {
            text: format!("\\set r random(1, {MAX_RANDOM})\n"),
            user_values: HashMap::new(),
            email: email.to_owned(),
        }
    }

    /// Adds a statement; `types` are the names of the types of its values.
    pub(crate) fn add(&mut self, statement: &Statement, types: &[String]) {
        let values: Vec<_> =
            statement.values.iter().zip(types).map(|(value, kind)| self.value(value.as_deref(), kind)).collect();
        // pgbench needs each statement on a single line.
        self.text.push_str(&substitute(&statement.sql.replace('\n', " "), &values));
        self.text.push_str(";\n");
    }

    /// The script without pipelining: each statement waits for the result of the previous one.
    pub(crate) fn sequential(&self) -> String {
        self.text.clone()
    }

    /// The script with each transaction, from BEGIN to COMMIT, in one pipeline.
    pub(crate) fn pipelined(&self) -> String {
        let line = |line: &str| match line {
            begin if begin.starts_with("BEGIN") => format!("\\startpipeline\n{begin}\n"),
            "COMMIT;" => "COMMIT;\n\\endpipeline\n".to_owned(),
            other => format!("{other}\n"),
        };
        self.text.lines().map(line).collect()
    }

    fn value(&mut self, value: Option<&str>, kind: &str) -> String {
        let Some(value) = value else { return format!("CAST(NULL AS {kind})") };
        let are_keys = kind.ends_with("int8");
        format!("CAST({} AS {kind})", self.pieces(value, are_keys).join(" || "))
    }

    /// SQL expressions that yield the value when concatenated: literals, and replacements of the values of the user.
    fn pieces(&mut self, value: &str, are_keys: bool) -> Vec<String> {
        let (mut pieces, mut plain, mut rest) = (Vec::new(), String::new(), value);
        while let Some(next) = rest.chars().next() {
            let key = if are_keys { self.key(rest) } else { None };
            let Some((length, expression)) = key.or_else(|| self.user_value(rest, plain.ends_with("\\x"))) else {
                plain.push(next);
                rest = &rest[next.len_utf8()..];
                continue;
            };
            pieces.push(literal(&std::mem::take(&mut plain)));
            pieces.push(expression);
            rest = &rest[length..];
        }
        pieces.push(literal(&plain));
        pieces.retain(|piece| piece != "''");
        if pieces.is_empty() { vec!["''".to_owned()] } else { pieces }
    }

    /// If the text starts with an email address, UUID or hash of the user: its length and its replacement.
    fn user_value(&mut self, text: &str, is_hex: bool) -> Option<(usize, String)> {
        if text.starts_with(&self.email) {
            return Some((self.email.len(), format!("'p' || CAST({RANDOM} AS text) || '@bench.example'")));
        }
        if let Some(uuid) = text.get(..UUID_LENGTH).filter(|uuid| is_uuid(uuid)) {
            let number = self.number(uuid);
            return Some((uuid.len(), format!("'{number:08x}-0000-4000-8000-' || lpad(to_hex({RANDOM}), 12, '0')")));
        }
        let hex = text.find(|char: char| !char.is_ascii_hexdigit()).unwrap_or(text.len());
        (is_hex && hex >= MIN_HASH_DIGITS).then(|| {
            let number = self.number(&text[..hex]);
            // The random digits come first, so that the values are distributed over the index like hashes.
            (hex, format!("rpad(lpad(to_hex({RANDOM}), 12, '0') || '{number:08x}', {hex}, '0')"))
        })
    }

    /// The same if the text starts with an integer that is a key of the user.
    fn key(&mut self, text: &str) -> Option<(usize, String)> {
        let length = text.find(|char: char| !char.is_ascii_digit() && char != '-').unwrap_or(text.len());
        let key: i64 = text[..length].parse().ok()?;
        (key.unsigned_abs() > MAX_NUMBER).then(|| {
            let first = self.number(&text[..length]) as u64 * (MAX_RANDOM + 1);
            (length, format!("CAST({RANDOM} + {first} AS text)"))
        })
    }

    /// The number of a value of the user.
    fn number(&mut self, value: &str) -> usize {
        let next = self.user_values.len();
        *self.user_values.entry(value.to_owned()).or_insert(next)
    }
}

fn is_uuid(text: &str) -> bool {
    let fits = |(index, char): (usize, char)| {
        if matches!(index, 8 | 13 | 18 | 23) { char == '-' } else { char.is_ascii_hexdigit() }
    };
    text.chars().enumerate().all(fits)
}

/// An SQL string literal. Colons and backslashes are escaped, because pgbench would interpret them.
fn literal(text: &str) -> String {
    if !text.contains(['\\', ':', '\n']) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let escaped = text.replace('\\', "\\\\").replace('\'', "''").replace(':', "\\x3A").replace('\n', "\\n");
    format!("E'{escaped}'")
}

/// Replaces `$1`, `$2` and so on by the values.
fn substitute(sql: &str, values: &[String]) -> String {
    let (mut text, mut rest) = (String::new(), sql);
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
        let digits = after.find(|char: char| !char.is_ascii_digit()).unwrap_or(after.len());
        let number = after[..digits].parse::<usize>().ok();
        match number.and_then(|number| values.get(number.checked_sub(1)?)) {
            Some(value) => text.push_str(value),
            None => text.extend(["$", &after[..digits]]),
        }
        rest = &after[digits..];
    }
    text + rest
}

#[cfg(test)]
mod tests;
