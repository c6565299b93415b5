//! Parses the statements and their parameters in a Postgres log (`log_statement = all`, written to standard error).

/// An executed statement. `None` is NULL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Statement {
    pub(crate) sql: String,
    pub(crate) values: Vec<Option<String>>,
}

/// The statements in the order of the log, without the empty ones that a pool uses to check a connection.
pub(crate) fn statements(log: &str) -> Vec<Statement> {
    let mut found: Vec<Statement> = Vec::new();
    for entry in entries(log) {
        if let Some(sql) = executed(&entry) {
            found.push(Statement { sql: sql.trim().to_owned(), values: Vec::new() });
        } else if let Some(values) = parameters(&entry)
            && let Some(last) = found.last_mut()
        {
            last.values = self::values(values);
        }
    }
    found.retain(|statement| !statement.sql.is_empty());
    found
}

/// Joins the lines of each entry: a line that starts with a tab continues the previous one.
fn entries(log: &str) -> Vec<String> {
    let mut entries: Vec<String> = Vec::new();
    for line in log.lines() {
        match (line.strip_prefix('\t'), entries.last_mut()) {
            (Some(more), Some(last)) => {
                last.push('\n');
                last.push_str(more);
            }
            _ => entries.push(line.to_owned()),
        }
    }
    entries
}

fn executed(entry: &str) -> Option<&str> {
    let (_, text) = entry.split_once(" LOG:  ")?;
    text.strip_prefix("statement: ").or_else(|| text.strip_prefix("execute ")?.split_once(": ").map(|(_, sql)| sql))
}

fn parameters(entry: &str) -> Option<&str> {
    let (_, text) = entry.split_once(" DETAIL:  ")?;
    // Later versions of Postgres capitalize the first letter.
    text.strip_prefix("parameters: ").or_else(|| text.strip_prefix("Parameters: "))
}

/// Parses `$1 = 'it''s', $2 = NULL`.
fn values(mut rest: &str) -> Vec<Option<String>> {
    let mut values = Vec::new();
    while let Some((_, after)) = rest.split_once(" = ") {
        if let Some(quoted) = after.strip_prefix('\'') {
            let (value, left) = unquote(quoted);
            values.push(Some(value));
            rest = left;
        } else {
            values.push(None);
            rest = after.strip_prefix("NULL").unwrap_or_default();
        }
    }
    values
}

/// The value up to its closing quote, and the text after it.
fn unquote(quoted: &str) -> (String, &str) {
    let mut value = String::new();
    let mut rest = quoted;
    while let Some((before, after)) = rest.split_once('\'') {
        value.push_str(before);
        match after.strip_prefix('\'') {
            Some(more) => {
                value.push('\'');
                rest = more;
            }
            None => return (value, after),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "2026-11-01 10:00:00.123 UTC [7] LOG:  statement: \n\
        2026-11-01 10:00:00.123 UTC [7] LOG:  statement: BEGIN\n\
        2026-11-01 10:00:00.124 UTC [7] LOG:  execute s1: INSERT INTO t (a, b, c)\n\
        \tVALUES ($1, $2, $3)\n\
        2026-11-01 10:00:00.124 UTC [7] DETAIL:  parameters: $1 = 'it''s $9 = ''x'', or not', $2 = NULL, $3 = '{\"a, b\"}'\n\
        2026-11-01 10:00:00.124 UTC [8] LOG:  checkpoint starting: time\n\
        2026-11-01 10:00:00.125 UTC [7] LOG:  execute <unnamed>: SELECT 1\n\
        2026-11-01 10:00:00.126 UTC [7] LOG:  statement: COMMIT\n";

    #[test]
    fn statements_are_parsed_with_their_values() {
        let found = statements(LOG);
        let sql: Vec<_> = found.iter().map(|statement| statement.sql.as_str()).collect();
        assert_eq!(sql, ["BEGIN", "INSERT INTO t (a, b, c)\nVALUES ($1, $2, $3)", "SELECT 1", "COMMIT"]);
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(found[1].values, [text("it's $9 = 'x', or not"), None, text("{\"a, b\"}")]);
        assert!(found[2].values.is_empty());
    }
}
