//! Account deletion removes the user from every table and queue, and frees the email address.

use crate::{
    delivery::smtp_pool::wait_until_newest_code_is_read,
    operations::secret_leaks::{dump, spellings},
};
use support::{
    client::{PASSWORD, concurrently_with_retry, count, send},
    fake_smtp::behaviour::{Behaviour, Stage},
    stack::Stack,
};

const ADA: &str = "ada@example.com";
const BOB: &str = "bob@example.com";
const ME: &str = "/v1/users/me";
const DROPPED: &str = "SELECT count(*) FROM deliveries WHERE outcome = 'dropped' AND why = 'gone'";
/// A rejection that quotes the email address, as mail servers often do: it ends up in the delivery record.
const REJECTION_WITH_ADDRESS: Behaviour =
    Behaviour::Raw { at: Stage::Rcpt, bytes: b"550 5.1.1 <ada@example.com> ada@example.com: no such user\r\n" };

#[tokio::test(flavor = "multi_thread")]
async fn deletion_removes_the_address_from_all_tables() {
    let stack = Stack::start_with(&[("RESEND_THROTTLE_SECONDS", "0")]).await;
    stack.sign_up_and_activate(BOB).await;
    let bobs = stack.client.token(BOB).await;
    // Three registrations besides the activated one: closed by its activation, open, and with a rejected mail.
    let closed = stack.client.register_with(ADA, "another password").await.registration();
    stack.sign_up(ADA).await;
    assert_eq!(stack.client.resend(ADA).await.status, 202);
    let code = stack.mail_server.nth_mail_to(ADA, 3).await.code();
    stack.database.wait_for_count("SELECT count(*) FROM codes WHERE sent_at IS NULL", 0).await;
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
    let open = stack.client.register_with_key("the-key-of-ada@example.com", ADA, "an attacker's").await.registration();
    stack.client.wait_for_receipt(&open, "sent").await;
    // Three codes, the notice of the activation and that of the registration above: the script is for the next mail.
    stack.mail_server.nth_mail_to(ADA, 5).await;
    stack.mail_server.script(ADA, [REJECTION_WITH_ADDRESS]);
    let rejected = stack.client.register_with(ADA, "a second attacker's").await.registration();
    stack.client.wait_for_receipt(&rejected, "undeliverable").await;
    assert_eq!(stack.client.login(ADA, "not her password").await.status, 401);
    let tokens = [stack.client.token(ADA).await, stack.client.token(ADA).await];
    let body = serde_json::json!({ "password": PASSWORD, "new_password": "another horse battery" });
    let change = stack.client.request("POST", "/v1/users/me/password").bearer_auth(&tokens[0]).json(&body);
    assert_eq!(send(change).await.status, 204);
    stack.database.age(3_600).await;
    let forgotten = stack.client.request_reset(ADA).await;
    assert_eq!(forgotten.status, 202, "{forgotten:?}");
    stack.client.wait_for_reset_receipt(&forgotten.receipt(), "sent").await;
    let before = dump(&stack, &[]).await;
    let identifiers = || [ADA, "the-key-of-ada"].into_iter().flat_map(spellings);
    assert!(before.contains(ADA) && before.contains("the-key-of-ada") && before.contains("550 5.1.1"), "{before}");
    assert!(before.contains("sessions: ") && before.contains("lockouts: "), "{before}");
    assert!(before.contains("resets: ") && before.contains("password_changes: "), "{before}");

    let deleting = stack.client.request("DELETE", ME).basic_auth(ADA, Some("another horse battery"));
    let answer = send(deleting).await;
    assert_eq!((answer.status, answer.text.as_str()), (204, ""), "{answer:?}");
    // The notice to the owner is the last that knows the address.
    stack.database.wait_for_count("SELECT count(*) FROM account_deletions", 0).await;
    assert!(stack.mail_server.mails_to(ADA).iter().any(|mail| mail.subject == "Your account was deleted"));
    let after = dump(&stack, &[]).await;
    for identifier in identifiers() {
        assert!(!after.contains(&identifier), "{identifier} in {after}");
    }
    for table in ["users", "registrations", "codes", "sessions"] {
        assert_eq!(
            stack.database.count(&format!("SELECT count(*) FROM {table}")).await,
            1,
            "Bob's row remains in {table}"
        );
    }
    for table in ["resets", "password_changes"] {
        assert_eq!(stack.database.count(&format!("SELECT count(*) FROM {table}")).await, 0, "{table}");
    }
    assert_eq!(stack.client.bearer("GET", ME, &bobs).await.status, 200);
    for token in &tokens {
        assert_eq!(stack.client.bearer("GET", ME, token).await.status, 401);
    }
    for registration in [closed, open, rejected] {
        let answer = stack.client.get(&format!("/v1/registrations/{registration}")).await;
        assert_eq!(answer.problem(), (404, "not-found".into()));
    }
    assert_eq!(stack.client.login(ADA, PASSWORD).await.problem(), (401, "unauthenticated".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_address_can_register_again() {
    let stack = Stack::start().await;
    // A code, a welcome, and a notice of the deletion.
    for (key, mails) in [("first", 0), ("second", 3)] {
        let registered = stack.client.register_with_key("one-key", ADA, PASSWORD).await;
        assert_eq!(registered.status, 202, "{key}: {registered:?}");
        let code = stack.mail_server.nth_mail_to(ADA, mails + 1).await.code();
        stack.client.wait_for_receipt(&registered.registration(), "sent").await;
        assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
        stack.mail_server.nth_mail_to(ADA, mails + 2).await;
        stack
            .database
            .wait_for_count("SELECT count(*) FROM deliveries WHERE outcome = 'delivered'", mails as i64 + 2)
            .await;
        assert_eq!(stack.client.delete_account(ADA).await.status, 204);
        stack.mail_server.nth_mail_to(ADA, mails + 3).await;
    }
    let budget = stack.database.count("SELECT cardinality(used_at)::bigint FROM budgets WHERE kind = 'codes'").await;
    assert_eq!(budget, 2, "deletion does not reset the budget of the address");
}

#[tokio::test(flavor = "multi_thread")]
async fn queued_mails_of_a_deleted_user_are_dropped() {
    let mut stack = Stack::prepare(&[]).await;
    stack.client = stack.start_api(&[]).await.client.clone();
    let worker = stack.start_worker(&[]).await;
    stack.sign_up_and_activate(ADA).await;
    stack.mail_server.nth_mail_to(ADA, 2).await;
    stack.database.wait_for_count("SELECT count(*) FROM deliveries", 2).await;
    worker.stop().await.unwrap();
    assert_eq!(stack.client.register(ADA).await.status, 202);
    stack.wait_for_queue_length(&stack.topology.codes.name, 1).await;
    stack.database.wait_for_count("SELECT count(*) FROM outbox", 0).await;
    assert_eq!(stack.client.delete_account(ADA).await.status, 204);
    stack.start_worker(&[]).await;
    stack.database.wait_for_count(DROPPED, 1).await;
    assert_eq!(stack.mail_server.nth_mail_to(ADA, 3).await.subject, "Your account was deleted");
    assert_eq!((stack.mail_server.mails_to(ADA).len(), stack.mail_server.attempts(ADA).len()), (3, 3));
    stack.wait_for_queue_length(&stack.topology.parked, 0).await;
}

/// For example the welcome mail of an account that is deleted right after its activation.
#[tokio::test(flavor = "multi_thread")]
async fn outbox_mails_of_a_deleted_user_are_not_published() {
    let mut stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    stack.start_worker(&[]).await;
    stack.client = api.client.clone();
    let (_, code) = stack.sign_up(ADA).await;
    stack.database.wait_for_count("SELECT count(*) FROM outbox", 0).await;
    api.stop().await.unwrap();
    // This API's relay has no broker, so the rows stay in the outbox.
    stack.client = stack.start_api(&[("AMQP_URL", "amqp://u:p@127.0.0.1:1")]).await.client.clone();
    assert_eq!(stack.client.register(BOB).await.status, 202);
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
    assert_eq!(stack.client.register(ADA).await.status, 202);
    let mails = "SELECT count(*) FROM outbox WHERE message ? 'kind'";
    assert_eq!(stack.database.count(mails).await, 3);
    assert_eq!(stack.client.delete_account(ADA).await.status, 204);
    assert_eq!(stack.database.count(mails).await, 2, "only Bob's mail and the notice of the deletion wait");
    let erased = "SELECT count(*) FROM deliveries WHERE outcome = 'dropped' AND why = 'erased'";
    assert_eq!(stack.database.count(erased).await, 2, "each dropped message is recorded");
}

/// There is one connection to the mail server, which Ada's slow mail occupies while Bob's composed mail waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn mail_awaiting_a_connection_is_dropped_on_deletion() {
    let stack = Stack::start_with(&[("WORKER_CONCURRENCY", "1")]).await;
    stack.sign_up_and_activate(BOB).await;
    stack.mail_server.nth_mail_to(BOB, 2).await;
    stack.mail_server.script(ADA, [Behaviour::Slow(Stage::Dot, std::time::Duration::from_secs(8))]);
    let ada = stack.client.register(ADA).await.registration();
    stack.mail_server.nth_attempt(ADA, 1).await;
    assert_eq!(stack.client.register(BOB).await.status, 202);
    wait_until_newest_code_is_read(&stack).await;
    assert_eq!(stack.client.delete_account(BOB).await.status, 204);
    assert!(stack.mail_server.mails_to(ADA).is_empty(), "the first mail was accepted before the deletion");
    stack.client.wait_for_receipt(&ada, "sent").await;
    stack.database.wait_for_count(DROPPED, 1).await;
    assert_eq!(stack.mail_server.nth_mail_to(BOB, 3).await.subject, "Your account was deleted");
    assert_eq!(stack.mail_server.attempts(BOB).len(), 3);
}

/// A concurrent registration is either deleted with the account or belongs to a new user; nothing in between.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_deletion_and_registration_stay_consistent() {
    let stack = Stack::start().await;
    for n in 0..6 {
        let email = format!("ada{n}@example.com");
        stack.sign_up_and_activate(&email).await;
        stack.mail_server.nth_mail_to(&email, 2).await;
        let answers = concurrently_with_retry(10, |k| {
            let (client, email) = (stack.client.clone(), email.clone());
            async move {
                match k % 5 {
                    0 => client.register(&email).await,
                    1 => client.login(&email, PASSWORD).await,
                    2 => client.activate(&email, "0000").await,
                    _ => client.delete_account(&email).await,
                }
            }
        })
        .await;
        let counts = count(&answers);
        assert_eq!((counts.get(&204), counts.get(&202)), (Some(&1), Some(&2)), "{counts:?}");
        assert!(counts.keys().all(|status| [200, 202, 204, 401, 403, 409, 422].contains(status)), "{counts:?}");
        assert_eq!(stack.database.count("SELECT count(*) FROM users").await, 0, "the user is deleted");
        for registration in answers.iter().filter(|answer| answer.status == 202).map(|answer| answer.registration()) {
            let receipt = stack.client.get(&format!("/v1/registrations/{registration}")).await;
            assert!([200, 404].contains(&receipt.status), "{receipt:?}");
            if receipt.status == 200 {
                stack.client.wait_for_receipt(&registration, "sent").await;
                let mails = stack.mail_server.mails_to(&email);
                let newest = &mails.last().unwrap().text;
                assert!(
                    !newest.contains("already"),
                    "a registration that remains was made after the deletion: {newest}"
                );
            }
        }
    }
    let left = "SELECT count(*) FROM registrations WHERE activated_at IS NOT NULL OR closed_at IS NOT NULL";
    assert_eq!(stack.database.count(left).await, 0);
}

/// S-36: a stolen session token cannot delete the account, and a deletion is mailed to the owner.
#[tokio::test(flavor = "multi_thread")]
async fn s_36_deletion_requires_the_password_and_notifies_the_owner() {
    let stack = Stack::start().await;
    stack.create_account(ADA).await;
    let token = stack.client.token(ADA).await;
    let answer = stack.client.bearer("DELETE", ME, &token).await;
    assert_eq!(answer.problem(), (401, "unauthenticated".into()));
    assert!(answer.header("www-authenticate").starts_with("Basic "));
    let wrong = stack.client.request("DELETE", ME).basic_auth(ADA, Some("not her password"));
    assert_eq!(send(wrong).await.problem(), (401, "unauthenticated".into()));
    assert_eq!(stack.client.bearer("GET", ME, &token).await.status, 200);

    stack.client.register(BOB).await;
    assert_eq!(stack.client.delete_account(BOB).await.problem(), (403, "not-activated".into()));

    assert_eq!(stack.client.delete_account(ADA).await.status, 204);
    assert_eq!(stack.mail_server.nth_mail_to(ADA, 3).await.subject, "Your account was deleted");
    stack.database.wait_for_count("SELECT count(*) FROM account_deletions", 0).await;
}

/// A rejected notice can be sent again for a week; what the mail server said does not keep the address on record.
#[tokio::test(flavor = "multi_thread")]
async fn rejected_notice_of_a_deletion_keeps_no_address_in_its_record() {
    let stack = Stack::start().await;
    stack.create_account(ADA).await;
    stack.mail_server.script(ADA, [REJECTION_WITH_ADDRESS]);
    assert_eq!(stack.client.delete_account(ADA).await.status, 204);
    stack.database.wait_for_count("SELECT count(*) FROM deliveries WHERE outcome = 'undeliverable'", 1).await;
    assert_eq!(stack.database.count("SELECT count(*) FROM deliveries WHERE why LIKE '%ada@%'").await, 0);
    assert_eq!(stack.database.count("SELECT count(*) FROM account_deletions").await, 1);
    stack.database.execute("UPDATE account_deletions SET deleted_at = deleted_at - interval '7 days'", &[]).await;
    stack.start_api(&[("HOUSEKEEPING_SECONDS", "1")]).await;
    stack.database.wait_for_count("SELECT count(*) FROM account_deletions", 0).await;
}
