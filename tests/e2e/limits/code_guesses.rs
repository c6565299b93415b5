//! Limits on guesses at activation codes.

use serde_json::{Value, json};

use support::{
    client::{PASSWORD, concurrently, count},
    stack::Stack,
};

const ADA: &str = "ada@example.com";

/// A code of the same length that is not this one.
pub(crate) fn different_code(code: &str) -> String {
    let number: u64 = code.parse().unwrap();
    format!("{:0width$}", (number + 1) % 10_u64.pow(code.len() as u32), width = code.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn third_wrong_code_exhausts_the_code() {
    let stack = Stack::start().await;
    let (registration, code) = stack.sign_up(ADA).await;
    for left in [2, 1, 0] {
        let answer = stack.client.activate(ADA, &different_code(&code)).await;
        assert_eq!(answer.problem(), (422, "wrong-code".into()));
        assert_eq!(answer.json()["attempts_left"], left);
    }
    assert_eq!(stack.client.activate(ADA, &code).await.problem(), (410, "code-exhausted".into()));
    let receipt = stack.client.receipt(&registration).await;
    assert_eq!((&receipt["status"], &receipt["attempts_left"]), (&json!("expired"), &json!(0)));
}

/// S-03, I-07, I-13: 100 concurrent activations with the correct code over two APIs create one user.
#[tokio::test(flavor = "multi_thread")]
async fn s_03_one_of_100_concurrent_activations_succeeds() {
    // More attempts than the default, because a request that ends with 503 after counting has spent one.
    let attempts = [("CODE_ATTEMPTS", "10")];
    let stack = Stack::start_with(&attempts).await;
    let other = stack.start_api(&attempts).await;
    let (_, code) = stack.sign_up(ADA).await;
    let answers = concurrently(100, |n| {
        let (client, code) = (if n % 2 == 0 { &stack.client } else { &other.client }.clone(), code.clone());
        async move { client.activate(ADA, &code).await }
    });
    let counts = count(&answers.await);
    assert_eq!(counts[&200], 1, "{counts:?}");
    // 503: the machine is busy.
    assert!(counts.keys().all(|status| [200, 409, 410, 429, 503].contains(status)), "{counts:?}");
    assert_eq!(stack.database.count("SELECT count(*) FROM users").await, 1);
    assert_eq!(
        stack.database.count("SELECT count(*) FROM code_attempts").await,
        0,
        "right codes do not count as wrong"
    );
}

/// S-02, I-08: 200 concurrent wrong codes over two APIs.
#[tokio::test(flavor = "multi_thread")]
async fn s_02_three_of_200_concurrent_wrong_codes_are_compared() {
    let stack = Stack::start().await;
    let other = stack.start_api(&[]).await;
    let (_, code) = stack.sign_up(ADA).await;
    let answers = concurrently(200, |n| {
        let (client, guess) = (if n % 2 == 0 { &stack.client } else { &other.client }.clone(), different_code(&code));
        async move { client.activate(ADA, &guess).await }
    });
    let counts = count(&answers.await);
    assert_eq!(counts[&422], 3, "{counts:?}");
    assert!(counts.keys().all(|status| [422, 410, 429, 503].contains(status)), "{counts:?}");
    assert_eq!(stack.database.count("SELECT sum(attempts) FROM codes").await, 3);
    assert_eq!(stack.client.activate(ADA, &code).await.status, 410);
}

/// Records how each guess, account and new password is committed.
const RECORD_COMMITS: &str = "CREATE TABLE commits (id bigserial, what text); \
    CREATE FUNCTION record() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
    INSERT INTO commits (what) VALUES (TG_TABLE_NAME || ' ' || TG_OP || ' ' || current_setting('synchronous_commit')); \
    RETURN NULL; END $$; \
    CREATE TRIGGER record AFTER INSERT OR UPDATE ON code_attempts FOR EACH ROW EXECUTE FUNCTION record(); \
    CREATE TRIGGER record AFTER INSERT OR UPDATE ON users FOR EACH ROW EXECUTE FUNCTION record()";

/// I-08: the count of a guess is on disk before its result is revealed. A commit that waits for the disk waits for all
/// earlier ones, so one is enough.
#[tokio::test(flavor = "multi_thread")]
async fn guess_is_on_disk_before_its_result_is_revealed() {
    let stack = Stack::start().await;
    let (_, code) = stack.sign_up(ADA).await;
    stack.database.client().batch_execute(RECORD_COMMITS).await.unwrap();
    assert_eq!(stack.client.activate(ADA, &different_code(&code)).await.problem().0, 422);
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
    stack.mail_server.nth_mail_to(ADA, 2).await;
    let (receipt, code) = stack.request_reset_code(ADA, 3).await;
    assert_eq!(stack.client.reset_to(&receipt, &different_code(&code), PASSWORD).await.problem().0, 422);
    assert_eq!(stack.client.reset_to(&receipt, &code, PASSWORD).await.status, 204);
    let rows = stack.database.client().query("SELECT what FROM commits ORDER BY id", &[]).await.unwrap();
    let (counted, wrong) = ("code_attempts INSERT off", "code_attempts UPDATE on");
    let expected = [counted, wrong, counted, "users INSERT on", counted, wrong, counted, "users UPDATE on"];
    assert_eq!(rows.iter().map(|row| row.get(0)).collect::<Vec<&str>>(), expected);
}

/// I-08, I-21: a guess whose count may not be on disk is not answered as wrong.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_guess_that_cannot_be_settled_is_not_revealed() {
    let stack = Stack::start().await;
    let (registration, code) = stack.sign_up(ADA).await;
    let reject = "CREATE FUNCTION reject() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
        RAISE EXCEPTION USING ERRCODE = '57P03'; END $$; \
        CREATE TRIGGER reject BEFORE UPDATE ON code_attempts FOR EACH ROW EXECUTE FUNCTION reject()";
    stack.database.client().batch_execute(reject).await.unwrap();
    assert_eq!(stack.client.activate(ADA, &different_code(&code)).await.problem(), (503, "unavailable".into()));
    assert_eq!(stack.client.receipt(&registration).await["attempts_left"], 2);
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200, "a right one settles itself");
}

