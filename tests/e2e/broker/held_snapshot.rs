//! The outbox while a snapshot is held, as by a dump: what was deleted meanwhile cannot be vacuumed.

use std::time::Duration;

use support::{database::connect, stack::Stack};

/// Messages that are delivered while the snapshot is held.
const DELIVERED: i64 = 5_000;

/// Messages that are delivered one after the other, each by rounds of its own.
const LATER: i64 = 10;

const INSERT: &str = "INSERT INTO outbox (id, message) SELECT id, jsonb_build_object('v', 1, 'kind', 'send-code', 'id', id) \
    FROM (SELECT gen_random_uuid() AS id FROM generate_series(1, $1::bigint)) AS new";

const DELETED: &str = "SELECT n_tup_del FROM pg_stat_user_tables WHERE relname = 'outbox'";

/// Index entries that the rounds of the relay have read, also those of deleted rows.
pub(super) const INDEX_ENTRIES_READ: &str = "SELECT sum(idx_tup_read)::bigint FROM pg_stat_user_indexes \
    WHERE relname = 'outbox' AND indexrelname NOT IN ('outbox_pkey', 'outbox_by_email')";

/// A relay moves on when all earlier transactions of the server have ended, also those of other tests, and on a new
/// connection it reads from the beginning. So the test waits until some rounds read little.
#[tokio::test(flavor = "multi_thread")]
async fn rounds_do_not_read_what_was_deleted() {
    let stack = Stack::start().await;
    let snapshot = connect(&stack.database.url).await;
    let hold = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM migrations";
    snapshot.batch_execute(hold).await.unwrap();
    stack.database.execute(INSERT, &[&DELIVERED]).await;
    let mut deleted = DELIVERED;
    stack.database.wait_for_count(DELETED, deleted).await;
    let rounds_read_little = async {
        loop {
            let before = stack.database.count(INDEX_ENTRIES_READ).await;
            for _ in 0..LATER {
                stack.database.execute(INSERT, &[&1_i64]).await;
                stack.database.wait_for_count("SELECT count(*) FROM outbox", 0).await;
            }
            deleted += LATER;
            // What a connection has read is reported together with what it has deleted.
            stack.database.wait_for_count(DELETED, deleted).await;
            if stack.database.count(INDEX_ENTRIES_READ).await - before < DELIVERED {
                break;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(120), rounds_read_little).await.expect("rounds read what was deleted");
}

/// A transaction that was open while later ones were committed and delivered.
#[tokio::test(flavor = "multi_thread")]
async fn late_commit_is_not_passed() {
    let stack = Stack::start().await;
    let late = connect(&stack.database.url).await;
    late.batch_execute("BEGIN").await.unwrap();
    late.execute(INSERT, &[&1_i64]).await.unwrap();
    // The relay moves on once a second while it has something to do.
    for _ in 0..30 {
        stack.database.execute(INSERT, &[&1_i64]).await;
        stack.database.wait_for_count("SELECT count(*) FROM outbox", 0).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    late.batch_execute("COMMIT").await.unwrap();
    stack.database.wait_for_count("SELECT count(*) FROM outbox", 0).await;
}
