//! What becomes of a captured statement.

use super::*;

const ID: &str = "6f9619ff-8b86-4011-b42d-00cf4fc964ff";

fn script(sql: &str, values: &[(&str, &str)]) -> String {
    let mut script = Script::new("p7@bench.example");
    let (values, types): (Vec<_>, Vec<_>) =
        values.iter().map(|(value, of)| (Some(value.to_string()), of.to_string())).unzip();
    script.add(&Statement { sql: sql.to_owned(), values }, &types);
    script.sequential().lines().nth(1).unwrap().to_owned()
}

#[test]
fn what_belongs_to_nobody_stays() {
    assert_eq!(
        script("SELECT $1, $2", &[("it's", "text"), ("60", "int4")]),
        "SELECT CAST('it''s' AS text), CAST('60' AS int4);"
    );
    let at = script("SELECT $1", &[("2026-11-01 10:00:00+00", "timestamptz")]);
    assert_eq!(at, r"SELECT CAST(E'2026-11-01 10\x3A00\x3A00+00' AS timestamptz);");
}

#[test]
fn the_same_thing_stays_the_same_and_others_differ() {
    let other = ID.replace('6', "7");
    let text =
        script("SELECT $1, $2, $3", &[(ID, "uuid"), (&format!(r#"{{"id": "{ID}"}}"#), "jsonb"), (&other, "uuid")]);
    let uuid = |thing| format!("'0000000{thing}-0000-4000-8000-' || lpad(to_hex(CAST(:r AS int8)), 12, '0')");
    let (same, other) = (uuid(0), uuid(1));
    assert_eq!(
        text,
        format!(
            r#"SELECT CAST({same} AS uuid), CAST(E'{{"id"\x3A "' || {same} || '"}}' AS jsonb), CAST({other} AS uuid);"#
        )
    );
}

#[test]
fn addresses_hashes_and_keys_are_found_in_arrays_too() {
    let hash = "ab".repeat(32);
    let text = script(
        "SELECT $1, $2, $3",
        &[
            ("p7@bench.example", "text"),
            (&format!(r#"{{"\\x{hash}","\\x{hash}"}}"#), "_bytea"),
            ("-8070450532247928832", "int8"),
        ],
    );
    let hex = "rpad(lpad(to_hex(CAST(:r AS int8)), 12, '0') || '00000000', 64, '0')";
    assert!(text.contains("CAST('p' || CAST(CAST(:r AS int8) AS text) || '@bench.example' AS text)"), "{text}");
    assert!(
        text.contains(&format!(r#"CAST(E'{{"\\\\x' || {hex} || E'","\\\\x' || {hex} || '"}}' AS _bytea)"#)),
        "{text}"
    );
    assert!(text.ends_with("CAST(CAST(CAST(:r AS int8) + 140737488355328 AS text) AS int8);"), "{text}");
}

#[test]
fn keys_are_found_in_arrays_and_numbers_are_left_alone() {
    let text = script("SELECT $1, $2", &[("{-8070450532247928832,60}", "_int8"), ("86400", "int8")]);
    let key = "'{' || CAST(CAST(:r AS int8) + 0 AS text) || ',60}'";
    assert_eq!(text, format!("SELECT CAST({key} AS _int8), CAST('86400' AS int8);"));
}

#[test]
fn a_transaction_can_be_sent_in_one_go() {
    let mut script = Script::new("p7@bench.example");
    for sql in ["SELECT 1", "BEGIN; SET LOCAL x = y", "SELECT\n2", "COMMIT"] {
        script.add(&Statement { sql: sql.to_owned(), values: vec![] }, &[]);
    }
    let lines = script.pipelined();
    let lines: Vec<_> = lines.lines().skip(1).collect();
    let expected = ["SELECT 1;", "\\startpipeline", "BEGIN; SET LOCAL x = y;", "SELECT 2;", "COMMIT;", "\\endpipeline"];
    assert_eq!(lines, expected);
}

#[test]
fn the_tenth_value_is_not_the_first_one() {
    let values: Vec<_> = (1..=10).map(|n| format!("v{n}")).collect();
    assert_eq!(substitute("$10,$1,$11 $", &values), "v10,v1,$11 $");
}
