//! What becomes of sign-ups with an address whose owner said that it was not them.

use std::collections::BTreeSet;

use serde_json::json;

use crate::{
    operations::cleanup::CLEANING,
    registration::{
        enumeration::shape,
        not_me::{link, page, press},
    },
};
use support::{
    client::PASSWORD,
    fake_smtp::behaviour::{Behaviour, Stage},
    stack::Stack,
};

const ADA: &str = "ada@example.com";
const STRANGER: &str = "a stranger's password";
const MONTH: i32 = 30 * 86_400;
const MUTED: &str = "SELECT count(*) FROM deliveries WHERE outcome = 'dropped' AND why = 'muted'";

/// Signs up, and says that it was not her; returns the link.
async fn denied(stack: &Stack, email: &str) -> String {
    stack.sign_up(email).await;
    let link = link(&stack.mail_server.mail_to(email).await);
    assert_eq!(page(&press(&stack.client, &link, "").await), (200, "The sign-up is closed"));
    link
}

/// I-15. Codes that cannot grow, because a code's length is told.
#[tokio::test(flavor = "multi_thread")]
async fn s_06_a_muted_address_answers_like_any_other_and_gets_no_mail() {
    let stack = Stack::start_with(&[("RESEND_THROTTLE_SECONDS", "0"), ("CODE_LENGTH", "8")]).await;
    denied(&stack, "muted@example.com").await;
    stack.sign_up_and_activate("owner@example.com").await;
    let old = link(&stack.mail_server.mail_to("owner@example.com").await);
    press(&stack.client, &old, "").await;
    stack.sign_up("pending@example.com").await;
    let mut seen = Vec::new();
    for email in ["pending@example.com", "new@example.com", "muted@example.com", "owner@example.com"] {
        let mut story = Vec::new();
        let registered = stack.client.register_with(email, STRANGER).await;
        story.push(shape(&registered));
        for _ in 0..2 {
            let receipt = stack.client.receipt_when(&registered.registration(), "sent").await;
            let lives = time(&receipt["expires_at"]) - time(&receipt["sent_at"]);
            assert_eq!(lives, time::Duration::MINUTE, "{receipt}");
            let names: BTreeSet<_> = receipt.as_object().unwrap().keys().cloned().collect();
            story.push((200, names, receipt["attempts_left"].to_string()));
            for guess in ["00000000", "11111111", "22222222", "33333333"] {
                story.push(shape(&stack.client.activate_with(email, STRANGER, &json!({ "code": guess })).await));
            }
            let resend = stack.client.request("POST", "/v1/users/resend").basic_auth(email, Some(STRANGER));
            story.push(shape(&support::client::send(resend).await));
        }
        seen.push(story);
    }
    assert!(seen.iter().all(|story| *story == seen[0]), "{seen:#?}");
    stack.database.becomes(MUTED, 6).await;
    assert_eq!(stack.mail_server.mails_to("muted@example.com").len(), 1, "the one that was denied");
    assert_eq!(stack.mail_server.mails_to("owner@example.com").len(), 2, "a code, and the welcome");
    assert_eq!(stack.client.get("/health").await.json()["checks"]["mail"], "ok");
}

