//! Makes a pgbench script of captured statements: what belongs to one person becomes another's each time.

use std::collections::HashMap;

use crate::baseline::statement_log::Statement;

/// No two transactions of a run draw the same, but once in a million runs. It fits into the last part of a UUID.
const MOST: u64 = (1 << 47) - 1;
const DRAW: &str = "CAST(:r AS int8)";

/// An integer beyond this is no number of anything, but a key that was made of somebody's name.
const LARGEST_NUMBER: u64 = 1_000_000_000;

/// A hash has at least so many hexadecimal digits.
const SHORTEST_HASH: usize = 32;

const LENGTH_OF_UUID: usize = 36;

#[derive(Default)]
pub(crate) struct Script {
    text: String,
    /// What belongs to the person, by how it was written: each is a different thing of the next person's.
    things: HashMap<String, usize>,
    email: String,
}

impl Script {
    /// Of the statements by which somebody with this address registered.
    pub(crate) fn new(email: &str) -> Self {
        Self { text: format!("\\set r random(1, {MOST})\n"), things: HashMap::new(), email: email.to_owned() }
    }

    /// With the names of the types of its values.
    pub(crate) fn add(&mut self, statement: &Statement, types: &[String]) {
        let values: Vec<_> =
            statement.values.iter().zip(types).map(|(value, of)| self.value(value.as_deref(), of)).collect();
        // In a line of its own, whatever the log made of it.
        self.text.push_str(&substitute(&statement.sql.replace('\n', " "), &values));
        self.text.push_str(";\n");
    }

    /// One statement after the other, each when the one before is answered.
    pub(crate) fn sequential(&self) -> String {
        self.text.clone()
    }

    /// What stands between BEGIN and COMMIT is sent in one go.
    pub(crate) fn pipelined(&self) -> String {
        let line = |line: &str| match line {
            begin if begin.starts_with("BEGIN") => format!("\\startpipeline\n{begin}\n"),
            "COMMIT;" => "COMMIT;\n\\endpipeline\n".to_owned(),
            other => format!("{other}\n"),
        };
        self.text.lines().map(line).collect()
    }

    fn value(&mut self, value: Option<&str>, of: &str) -> String {
        let Some(value) = value else { return format!("CAST(NULL AS {of})") };
        let are_keys = of.ends_with("int8");
        format!("CAST({} AS {of})", self.pieces(value, are_keys).join(" || "))
    }

    /// What belongs to the person, and what stands between.
    fn pieces(&mut self, value: &str, are_keys: bool) -> Vec<String> {
        let (mut pieces, mut plain, mut rest) = (Vec::new(), String::new(), value);
        while let Some(next) = rest.chars().next() {
            let key = if are_keys { self.key(rest) } else { None };
            let Some((length, expression)) = key.or_else(|| self.personal(rest, plain.ends_with("\\x"))) else {
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

    /// Its length, and what stands for it, if this begins with something that belongs to the person.
    fn personal(&mut self, text: &str, is_hex: bool) -> Option<(usize, String)> {
        if text.starts_with(&self.email) {
            return Some((self.email.len(), format!("'p' || CAST({DRAW} AS text) || '@bench.example'")));
        }
        if let Some(uuid) = text.get(..LENGTH_OF_UUID).filter(|uuid| is_uuid(uuid)) {
            let thing = self.thing(uuid);
            return Some((uuid.len(), format!("'{thing:08x}-0000-4000-8000-' || lpad(to_hex({DRAW}), 12, '0')")));
        }
        let hex = text.find(|one: char| !one.is_ascii_hexdigit()).unwrap_or(text.len());
        (is_hex && hex >= SHORTEST_HASH).then(|| {
            let thing = self.thing(&text[..hex]);
            // Scattered over the index like a hash: what was drawn comes first.
            (hex, format!("rpad(lpad(to_hex({DRAW}), 12, '0') || '{thing:08x}', {hex}, '0')"))
        })
    }

    /// The same, if this begins with an integer that is no number of anything.
    fn key(&mut self, text: &str) -> Option<(usize, String)> {
        let length = text.find(|one: char| !one.is_ascii_digit() && one != '-').unwrap_or(text.len());
        let key: i64 = text[..length].parse().ok()?;
        (key.unsigned_abs() > LARGEST_NUMBER).then(|| {
            let first = self.thing(&text[..length]) as u64 * (MOST + 1);
            (length, format!("CAST({DRAW} + {first} AS text)"))
        })
    }

    fn thing(&mut self, written: &str) -> usize {
        let next = self.things.len();
        *self.things.entry(written.to_owned()).or_insert(next)
    }
}

fn is_uuid(text: &str) -> bool {
    let fits = |(place, one): (usize, char)| {
        if matches!(place, 8 | 13 | 18 | 23) { one == '-' } else { one.is_ascii_hexdigit() }
    };
    text.chars().enumerate().all(fits)
}

/// Without a colon or a backslash of its own, which pgbench might take for its own.
fn literal(text: &str) -> String {
    if !text.contains(['\\', ':', '\n']) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let escaped = text.replace('\\', "\\\\").replace('\'', "''").replace(':', "\\x3A").replace('\n', "\\n");
    format!("E'{escaped}'")
}

/// Puts the values in the places of `$1`, `$2` and so on.
fn substitute(sql: &str, values: &[String]) -> String {
    let (mut text, mut rest) = (String::new(), sql);
    while let Some((before, after)) = rest.split_once('$') {
        text.push_str(before);
        let digits = after.find(|one: char| !one.is_ascii_digit()).unwrap_or(after.len());
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
