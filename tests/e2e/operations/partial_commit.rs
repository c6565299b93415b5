//! What is done in two transactions, when only one of them succeeds.

use support::stack::Stack;

const ADA: &str = "ada@example.com";

/// Has writes to a table fail that meet a condition.
async fn forbid(stack: &Stack, table: &str, event: &str, condition: &str) {
    let sql = format!(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'the test wants it so'; END $$;
         CREATE TRIGGER fail BEFORE {event} ON {table} FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION fail()"
    );
    stack.database.client().batch_execute(&sql).await.unwrap();
}

/// That everybody together has a guess less is no reason to tell somebody who is in that nothing was done.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_in_is_told_so_though_the_guess_is_not_forgiven() {
    let stack = Stack::start().await;
    let (_, code) = stack.sign_up(ADA).await;
    forbid(&stack, "guesses_by_hour", "INSERT", "NEW.wrong < 0").await;
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
    assert_eq!(stack.database.count("SELECT count(*) FROM users").await, 1);
}

/// A password that is right is no failure, whatever fails after it.
#[tokio::test(flavor = "multi_thread")]
async fn what_fails_after_the_right_password_locks_nobody_out() {
    let stack = Stack::start().await;
    let (_, code) = stack.sign_up(ADA).await;
    let here = stack.client.at("192.0.2.7");
    forbid(&stack, "codes", "UPDATE", "NEW.attempts > 0").await;
    for _ in 0..7 {
        assert_eq!(here.activate(ADA, &code).await.problem().0, 500);
    }
    stack.database.client().batch_execute("DROP TRIGGER fail ON codes").await.unwrap();
    assert_eq!(here.activate(ADA, &code).await.status, 200);
}
