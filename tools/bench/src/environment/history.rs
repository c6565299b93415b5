//! Fills the large tables as a long history of sign-ups would, with as many rows as wanted.

use anyhow::Result;
use tokio_postgres::Client;

use crate::report::progress::print;

/// Rows of one statement, after which the progress is printed.
const CHUNK: u64 = 500_000;

/// An id that is ordered by time (UUIDv7), as the service makes them.
const ID_AT: &str = "CREATE OR REPLACE FUNCTION pg_temp.id_at(at timestamptz, seed text) RETURNS uuid IMMUTABLE LANGUAGE sql RETURN \
    (lpad(to_hex(floor(EXTRACT(EPOCH FROM at) * 1000)::bigint), 12, '0') || '7' || substr(md5(seed), 14, 3) || \
    'a' || substr(md5(seed), 18))::uuid";

/// The tables that grow with the number of sign-ups, and how one row of each is made from a number `n` and its time `at`.
/// Everything happened within a day, so that no row expires during the measurement.
const ROWS: [(&str, &str); 8] = [
    (
        "registrations",
        "INSERT INTO registrations (id, email, password_hash, created_at, activated_at) SELECT pg_temp.id_at(at, 'r' || n), \
         'h' || n || '@history.example', repeat('x', 97), at, at FROM history",
    ),
    (
        "codes",
        "INSERT INTO codes (id, registration_id, code_hash, key_id, length, attempts_allowed, ttl_seconds, deadline, \
         resend_at, created_at, sent_at, expires_at, consumed_at) SELECT pg_temp.id_at(at, 'c' || n), pg_temp.id_at(at, 'r' || n), \
         sha256(n::text::bytea), 'bench', 4, 3, 60, at, at, at, at, at, at FROM history",
    ),
    (
        "users",
        "INSERT INTO users (id, email, password_hash, activated_at, updated_at) SELECT md5('u' || n)::uuid, \
         'h' || n || '@history.example', repeat('x', 97), at, at FROM history",
    ),
    (
        "deliveries",
        "INSERT INTO deliveries (message_id, outcome, at) SELECT id, 'delivered', at \
         FROM history, unnest(ARRAY[pg_temp.id_at(at, 'c' || n), md5('u' || n)::uuid]) AS id",
    ),
    (
        "budgets",
        "INSERT INTO budgets (subject, kind, used_at) SELECT sha256(n::text::bytea), kind, ARRAY[at] \
         FROM history, unnest(ARRAY['codes', 'registrations-from']) AS kind",
    ),
    (
        "lockouts",
        "INSERT INTO lockouts (subject, failures, locks) SELECT sha256(n::text::bytea), ARRAY[at], 0 FROM history",
    ),
    ("guesses", "INSERT INTO guesses (subject, wrong, last_at) SELECT sha256(n::text::bytea), 1, at FROM history"),
    (
        "known_networks",
        "INSERT INTO known_networks (address, network, last_at) SELECT sha256(n::text::bytea), \
         sha256(('n' || n)::bytea), at FROM history",
    ),
];

/// The indexes of a table that belong to no constraint: what drops and what creates each of them.
const INDEXES: &str = "SELECT format('DROP INDEX %I', i.indexrelid::regclass), pg_get_indexdef(i.indexrelid) \
    FROM pg_index i WHERE i.indrelid = $1::text::regclass \
    AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid)";

const SIZES: &str = "SELECT pg_size_pretty(pg_table_size($1::text::regclass)), \
    pg_size_pretty(pg_indexes_size($1::text::regclass))";

/// Adds `count` rows to each table, and builds its indexes afterwards.
pub(crate) async fn fill(database: &Client, count: u64) -> Result<()> {
    // Foreign keys are not checked: the rows match.
    database.batch_execute("SET session_replication_role = replica; SET maintenance_work_mem = '1GB'").await?;
    database.batch_execute(ID_AT).await?;
    let end: String = database.query_one("SELECT clock_timestamp()::text", &[]).await?.get(0);
    for (table, insert) in ROWS {
        let indexes = database.query(INDEXES, &[&table]).await?;
        for index in &indexes {
            database.batch_execute(index.get(0)).await?;
        }
        for first in (0..count).step_by(usize::try_from(CHUNK)?) {
            let last = count.min(first + CHUNK) - 1;
            let history = format!(
                "WITH history AS (SELECT n, timestamptz '{end}' - interval '78000 s' * (1 - n / {count}.0) AS at \
                 FROM generate_series({first}, {last}) AS n)"
            );
            database.batch_execute(&format!("{history} {insert}")).await?;
            print(&format!("    {table}: {} of {count}", last + 1));
        }
        for index in &indexes {
            database.batch_execute(index.get(1)).await?;
        }
        database.batch_execute(&format!("VACUUM (ANALYZE) {table}")).await?;
        let row = database.query_one(SIZES, &[&table]).await?;
        print(&format!("    {table}: {}, indexes {}", row.get::<_, String>(0), row.get::<_, String>(1)));
    }
    Ok(database.batch_execute("SET session_replication_role = origin; CHECKPOINT").await?)
}
