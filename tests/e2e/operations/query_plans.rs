//! Query plans: no statement reads a whole table.
//!
//! A connection keeps its plans for as long as it lives. They may be made while the tables are still empty or have not
//! been analyzed, and must still be right when the tables have grown.

use std::{ops::Range, time::Duration};

use futures_util::{StreamExt, stream};

use crate::operations::cleanup::CLEANING;
use support::{client::PASSWORD, stack::Stack};

const USERS: usize = 120;
const DELETED: usize = 40;

/// The pool verifies a connection only when it was not used for a moment: after this, it notices terminated ones.
const TERMINATION_IS_NOTICED: Duration = Duration::from_secs(1);

/// Rows read by sequential scans, by table. Excluded are tables that are nearly always empty, and one that has a few
/// rows for each hour of a day: they may be scanned.
const SEQUENTIAL_READS: &str = "SELECT relname::text, seq_tup_read FROM pg_stat_user_tables \
    WHERE relname NOT IN ('outbox', 'names', 'migrations', 'guesses_by_hour') ORDER BY seq_tup_read DESC";

/// Autovacuum must not analyze a table meanwhile: then plans would be made again, and for a table of one page a
/// sequential scan would be the right plan, until the table has grown by a tenth and is analyzed again.
const DISABLE_AUTOVACUUM: &str = "DO $$ DECLARE name text; BEGIN FOR name IN SELECT relname FROM pg_stat_user_tables LOOP \
    EXECUTE format('ALTER TABLE %I SET (autovacuum_enabled = off)', name); END LOOP; END $$";

const TERMINATE_CONNECTIONS: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
    WHERE datname = current_database() AND pid <> pg_backend_pid()";

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_scans_a_whole_table() {
    let settings = [("ARGON2_MEMORY_KIB", "8"), ("ARGON2_PASSES", "1"), CLEANING];
    let stack = Stack::start_with(&settings).await;
    stack.database.client().batch_execute(DISABLE_AUTOVACUUM).await.unwrap();
    // The first half: connections make their plans while the tables are nearly empty.
    let sign_up = |n: usize| {
        let stack = &stack;
        async move {
            let email = format!("u{n}@example.com");
            stack.create_account(&email).await;
            let (receipt, code) = stack.request_reset_code(&email, 3).await;
            assert_eq!(stack.client.reset_to(&receipt, &code, PASSWORD).await.status, 204);
            let token = stack.client.token(&email).await;
            assert_eq!(stack.client.bearer("GET", "/v1/users/me", &token).await.status, 200);
            email
        }
    };
    // Connections report their statistics when they are idle.
    let statistics_include = async |users: usize| {
        let reported = "SELECT count(*) FROM pg_stat_user_tables WHERE (relname, n_tup_ins) IN (('users', $N), ('deliveries', 4 * $N))";
        stack.database.wait_for_count(&reported.replace("$N", &users.to_string()), 2).await;
    };
    // Fewer at once than there are connections: no request queues for one, so a short stall of the machine is no
    // failure.
    let sign_up_all =
        async |users: Range<usize>| stream::iter(users.map(sign_up)).buffered(12).collect::<Vec<_>>().await;
    let mut emails = sign_up_all(0..USERS / 2).await;
    statistics_include(USERS / 2).await;
    // The second half: new connections make their plans for tables that hold rows and were never analyzed.
    stack.database.client().batch_execute(TERMINATE_CONNECTIONS).await.unwrap();
    tokio::time::sleep(TERMINATION_IS_NOTICED).await;
    emails.extend(sign_up_all(USERS / 2..USERS).await);
    statistics_include(USERS).await;
    for email in &emails[..DELETED] {
        assert_eq!(stack.client.delete_account(email).await.status, 204);
    }
    // Not by counting the rows: that would be a sequential scan, too.
    let deleted = format!(
        "SELECT count(*) FROM pg_stat_user_tables WHERE n_tup_del = {DELETED} AND relname IN ('users', 'account_deletions')"
    );
    stack.database.wait_for_count(&deleted, 2).await;
    let rows = stack.database.client().query(SEQUENTIAL_READS, &[]).await.unwrap();
    let read: Vec<(String, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert!(read.iter().all(|(_, rows)| *rows < 10 * USERS as i64), "rows read by sequential scans: {read:?}");

    // Cleanup scans no table either, when it deletes everything. The statistics are reset, so that what the test itself
    // reads is not counted; the lock keeps cleanup from deleting rows before the reset, which would not be counted.
    stack.database.client().batch_execute("SELECT pg_advisory_lock(1986356079, 1)").await.unwrap();
    stack.database.age(40 * 86_400).await;
    let unlock = "SELECT pg_advisory_unlock(1986356079, 1)";
    for sql in ["SELECT pg_stat_force_next_flush()", "SELECT pg_stat_reset()", unlock] {
        stack.database.client().batch_execute(sql).await.unwrap();
    }
    let left = USERS - DELETED;
    let deleted = format!(
        "SELECT count(*) FROM pg_stat_user_tables WHERE (relname, n_tup_del) IN \
        (('registrations', {left}), ('codes', {left}), ('resets', {left}), ('password_changes', {left}), ('deliveries', 4 * {USERS} + {DELETED}))"
    );
    stack.database.wait_for_count(&deleted, 5).await;
    let rows = stack.database.client().query(SEQUENTIAL_READS, &[]).await.unwrap();
    let read: Vec<(String, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    assert!(read.iter().all(|(_, rows)| *rows < USERS as i64), "rows read by sequential scans: {read:?}");
}
