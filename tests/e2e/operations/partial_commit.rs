//! Requests that commit two transactions, when only the first one succeeds.

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

/// A wrong-guess count of all users that could not be decremented is no reason to report a committed activation as
/// failed.
#[tokio::test(flavor = "multi_thread")]
async fn activation_succeeds_though_guess_count_stays() {
    let stack = Stack::start().await;
    let (_, code) = stack.sign_up(ADA).await;
    make_writes_fail(&stack, "guesses_by_hour", "INSERT", "NEW.wrong < 0").await;
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
    assert_eq!(stack.database.count("SELECT count(*) FROM users").await, 1);
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
