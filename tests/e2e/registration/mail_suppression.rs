//! Mail suppression (mutes): registrations of an email address whose owner pressed "This was not me" send no mail for
//! 30 days.

use std::collections::BTreeSet;

use serde_json::json;

use crate::{
    operations::cleanup::CLEANING,
    registration::{
        enumeration::without_ids_and_dates,
        not_me::{not_me_path, status_and_headline, submit_not_me},
    },
};
use support::{
    client::PASSWORD,
    fake_smtp::behaviour::{Behaviour, Stage},
    stack::Stack,
};

const ADA: &str = "ada@example.com";
const ATTACKERS_PASSWORD: &str = "an attacker's password";
const MONTH: i32 = 30 * 86_400;
const MUTED: &str = "SELECT count(*) FROM deliveries WHERE outcome = 'dropped' AND why = 'muted'";

/// Registers the email address and mutes it through the link of the code mail; returns the link.
async fn register_and_mute(stack: &Stack, email: &str) -> String {
    stack.sign_up(email).await;
    let link = not_me_path(&stack.mail_server.mail_to(email).await);
    assert_eq!(status_and_headline(&submit_not_me(&stack.client, &link, "").await), (200, "The sign-up is closed"));
    link
}

/// I-15. With `CODE_LENGTH` 8 the guesses cannot lengthen the codes, whose length is part of the responses.
#[tokio::test(flavor = "multi_thread")]
async fn s_06_muted_address_responds_alike_and_gets_no_mail() {
    let stack = Stack::start_with(&[("RESEND_THROTTLE_SECONDS", "0"), ("CODE_LENGTH", "8")]).await;
    register_and_mute(&stack, "muted@example.com").await;
    stack.sign_up_and_activate("owner@example.com").await;
    let old = not_me_path(&stack.mail_server.mail_to("owner@example.com").await);
    submit_not_me(&stack.client, &old, "").await;
    stack.sign_up("pending@example.com").await;
    let mut responses_by_address = Vec::new();
    for email in ["pending@example.com", "new@example.com", "muted@example.com", "owner@example.com"] {
        let mut responses = Vec::new();
        let registered = stack.client.register_with(email, ATTACKERS_PASSWORD).await;
        responses.push(without_ids_and_dates(&registered));
        for _ in 0..2 {
            let receipt = stack.client.wait_for_receipt(&registered.registration(), "sent").await;
            let validity = parse_time(&receipt["expires_at"]) - parse_time(&receipt["sent_at"]);
            assert_eq!(validity, time::Duration::MINUTE, "{receipt}");
            let names: BTreeSet<_> = receipt.as_object().unwrap().keys().cloned().collect();
            responses.push((200, names, receipt["attempts_left"].to_string()));
            for guess in ["00000000", "11111111", "22222222", "33333333"] {
                responses.push(without_ids_and_dates(
                    &stack.client.activate_with(email, ATTACKERS_PASSWORD, &json!({ "code": guess })).await,
                ));
            }
            let resend = stack.client.request("POST", "/v1/users/resend").basic_auth(email, Some(ATTACKERS_PASSWORD));
            responses.push(without_ids_and_dates(&support::client::send(resend).await));
        }
        responses_by_address.push(responses);
    }
    assert!(
        responses_by_address.iter().all(|responses| *responses == responses_by_address[0]),
        "{responses_by_address:#?}"
    );
    stack.database.wait_for_count(MUTED, 6).await;
    assert_eq!(stack.mail_server.mails_to("muted@example.com").len(), 1, "only the code mail from before the mute");
    assert_eq!(
        stack.mail_server.mails_to("owner@example.com").len(),
        2,
        "only the code and the welcome from before the mute"
    );
    assert_eq!(stack.client.get("/health").await.json()["checks"]["mail"], "ok");
}

fn parse_time(text: &serde_json::Value) -> time::OffsetDateTime {
    let rfc_3339 = &time::format_description::well_known::Rfc3339;
    time::OffsetDateTime::parse(text.as_str().unwrap(), rfc_3339).unwrap()
}

