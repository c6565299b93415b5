//! How Postgres finds what it is asked for. Plans are kept as long as a connection lives, and are made when the tables
//! are still empty: they must be right for tables that are not.

use crate::stack::Stack;

const PEOPLE: usize = 120;

/// Only tables that are nearly always empty may be read so.
const READ_FROM_END_TO_END: &str = "SELECT relname::text, seq_tup_read FROM pg_stat_user_tables \
    WHERE relname NOT IN ('outbox', 'names', 'migrations') ORDER BY seq_tup_read DESC";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_found_by_reading_a_whole_table() {
    let cheap = [("ARGON2_MEMORY_KIB", "8"), ("ARGON2_PASSES", "1")];
    let stack = Stack::start_with(&cheap).await;
    // So that every connection has made its plans while there was next to nothing.
    let sign_up = |n: usize| {
        let stack = &stack;
        async move {
            let email = format!("u{n}@example.com");
            let (_, code) = stack.sign_up(&email).await;
            stack.client.activate(&email, &code).await
        }
    };
    for answer in futures_util::future::join_all((0..PEOPLE).map(sign_up)).await {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    // What a connection has done is told when it rests.
    let told = "SELECT count(*) FROM pg_stat_user_tables WHERE (relname, n_tup_ins) IN (('users', $N), ('deliveries', 2 * $N))";
    stack.database.becomes(&told.replace("$N", &PEOPLE.to_string()), 2).await;
    let rows = stack.database.client().query(READ_FROM_END_TO_END, &[]).await.unwrap();
    let read: Vec<(String, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert!(read.iter().all(|(_, rows)| *rows < 5 * PEOPLE as i64), "rows read from end to end: {read:?}");
}
