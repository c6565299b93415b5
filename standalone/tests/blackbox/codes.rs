//! Guesses, tries and times of codes.

use serde_json::{Value, json};

use crate::{
    client::{PASSWORD, count},
    stack::Stack,
};

const ADA: &str = "ada@example.com";

/// A code that is not this one.
fn other_than(code: &str) -> String {
    let number: u64 = code.parse().unwrap();
    format!("{:0width$}", (number + 1) % 10_u64.pow(code.len() as u32), width = code.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_third_wrong_code_kills_even_the_right_one() {
    let stack = Stack::start().await;
    let (registration, code) = stack.sign_up(ADA).await;
    for left in [2, 1, 0] {
        let answer = stack.client.activate(ADA, &other_than(&code)).await;
        assert_eq!(answer.problem(), (422, "wrong-code".into()));
        assert_eq!(answer.json()["attempts_left"], left);
    }
    assert_eq!(stack.client.activate(ADA, &code).await.problem(), (410, "code-exhausted".into()));
    let receipt = stack.client.receipt(&registration).await;
    assert_eq!((&receipt["status"], &receipt["attempts_left"]), (&json!("expired"), &json!(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_dies_with_its_minute() {
    let stack = Stack::start().await;
    let (registration, code) = stack.sign_up(ADA).await;
    stack.database.age(60).await;
    assert_eq!(stack.client.activate(ADA, &code).await.problem(), (410, "code-expired".into()));
    assert_eq!(stack.client.receipt(&registration).await["status"], "expired");
    assert_eq!(stack.database.count("SELECT sum(attempts) FROM codes").await, 0);

    assert_eq!(stack.client.resend(ADA).await.status, 202);
    let code = stack.sink.nth_mail_to(ADA, 2).await.code();
    stack.client.receipt_when(&registration, "sent").await;
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registration_dies_with_its_day() {
    let stack = Stack::start().await;
    let (registration, code) = stack.sign_up(ADA).await;
    stack.database.age(86_400).await;
    assert_eq!(stack.client.receipt(&registration).await["status"], "closed");
    let named = json!({ "code": code, "registration": registration });
    assert_eq!(stack.client.activate_with(ADA, PASSWORD, &named).await.problem(), (410, "registration-closed".into()));
    assert_eq!(stack.client.activate(ADA, &code).await.problem(), (401, "unauthenticated".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_that_was_not_mailed_opens_nothing_and_costs_nothing() {
    let stack = Stack::without_broker().await;
    let api = stack.start_api(&[]).await;
    assert_eq!(api.client.register(ADA).await.status, 202);
    for guess in 0..5 {
        let answer = api.client.activate(ADA, &format!("{guess:04}")).await;
        assert_eq!((answer.problem(), &answer.json()["attempts_left"]), ((422, "wrong-code".into()), &json!(3)));
    }
    assert_eq!(stack.database.count("SELECT sum(attempts) FROM codes").await, 0);
}

/// I-07, I-13, S-03.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_hundred_right_codes_at_once_one_wins() {
    let stack = Stack::start().await;
    let other = stack.start_api(&[]).await;
    let (_, code) = stack.sign_up(ADA).await;
    let activations = (0..100).map(|n| {
        let client = if n % 2 == 0 { stack.client.clone() } else { other.client.clone() };
        let code = code.clone();
        tokio::spawn(async move { client.activate(ADA, &code).await })
    });
    let answers: Vec<_> = futures_util::future::join_all(activations).await.into_iter().map(Result::unwrap).collect();
    let counts = count(&answers);
    assert_eq!(counts[&200], 1, "{counts:?}");
    assert!(counts.keys().all(|status| [200, 409, 410].contains(status)), "{counts:?}");
    assert_eq!(stack.database.count("SELECT count(*) FROM users").await, 1);
}

/// I-08, S-02.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_hundred_wrong_codes_at_once_three_are_compared() {
    let stack = Stack::start().await;
    let other = stack.start_api(&[]).await;
    let (_, code) = stack.sign_up(ADA).await;
    let activations = (0..200).map(|n| {
        let client = if n % 2 == 0 { stack.client.clone() } else { other.client.clone() };
        let guess = other_than(&code);
        tokio::spawn(async move { client.activate(ADA, &guess).await })
    });
    let answers: Vec<_> = futures_util::future::join_all(activations).await.into_iter().map(Result::unwrap).collect();
    let counts = count(&answers);
    assert_eq!((counts[&422], counts[&410]), (3, 197), "{counts:?}");
    assert_eq!(stack.database.count("SELECT sum(attempts) FROM codes").await, 3);
    assert_eq!(stack.client.activate(ADA, &code).await.status, 410);
}

/// S-20.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_password_nobody_burns_a_try() {
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

/// I-12, S-21: whoever registers the same address, before or after, is in nobody's way.
#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_at_the_same_address_is_in_nobodys_way() {
    let stack = Stack::start().await;
    let early = stack.client.register_with(ADA, "the early stranger").await.registration();
    let (_, code) = {
        stack.sink.mail_to(ADA).await;
        let registration = stack.client.register(ADA).await.registration();
        let code = stack.sink.nth_mail_to(ADA, 2).await.code();
        stack.client.receipt_when(&registration, "sent").await;
        (registration, code)
    };
    let late = stack.client.register_with(ADA, "the late stranger").await.registration();
    stack.sink.nth_mail_to(ADA, 3).await;
    for (stranger, password) in [(&early, "the early stranger"), (&late, "the late stranger")] {
        stack.client.receipt_when(stranger, "sent").await;
        // Ada's code does not open what her password did not make, named or not.
        for body in [json!({ "code": code, "registration": stranger }), json!({ "code": code })] {
            let answer = stack.client.activate_with(ADA, password, &body).await;
            assert_eq!(answer.problem(), (422, "wrong-code".into()), "{body}");
        }
    }
    let answer = stack.client.activate(ADA, &code).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(stack.client.receipt(&late).await["status"], "closed");
    let body = json!({ "code": code, "registration": late });
    let answer = stack.client.activate_with(ADA, "the late stranger", &body).await;
    assert_eq!(answer.problem(), (410, "registration-closed".into()));
}

/// A person who signed up twice with one password may give the code of either mail.
#[tokio::test(flavor = "multi_thread")]
async fn either_code_of_two_equal_registrations_opens() {
    let stack = Stack::start().await;
    let (first, code) = stack.sign_up(ADA).await;
    let second = stack.client.register(ADA).await.registration();
    stack.sink.nth_mail_to(ADA, 2).await;
    stack.client.receipt_when(&second, "sent").await;
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
    assert_eq!(stack.client.receipt(&first).await["status"], "activated");
    assert_eq!(stack.client.receipt(&second).await["status"], "closed");
}

/// I-08: an attacker who signs up many times with one password has every guess counted at every code
/// that it is compared with. (Choosing the registration by its code first would compare for free.)
#[tokio::test(flavor = "multi_thread")]
async fn a_guess_counts_at_every_code_it_is_compared_with() {
    let stack = Stack::start().await;
    for n in 1..=3 {
        let registration = stack.client.register(ADA).await.registration();
        stack.sink.nth_mail_to(ADA, n).await;
        stack.client.receipt_when(&registration, "sent").await;
    }
    let codes: Vec<_> = stack.sink.mails_to(ADA).iter().map(|mail| mail.code()).collect();
    let wrong = (0..).map(|n| format!("{n:04}")).find(|guess| !codes.contains(guess)).unwrap();
    stack.client.activate(ADA, &wrong).await;
    assert_eq!(stack.database.count("SELECT count(*) FROM codes WHERE attempts = 1").await, 3);
    // With another password nothing is compared at all.
    stack.client.activate_with(ADA, "something else", &json!({ "code": codes[0] })).await;
    assert_eq!(stack.database.count("SELECT sum(attempts) FROM codes").await, 3);
}

/// S-04.
#[tokio::test(flavor = "multi_thread")]
async fn odd_codes_are_refused_before_anything_is_counted() {
    let stack = Stack::start().await;
    let (registration, _) = stack.sign_up(ADA).await;
    let refused: [(Value, u16); 8] = [
        (json!({}), 422),
        (json!({ "code": null }), 422),
        (json!({ "code": "" }), 422),
        (json!({ "code": "٠٠٤٢" }), 422),
        (json!({ "code": "00 42" }), 422),
        (json!({ "code": "12345678901" }), 422),
        (json!({ "code": 1234 }), 400),
        (json!({ "code": ["1234"] }), 400),
    ];
    for (body, status) in refused {
        let answer = stack.client.activate_with(ADA, PASSWORD, &body).await;
        assert_eq!(answer.problem().0, status, "{body}");
    }
    assert_eq!(stack.client.receipt(&registration).await["attempts_left"], 3);
    let (other, _) = stack.sign_up("bob@example.com").await;
    let foreign = json!({ "code": "0000", "registration": other });
    assert_eq!(stack.client.activate_with(ADA, PASSWORD, &foreign).await.problem().0, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_can_be_longer() {
    let stack = Stack::start_with(&[("CODE_LENGTH", "8")]).await;
    let (registration, code) = stack.sign_up(ADA).await;
    assert_eq!((code.len(), &stack.client.receipt(&registration).await["code_length"]), (8, &json!(8)));
    assert_eq!(stack.client.activate(ADA, &code[..4]).await.problem(), (422, "wrong-code".into()));
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
}

/// A key that was put in front makes the new codes; the old one's still open.
#[tokio::test(flavor = "multi_thread")]
async fn secrets_can_be_changed_while_codes_live() {
    let stack = Stack::start().await;
    let (_, code) = stack.sign_up(ADA).await;
    let both = "new:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=,test:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let rotated = stack.start_api(&[("CODE_SECRETS", both)]).await;
    assert_eq!(rotated.client.activate(ADA, &code).await.status, 200);
}

/// I-08 does not hang on the lock of the address alone, which two APIs whose secrets differ do not share.
#[tokio::test(flavor = "multi_thread")]
async fn the_statement_that_counts_a_try_cannot_count_too_far() {
    let stack = Stack::without_broker().await;
    let api = stack.start_api(&[]).await;
    api.client.register(ADA).await;
    let code: uuid::Uuid = stack.database.client().query_one("SELECT id FROM codes", &[]).await.unwrap().get(0);
    let count = api::statements().into_iter().find(|sql| sql.starts_with("UPDATE codes SET attempts")).unwrap();
    for tried in 0..5 {
        let granted = stack.database.client().query(count, &[&vec![code]]).await.unwrap().len();
        assert_eq!(granted, usize::from(tried < 3), "try {tried}");
    }
}