/// I-15: for a muted email address the worker still asks the mail server (RCPT), so a rejected recipient shows in the
/// receipt as for any other email address.
#[tokio::test(flavor = "multi_thread")]
async fn s_06_muted_address_responds_alike_while_mail_is_undeliverable() {
    let stack = Stack::start().await;
    register_and_mute(&stack, ADA).await;
    for email in ["new@example.com", ADA] {
        stack.mail_server.script(email, [Behaviour::Reply { at: Stage::Rcpt, code: 550 }]);
        let registration = stack.client.register_with(email, ATTACKERS_PASSWORD).await.registration();
        stack.client.wait_for_receipt(&registration, "undeliverable").await;
        let attempts = stack.mail_server.attempts(email).len();
        stack.mail_server.script(email, [Behaviour::Reply { at: Stage::Rcpt, code: 451 }]);
        let registration = stack.client.register_with(email, "another attacker's").await.registration();
        stack.mail_server.nth_attempt(email, attempts + 2).await;
        stack.client.wait_for_receipt(&registration, "sent").await;
    }
    assert_eq!((stack.mail_server.mails_to(ADA).len(), stack.mail_server.mails_to("new@example.com").len()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn mute_expires_after_thirty_days() {
    let stack = Stack::start_with(&[CLEANING]).await;
    register_and_mute(&stack, ADA).await;
    assert_eq!(stack.client.get("/v1/policy").await.json()["muted_for"], MONTH);
    stack.database.age(MONTH - 120).await;
    let early = stack.client.register(ADA).await.registration();
    stack.client.wait_for_receipt(&early, "sent").await;
    stack.database.wait_for_count(MUTED, 1).await;
    stack.database.age(120).await;
    stack.database.wait_for_count("SELECT count(*) FROM mutes", 0).await;
    assert_eq!(stack.client.register(ADA).await.status, 202);
    let mail = stack.mail_server.nth_mail_to(ADA, 2).await;
    stack.database.wait_for_count("SELECT count(*) FROM codes WHERE sent_at IS NULL", 0).await;
    assert_eq!(stack.client.activate(ADA, &mail.code()).await.status, 200);
    assert_eq!(stack.mail_server.attempts(ADA).len(), 3, "two mails, and one suppressed by the mute");
}

/// An expired mute has no effect even if cleanup has not deleted its row.
#[tokio::test(flavor = "multi_thread")]
async fn expired_mute_has_no_effect_before_cleanup() {
    let stack = Stack::start().await;
    let link = register_and_mute(&stack, ADA).await;
    stack.database.execute("UPDATE mutes SET until = clock_timestamp()", &[]).await;
    assert_eq!(status_and_headline(&stack.client.get(&link).await), (200, "Was this not you?"));
    stack.client.register(ADA).await;
    stack.mail_server.nth_mail_to(ADA, 2).await;
    assert_eq!(stack.database.count("SELECT count(*) FROM mutes").await, 1);
    assert_eq!(status_and_headline(&submit_not_me(&stack.client, &link, "").await), (200, "The sign-up is closed"));
    let left = "SELECT extract(day FROM max(until) - clock_timestamp())::bigint FROM mutes";
    assert_eq!(stack.database.count(left).await, 29, "the new mute lasts another 30 days");
}

#[tokio::test(flavor = "multi_thread")]
async fn unmuted_address_can_register() {
    let stack = Stack::start_with(&[("RESEND_THROTTLE_SECONDS", "0")]).await;
    let link = register_and_mute(&stack, ADA).await;
    let during_mute = stack.client.register(ADA).await.registration();
    stack.client.wait_for_receipt(&during_mute, "sent").await;
    // A registration of a muted email address has no valid code: not even the one derived from the secret activates it.
    let id = "SELECT id FROM codes ORDER BY created_at DESC LIMIT 1";
    let id: uuid::Uuid = stack.database.client().query_one(id, &[]).await.unwrap().get(0);
    let ring = shared::codes::CodeSecrets::parse(&stack.variables(&[])["CODE_SECRETS"]).unwrap();
    let digits = secrecy::ExposeSecret::expose_secret(&ring.newest().digits(id, 6)).to_owned();
    assert_eq!(stack.client.activate(ADA, &digits).await.problem(), (422, "wrong-code".into()));
    for _ in 0..2 {
        let answer = submit_not_me(&stack.client, &link, "wish=unmute").await;
        assert_eq!(status_and_headline(&answer), (200, "You can sign up again"));
    }
    assert_eq!(status_and_headline(&stack.client.get(&link).await), (200, "Was this not you?"));
    // The registration that was created during the mute can still be activated with a new code.
    assert_eq!(stack.client.resend(ADA).await.status, 202);
    let mail = stack.mail_server.nth_mail_to(ADA, 2).await;
    stack.client.wait_for_receipt(&during_mute, "sent").await;
    assert_eq!(mail.code().len(), 6);
    assert_eq!(stack.client.activate(ADA, &mail.code()).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn mute_leaves_an_existing_account_usable() {
    let stack = Stack::start().await;
    let (registration, code) = stack.sign_up(ADA).await;
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
    stack.mail_server.nth_mail_to(ADA, 2).await;
    let token = stack.client.token(ADA).await;
    submit_not_me(&stack.client, &not_me_path(&stack.mail_server.mail_to(ADA).await), "").await;
    assert_eq!(stack.client.receipt(&registration).await["status"], "activated");
    assert_eq!(stack.client.bearer("GET", "/v1/users/me", &token).await.status, 200);
    assert_eq!(stack.client.login(ADA, PASSWORD).await.status, 200);
    let attackers = stack.client.register_with(ADA, ATTACKERS_PASSWORD).await.registration();
    stack.client.wait_for_receipt(&attackers, "sent").await;
    assert_eq!(stack.mail_server.mails_to(ADA).len(), 2, "no mail about an attacker's registration");
}

/// Each "not me" counts like wrong guesses at the email address: later codes are longer, up to 8 digits. It never
/// blocks the email address and does not count towards the instance-wide guesses.
#[tokio::test(flavor = "multi_thread")]
async fn mutes_lengthen_codes_without_blocking_the_address() {
    for (settings, lengths) in [(&[][..], [6, 8, 8]), (&[("CODE_ESCALATION", "off")][..], [4, 4, 4])] {
        let stack = Stack::start_with(settings).await;
        let link = register_and_mute(&stack, ADA).await;
        let mut mails = 1;
        for length in lengths {
            submit_not_me(&stack.client, &link, "").await;
            submit_not_me(&stack.client, &link, "wish=unmute").await;
            let answer = stack.client.register(ADA).await;
            assert_eq!(answer.json()["code_length"], length, "{settings:?}");
            mails += 1;
            stack.mail_server.nth_mail_to(ADA, mails).await;
        }
        let code = stack.mail_server.nth_mail_to(ADA, mails).await.code();
        stack.database.wait_for_count("SELECT count(*) FROM codes WHERE sent_at IS NULL", 0).await;
        assert_eq!(stack.client.activate(ADA, &code).await.status, 200, "{settings:?}");
        assert_eq!(stack.database.count("SELECT count(*) FROM code_attempts").await, 0);
    }
}

/// Mails of an attacker's registration that are in the queue when the owner mutes the email address.
#[tokio::test(flavor = "multi_thread")]
async fn mute_drops_mails_already_queued() {
    let mut stack = Stack::prepare(&[]).await;
    stack.client = stack.start_api(&[]).await.client.clone();
    let worker = stack.start_worker(&[]).await;
    stack.sign_up(ADA).await;
    let link = not_me_path(&stack.mail_server.mail_to(ADA).await);
    worker.stop().await.unwrap();
    assert_eq!(stack.client.register_with(ADA, ATTACKERS_PASSWORD).await.status, 202);
    stack.wait_for_queue_length(&stack.topology.codes.name, 1).await;
    submit_not_me(&stack.client, &link, "").await;
    stack.start_worker(&[]).await;
    let dropped = "SELECT count(*) FROM deliveries WHERE outcome = 'dropped' AND why = 'registration over'";
    stack.database.wait_for_count(dropped, 1).await;
    assert_eq!(stack.mail_server.attempts(ADA).len(), 1);
}
