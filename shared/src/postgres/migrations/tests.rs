//! No migration locks a table that is in use for longer than a moment.

use super::{embedded, statements_outside_transaction};

/// The first version that must keep to the rules: there was no release before it.
const FIRST_CHECKED: i32 = 17;

/// A line with this comment is excepted; the reason follows.
const EXCEPTION: &str = "-- locks:";

/// What blocks readers or writers for as long as a table is long, and what to write instead.
const BLOCKING: [(&str, &str); 11] = [
    ("CREATE INDEX ", "CREATE INDEX CONCURRENTLY, in a migration outside of a transaction"),
    ("CREATE UNIQUE INDEX ", "CREATE UNIQUE INDEX CONCURRENTLY, in a migration outside of a transaction"),
    ("DROP INDEX ", "DROP INDEX CONCURRENTLY, in a migration outside of a transaction"),
    ("REINDEX ", "a new index, concurrently"),
    (" SET NOT NULL", "a CHECK constraint, NOT VALID, and VALIDATE CONSTRAINT in a later migration"),
    (" TYPE ", "a new column"),
    (" STORED", "a column that is written by the service"),
    ("UPDATE ", "rows that are updated by the service, in batches"),
    ("DELETE FROM ", "rows that are deleted by cleanup"),
    ("VACUUM FULL", "nothing: autovacuum does it"),
    ("LOCK ", "nothing: each statement takes its locks"),
];

/// The violations of a migration.
fn violations(sql: &str) -> Vec<String> {
    if let Some(statements) = statements_outside_transaction(sql) {
        let statements: Vec<_> = statements.collect();
        let is_repeatable = |(n, statement): (usize, &&str)| match statement.strip_prefix("CREATE INDEX CONCURRENTLY ")
        {
            // A failed attempt leaves an invalid index of this name.
            Some(rest) => {
                let drop = format!("DROP INDEX CONCURRENTLY IF EXISTS {}", rest.split(' ').next().unwrap_or_default());
                n > 0 && statements[n - 1].ends_with(&drop)
            }
            None => {
                ["DROP INDEX CONCURRENTLY IF EXISTS ", "ALTER TABLE"].iter().any(|start| statement.starts_with(start))
            }
        };
        let bad = statements.iter().enumerate().filter(|statement| !is_repeatable(*statement));
        return bad.map(|(_, statement)| format!("cannot be repeated: {statement}")).collect();
    }
    let new_tables: Vec<_> =
        sql.split("CREATE TABLE ").skip(1).filter_map(|rest| rest.split_whitespace().next()).collect();
    let statements = sql.split(';').map(|statement| {
        let lines = statement.lines().filter(|line| !line.trim_start().starts_with("--") || line.contains(EXCEPTION));
        lines.collect::<Vec<_>>().join(" ")
    });
    let concerns_new_table =
        |statement: &str| new_tables.iter().any(|table| statement.split([' ', '(']).any(|word| word == *table));
    let mut found = vec![];
    for statement in statements.filter(|statement| !statement.contains(EXCEPTION) && !concerns_new_table(statement)) {
        let statement = format!("{} ", statement.trim());
        for (blocking, instead) in BLOCKING {
            let is_start = !blocking.starts_with(' ');
            if is_start && statement.starts_with(blocking) || !is_start && statement.contains(blocking) {
                found.push(format!("'{}' locks a table: use {instead}", statement.trim()));
            }
        }
        if statement.contains("ADD CONSTRAINT") && !statement.contains("NOT VALID") {
            found.push(format!("'{}' locks a table: use NOT VALID", statement.trim()));
        }
    }
    found
}

#[test]
fn no_migration_blocks_requests() {
    for migration in embedded::migrations::runner().get_migrations() {
        let found = violations(migration.sql().unwrap_or_default());
        assert!(migration.version() < FIRST_CHECKED || found.is_empty(), "{migration}: {found:#?}");
    }
}

#[test]
fn blocking_statements_are_found() {
    for sql in [
        "CREATE INDEX a ON users (email);",
        "ALTER TABLE users ADD COLUMN a int;\nCREATE UNIQUE INDEX a ON users (email);",
        "-- why\nDROP INDEX a;",
        "ALTER TABLE users ALTER COLUMN email SET NOT NULL;",
        "ALTER TABLE users ALTER COLUMN email TYPE varchar;",
        "ALTER TABLE users ADD CONSTRAINT a CHECK (true);",
        "UPDATE users SET email = '';",
        "-- no transaction\nCREATE INDEX CONCURRENTLY a ON users (email);",
        "-- no transaction\nDROP INDEX CONCURRENTLY IF EXISTS b;\nCREATE INDEX CONCURRENTLY a ON users (email);",
        "-- no transaction\nUPDATE users SET email = '';",
    ] {
        assert_eq!(violations(sql).len(), 1, "{sql}");
    }
    for sql in [
        "CREATE TABLE a (b int);\nCREATE INDEX c ON a (b);",
        "ALTER TABLE users ADD CONSTRAINT a CHECK (true) NOT VALID;",
        "-- locks: the table has one row\nUPDATE names SET sample = '';",
        "-- no transaction\nDROP INDEX CONCURRENTLY IF EXISTS a;\nCREATE INDEX CONCURRENTLY a ON users (email);",
    ] {
        assert_eq!(violations(sql), Vec::<String>::new(), "{sql}");
    }
}