fn time(text: &serde_json::Value) -> time::OffsetDateTime {
    let rfc_3339 = &time::format_description::well_known::Rfc3339;
    time::OffsetDateTime::parse(text.as_str().unwrap(), rfc_3339).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn s_06_it_answers_alike_while_mail_cannot_be_delivered() {
    let stack = Stack::start().await;
    denied(&stack, ADA).await;
    for email in ["new@example.com", ADA] {
        stack.mail_server.script(email, [Behaviour::Reply { at: Stage::Rcpt, code: 550 }]);
        let registration = stack.client.register_with(email, STRANGER).await.registration();
        stack.client.receipt_when(&registration, "undeliverable").await;
        let attempts = stack.mail_server.attempts(email).len();
        stack.mail_server.script(email, [Behaviour::Reply { at: Stage::Rcpt, code: 451 }]);
        let registration = stack.client.register_with(email, "another one's").await.registration();
        stack.mail_server.nth_attempt(email, attempts + 2).await;
        stack.client.receipt_when(&registration, "sent").await;
    }
    assert_eq!((stack.mail_server.mails_to(ADA).len(), stack.mail_server.mails_to("new@example.com").len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mute_ends_after_a_month_and_not_before() {
    let stack = Stack::start_with(&[CLEANING]).await;
    denied(&stack, ADA).await;
    assert_eq!(stack.client.get("/v1/policy").await.json()["muted_for"], MONTH);
    stack.database.age(MONTH - 120).await;
    let early = stack.client.register(ADA).await.registration();
    stack.client.receipt_when(&early, "sent").await;
    stack.database.becomes(MUTED, 1).await;
    stack.database.age(120).await;
    stack.database.becomes("SELECT count(*) FROM mutes", 0).await;
    assert_eq!(stack.client.register(ADA).await.status, 202);
    let mail = stack.mail_server.nth_mail_to(ADA, 2).await;
    stack.database.becomes("SELECT count(*) FROM codes WHERE sent_at IS NULL", 0).await;
    assert_eq!(stack.client.activate(ADA, &mail.code()).await.status, 200);
    assert_eq!(stack.mail_server.attempts(ADA).len(), 3, "two mails, and one that was muted");
}

/// Even where nobody cleans up.
#[tokio::test(flavor = "multi_thread")]
async fn a_mute_that_has_ended_is_none() {
    let stack = Stack::start().await;
    let link = denied(&stack, ADA).await;
    stack.database.execute("UPDATE mutes SET until = clock_timestamp()", &[]).await;
    assert_eq!(page(&stack.client.get(&link).await), (200, "Was this not you?"));
    stack.client.register(ADA).await;
    stack.mail_server.nth_mail_to(ADA, 2).await;
    assert_eq!(stack.database.count("SELECT count(*) FROM mutes").await, 1);
    assert_eq!(page(&press(&stack.client, &link, "").await), (200, "The sign-up is closed"));
    let left = "SELECT extract(day FROM max(until) - clock_timestamp())::bigint FROM mutes";
    assert_eq!(stack.database.count(left).await, 29, "and a whole month more");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_changes_their_mind_takes_it_back_and_signs_up() {
    let stack = Stack::start_with(&[("RESEND_THROTTLE_SECONDS", "0")]).await;
    let link = denied(&stack, ADA).await;
    let silent = stack.client.register(ADA).await.registration();
    stack.client.receipt_when(&silent, "sent").await;
    // Not even who knows the secret knows its code.
    let id = "SELECT id FROM codes ORDER BY created_at DESC LIMIT 1";
    let id: uuid::Uuid = stack.database.client().query_one(id, &[]).await.unwrap().get(0);
    let ring = shared::codes::CodeSecrets::parse(&stack.variables(&[])["CODE_SECRETS"]).unwrap();
    let digits = secrecy::ExposeSecret::expose_secret(&ring.newest().digits(id, 6)).to_owned();
    assert_eq!(stack.client.activate(ADA, &digits).await.problem(), (422, "wrong-code".into()));
    for _ in 0..2 {
        let answer = press(&stack.client, &link, "wish=unmute").await;
        assert_eq!(page(&answer), (200, "You can sign up again"));
    }
    assert_eq!(page(&stack.client.get(&link).await), (200, "Was this not you?"));
    // The one that was made meanwhile is as good as a new one.
    assert_eq!(stack.client.resend(ADA).await.status, 202);
    let mail = stack.mail_server.nth_mail_to(ADA, 2).await;
    stack.client.receipt_when(&silent, "sent").await;
    assert_eq!(mail.code().len(), 6);
    assert_eq!(stack.client.activate(ADA, &mail.code()).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_not_harmed() {
    let stack = Stack::start().await;
    let (registration, code) = stack.sign_up(ADA).await;
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
    stack.mail_server.nth_mail_to(ADA, 2).await;
    let token = stack.client.token(ADA).await;
    press(&stack.client, &link(&stack.mail_server.mail_to(ADA).await), "").await;
    assert_eq!(stack.client.receipt(&registration).await["status"], "activated");
    assert_eq!(stack.client.bearer("GET", "/v1/users/me", &token).await.status, 200);
    assert_eq!(stack.client.login(ADA, PASSWORD).await.status, 200);
    let strangers = stack.client.register_with(ADA, STRANGER).await.registration();
    stack.client.receipt_when(&strangers, "sent").await;
    assert_eq!(stack.mail_server.mails_to(ADA).len(), 2, "nor told of every stranger");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guess_ledger_hears_of_it_and_nobody_is_locked_out() {
    for (settings, lengths) in [(&[][..], [6, 8, 8]), (&[("CODE_ESCALATION", "off")][..], [4, 4, 4])] {
        let stack = Stack::start_with(settings).await;
        let link = denied(&stack, ADA).await;
        let mut mails = 1;
        for length in lengths {
            press(&stack.client, &link, "").await;
            press(&stack.client, &link, "wish=unmute").await;
            let answer = stack.client.register(ADA).await;
            assert_eq!(answer.json()["code_length"], length, "{settings:?}");
            mails += 1;
            stack.mail_server.nth_mail_to(ADA, mails).await;
        }
        let code = stack.mail_server.nth_mail_to(ADA, mails).await.code();
        stack.database.becomes("SELECT count(*) FROM codes WHERE sent_at IS NULL", 0).await;
        assert_eq!(stack.client.activate(ADA, &code).await.status, 200, "{settings:?}");
        assert_eq!(stack.database.count("SELECT count(*) FROM guesses_by_hour WHERE wrong > 0").await, 0);
    }
}

/// A stranger's mails that are on their way when the owner says no.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_the_worker_is_not_mailed_any_more() {
    let mut stack = Stack::prepare(&[]).await;
    stack.client = stack.start_api(&[]).await.client.clone();
    let worker = stack.start_worker(&[]).await;
    stack.sign_up(ADA).await;
    let link = link(&stack.mail_server.mail_to(ADA).await);
    worker.stop().await.unwrap();
    assert_eq!(stack.client.register_with(ADA, STRANGER).await.status, 202);
    stack.queue_holds(&stack.topology.queue, 1).await;
    press(&stack.client, &link, "").await;
    stack.start_worker(&[]).await;
    let dropped = "SELECT count(*) FROM deliveries WHERE outcome = 'dropped' AND why = 'registration over'";
    stack.database.becomes(dropped, 1).await;
    assert_eq!(stack.mail_server.attempts(ADA).len(), 1);
}
