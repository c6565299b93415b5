//! How Postgres finds what it is asked for. Plans are kept as long as a connection lives, and are made when the tables
//! are still empty, or before anybody has analyzed them: they must be right for tables that are neither.

use std::{ops::Range, time::Duration};

use futures_util::{StreamExt, stream};

use crate::operations::cleanup::CLEANING;
use support::{client::PASSWORD, stack::Stack};

const PEOPLE: usize = 120;
const ERASED: usize = 40;

/// A connection that was used a moment ago is not looked at before it is used again.
const BREAKS_ARE_SEEN: Duration = Duration::from_secs(1);

/// Only tables that are nearly always empty may be read so, and one that has a few rows for each hour of a day.
const READ_FROM_END_TO_END: &str = "SELECT relname::text, seq_tup_read FROM pg_stat_user_tables \
    WHERE relname NOT IN ('outbox', 'names', 'migrations', 'guesses_by_hour') ORDER BY seq_tup_read DESC";

/// Nobody analyzes a table meanwhile: then plans would be made anew, and to read all of a table of one page would be
/// right, until it has grown by a tenth and is analyzed again.
const KEPT: &str = "DO $$ DECLARE name text; BEGIN FOR name IN SELECT relname FROM pg_stat_user_tables LOOP \
    EXECUTE format('ALTER TABLE %I SET (autovacuum_enabled = off)', name); END LOOP; END $$";

const BREAK_ALL: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
    WHERE datname = current_database() AND pid <> pg_backend_pid()";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_found_by_reading_a_whole_table() {
    let cheap = [("ARGON2_MEMORY_KIB", "8"), ("ARGON2_PASSES", "1"), CLEANING];
    let stack = Stack::start_with(&cheap).await;
    stack.database.client().batch_execute(KEPT).await.unwrap();
    // So that every connection has made its plans while there was next to nothing.
    let sign_up = |n: usize| {
        let stack = &stack;
        async move {
            let email = format!("u{n}@example.com");
            stack.account(&email).await;
            let (receipt, code) = stack.forgotten(&email, 3).await;
            assert_eq!(stack.client.reset_to(&receipt, &code, PASSWORD).await.status, 204);
            let token = stack.client.token(&email).await;
            assert_eq!(stack.client.bearer("GET", "/v1/users/me", &token).await.status, 200);
            token
        }
    };
    // What a connection has done is told when it rests.
    let told = async |people: usize| {
        let told = "SELECT count(*) FROM pg_stat_user_tables WHERE (relname, n_tup_ins) IN (('users', $N), ('deliveries', 4 * $N))";
        stack.database.becomes(&told.replace("$N", &people.to_string()), 2).await;
    };
    // Fewer at once than there are connections: nobody waits in line, so a moment in which nothing moves is no failure.
    let all = async |people: Range<usize>| stream::iter(people.map(sign_up)).buffered(12).collect::<Vec<_>>().await;
    let mut tokens = all(0..PEOPLE / 2).await;
    told(PEOPLE / 2).await;
    // And others, when there was something that nobody had analyzed.
    stack.database.client().batch_execute(BREAK_ALL).await.unwrap();
    tokio::time::sleep(BREAKS_ARE_SEEN).await;
    tokens.extend(all(PEOPLE / 2..PEOPLE).await);
    told(PEOPLE).await;
    for token in &tokens[..ERASED] {
        assert_eq!(stack.client.bearer("DELETE", "/v1/users/me", token).await.status, 204);
    }
    let told = format!("SELECT n_tup_del FROM pg_stat_user_tables WHERE relname = 'users' AND n_tup_del = {ERASED}");
    stack.database.becomes(&format!("SELECT count(*) FROM ({told}) AS told"), 1).await;
    let rows = stack.database.client().query(READ_FROM_END_TO_END, &[]).await.unwrap();
    let read: Vec<(String, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert!(read.iter().all(|(_, rows)| *rows < 10 * PEOPLE as i64), "rows read from end to end: {read:?}");

    // Nor when all of it goes; what the test itself reads is not counted. It is nobody's turn to clean meanwhile: what
    // went before the reset would not be told.
    stack.database.client().batch_execute("SELECT pg_advisory_lock(1986356079, 1)").await.unwrap();
    stack.database.age(40 * 86_400).await;
    let unlock = "SELECT pg_advisory_unlock(1986356079, 1)";
    for sql in ["SELECT pg_stat_force_next_flush()", "SELECT pg_stat_reset()", unlock] {
        stack.database.client().batch_execute(sql).await.unwrap();
    }
    let left = PEOPLE - ERASED;
    let told = format!(
        "SELECT count(*) FROM pg_stat_user_tables WHERE (relname, n_tup_del) IN \
        (('registrations', {left}), ('codes', {left}), ('resets', {left}), ('password_changes', {left}), ('deliveries', 4 * {PEOPLE}))"
    );
    stack.database.becomes(&told, 5).await;
    let rows = stack.database.client().query(READ_FROM_END_TO_END, &[]).await.unwrap();
    let read: Vec<(String, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert!(read.iter().all(|(_, rows)| *rows < PEOPLE as i64), "rows read from end to end: {read:?}");
}
