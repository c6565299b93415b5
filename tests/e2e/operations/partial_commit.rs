//! Requests that commit several transactions, when only the first ones succeed.

use support::stack::Stack;

const ADA: &str = "ada@example.com";

/// Makes writes to a table fail when they meet the condition.
async fn make_writes_fail(stack: &Stack, table: &str, event: &str, condition: &str) {
    let sql = format!(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'the test wants it so'; END $$;
         CREATE TRIGGER fail BEFORE {event} ON {table} FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION fail()"
    );
    stack.database.client().batch_execute(&sql).await.unwrap();
}

/// A correct password does not count as a failure, whatever fails after it.
#[tokio::test(flavor = "multi_thread")]
async fn error_after_correct_password_causes_no_lockout() {
    let stack = Stack::start().await;
    let (_, code) = stack.sign_up(ADA).await;
    let client = stack.client.from_address("192.0.2.7");
    make_writes_fail(&stack, "codes", "UPDATE", "NEW.attempts > 0").await;
    for _ in 0..7 {
        assert_eq!(client.activate(ADA, &code).await.problem().0, 500);
    }
    stack.database.client().batch_execute("DROP TRIGGER fail ON codes").await.unwrap();
    assert_eq!(client.activate(ADA, &code).await.status, 200);
}