/// I-08: behind a connection pooler, a connection survives a crash of Postgres that undoes the count of a guess.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_guess_whose_count_is_lost_is_not_revealed() {
    let stack = Stack::start().await;
    let (_, code) = stack.sign_up(ADA).await;
    let lose = "CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$; \
        CREATE TRIGGER lose BEFORE INSERT ON code_attempts FOR EACH ROW EXECUTE FUNCTION lose()";
    stack.database.client().batch_execute(lose).await.unwrap();
    assert_eq!(stack.client.activate(ADA, &different_code(&code)).await.problem(), (503, "unavailable".into()));
}

/// S-20: an attacker without the password cannot spend the attempts of a victim's code.
#[tokio::test(flavor = "multi_thread")]
async fn s_20_wrong_password_costs_no_code_attempt() {
    let stack = Stack::start().await;
    let (registration, code) = stack.sign_up(ADA).await;
    for body in
        [json!({ "code": "0000" }), json!({ "code": code }), json!({ "code": code, "registration": registration })]
    {
        let answer = stack.client.activate_with(ADA, "not her password", &body).await;
        assert_eq!(answer.problem(), (401, "unauthenticated".into()));
    }
    assert_eq!(stack.client.receipt(&registration).await["attempts_left"], 3);
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
}

/// I-08: if an attacker registers many times with one password, a guess counts at every code that it is compared with.
/// (Selecting the registration by its code first would be a comparison that is not counted.)
#[tokio::test(flavor = "multi_thread")]
async fn guess_counts_at_every_compared_code() {
    let stack = Stack::start().await;
    for n in 1..=3 {
        let registration = stack.client.register(ADA).await.registration();
        stack.mail_server.nth_mail_to(ADA, n).await;
        stack.client.wait_for_receipt(&registration, "sent").await;
    }
    let codes: Vec<_> = stack.mail_server.mails_to(ADA).iter().map(|mail| mail.code()).collect();
    let wrong = (0..).map(|n| format!("{n:04}")).find(|guess| !codes.contains(guess)).unwrap();
    stack.client.activate(ADA, &wrong).await;
    assert_eq!(stack.database.count("SELECT count(*) FROM codes WHERE attempts = 1").await, 3);
    // With another password nothing is compared.
    stack.client.activate_with(ADA, "something else", &json!({ "code": codes[0] })).await;
    assert_eq!(stack.database.count("SELECT sum(attempts) FROM codes").await, 3);
}

/// S-04: malformed codes and another user's registration are rejected before an attempt is counted.
#[tokio::test(flavor = "multi_thread")]
async fn s_04_malformed_or_foreign_codes_are_not_counted() {
    let stack = Stack::start().await;
    let (registration, _) = stack.sign_up(ADA).await;
    let malformed: [(Value, u16); 8] = [
        (json!({}), 422),
        (json!({ "code": null }), 422),
        (json!({ "code": "" }), 422),
        (json!({ "code": "٠٠٤٢" }), 422),
        (json!({ "code": "00 42" }), 422),
        (json!({ "code": "12345678901" }), 422),
        (json!({ "code": 1234 }), 400),
        (json!({ "code": ["1234"] }), 400),
    ];
    for (body, status) in malformed {
        let answer = stack.client.activate_with(ADA, PASSWORD, &body).await;
        assert_eq!(answer.problem().0, status, "{body}");
    }
    assert_eq!(stack.client.receipt(&registration).await["attempts_left"], 3);
    let (other, _) = stack.sign_up("bob@example.com").await;
    let foreign = json!({ "code": "0000", "registration": other });
    assert_eq!(stack.client.activate_with(ADA, PASSWORD, &foreign).await.problem().0, 401);
}

/// I-08 does not depend on the advisory lock of the email address alone: two APIs with different secrets use different
/// locks. The statement itself counts at most `CODE_ATTEMPTS`.
#[tokio::test(flavor = "multi_thread")]
async fn attempt_counting_statement_stops_at_the_limit() {
    let stack = Stack::without_broker().await;
    let api = stack.start_api(&[]).await;
    api.client.register(ADA).await;
    let code: uuid::Uuid = stack.database.client().query_one("SELECT id FROM codes", &[]).await.unwrap().get(0);
    let count_attempt = api::statements().into_iter().find(|sql| sql.starts_with("UPDATE codes SET attempts")).unwrap();
    for attempt in 0..5 {
        let counted = stack.database.client().execute(count_attempt, &[&vec![code]]).await.unwrap();
        assert_eq!(counted, u64::from(attempt < 3), "attempt {attempt}");
    }
}
