//! No row is written by every sign-up or every activation: such a row would serialise them, and while a snapshot is
//! held, every reader would have to pass all its versions.

use futures_util::{StreamExt, stream};

use support::stack::Stack;

const JOURNEYS: usize = 1_000;

/// Counts the versions of each row of every table, by its primary key.
const COUNT_VERSIONS: &str = "
    CREATE UNLOGGED TABLE row_versions (table_name text NOT NULL, key text NOT NULL);
    CREATE FUNCTION count_version() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO row_versions
            SELECT TG_TABLE_NAME, string_agg(to_jsonb(NEW) ->> name, ' ') FROM unnest(TG_ARGV) AS name;
        RETURN NULL; END $$;
    DO $$ DECLARE target record; BEGIN
        FOR target IN
            SELECT c.relname, string_agg(quote_literal(a.attname), ', ') AS key
            FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
                JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
            WHERE i.indisprimary AND c.relnamespace = 'public'::regnamespace GROUP BY c.relname
        LOOP
            EXECUTE format('CREATE TRIGGER count_version AFTER INSERT OR UPDATE ON %I FOR EACH ROW
                EXECUTE FUNCTION count_version(%s)', target.relname, target.key);
        END LOOP; END $$";

const MOST_WRITTEN: &str =
    "SELECT table_name, key, count(*) FROM row_versions GROUP BY table_name, key ORDER BY count(*) DESC LIMIT 1";

#[tokio::test(flavor = "multi_thread")]
async fn no_row_is_written_by_every_journey() {
    let stack = Stack::start_with(&[("ARGON2_MEMORY_KIB", "8"), ("ARGON2_PASSES", "1")]).await;
    stack.database.client().batch_execute(COUNT_VERSIONS).await.unwrap();
    let journey = |n: usize| {
        let stack = &stack;
        async move { stack.sign_up_and_activate(&format!("u{n}@example.com")).await }
    };
    stream::iter((0..JOURNEYS).map(journey)).buffer_unordered(12).collect::<Vec<_>>().await;
    let most_written = stack.database.client().query_one(MOST_WRITTEN, &[]).await.unwrap();
    let (table, key, versions): (String, String, i64) = (most_written.get(0), most_written.get(1), most_written.get(2));
    assert!(versions < 100, "{versions} versions of the row {key} of {table} after {JOURNEYS} journeys");
}
