//! Tests of the conversion of captured statements.

use super::*;

const ID: &str = "6f9619ff-8b86-4011-b42d-00cf4fc964ff";

fn script(sql: &str, values: &[(&str, &str)]) -> String {
    let mut script = Script::new("p7@bench.example");
    let (values, types): (Vec<_>, Vec<_>) =
        values.iter().map(|(value, kind)| (Some(value.to_string()), kind.to_string())).unzip();
    script.add(&Statement { sql: sql.to_owned(), values }, &types);
    script.sequential().lines().nth(1).unwrap().to_owned()
}

#[test]
fn values_of_no_user_are_unchanged() {
    assert_eq!(
        script("SELECT $1, $2", &[("it's", "text"), ("60", "int4")]),
        "SELECT CAST('it''s' AS text), CAST('60' AS int4);"
    );
    let at = script("SELECT $1", &[("2026-11-01 10:00:00+00", "timestamptz")]);
    assert_eq!(at, r"SELECT CAST(E'2026-11-01 10\x3A00\x3A00+00' AS timestamptz);");
}

#[test]
fn equal_values_get_equal_replacements() {
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
fn addresses_hashes_and_keys_are_replaced() {
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
fn keys_in_arrays_are_replaced_and_numbers_are_not() {
    let text = script("SELECT $1, $2", &[("{-8070450532247928832,60}", "_int8"), ("86400", "int8")]);
    let key = "'{' || CAST(CAST(:r AS int8) + 0 AS text) || ',60}'";
    assert_eq!(text, format!("SELECT CAST({key} AS _int8), CAST('86400' AS int8);"));
}

#[test]
fn transaction_is_pipelined() {
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
fn tenth_parameter_is_not_taken_for_the_first() {
    let values: Vec<_> = (1..=10).map(|n| format!("v{n}")).collect();
    assert_eq!(substitute("$10,$1,$11 $", &values), "v10,v1,$11 $");
}
