//! Limits of mails by mailbox: addresses that differ in their `+tag` share budgets and mutes.

use serde_json::json;

use crate::registration::not_me::{not_me_path, status_and_headline, submit_not_me};
use support::{
    client::{concurrently_with_retry, count, send},
    stack::Stack,
};

const ADA: &str = "ada@example.com";
/// Every message that was written, and how many of them were mailed.
const MESSAGES: &str = "SELECT count(*) FROM deliveries";

fn tagged(n: usize) -> String {
    format!("ada+{n}@example.com")
}

/// Waits until every message has its outcome.
async fn wait_until_delivered(stack: &Stack) {
    stack.database.wait_for_count("SELECT count(*) FROM outbox", 0).await;
    let pending = "SELECT (SELECT count(*) FROM codes) + (SELECT count(*) FROM resets) + (SELECT count(*) FROM unlocks) \
        + (SELECT count(*) FROM users) - (SELECT count(*) FROM deliveries)";
    stack.database.wait_for_count(pending, 0).await;
}

/// All mails to the mailbox, whatever the tag.
fn mails(stack: &Stack) -> usize {
    stack.mail_server.mails().iter().filter(|mail| mail.to.starts_with("ada")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn s_34_tagged_addresses_share_the_budget_of_the_mailbox() {
    let stack = Stack::start_with(&[("ARGON2_MEMORY_KIB", "8"), ("ARGON2_PASSES", "1")]).await;
    let one_network = stack.client.from_address("198.51.100.7");
    let answers = concurrently_with_retry(65, |n| {
        let client = one_network.clone();
        async move { client.register(&tagged(n)).await }
    });
    assert_eq!(count(&answers.await), [(202, 3), (429, 62)].into());
    let answers = concurrently_with_retry(65, |n| {
        let client = stack.client.clone();
        async move { client.register(&tagged(n)).await }
    });
    assert_eq!(count(&answers.await), [(202, 2), (429, 63)].into());
    assert_eq!(stack.client.request_reset(ADA).await.status, 429);
    wait_until_delivered(&stack).await;
    assert_eq!(mails(&stack), 5, "the budget of an hour");
}

/// Whatever a stranger requests for a muted mailbox, under any tag.
async fn use_every_endpoint(stack: &Stack) {
    for n in 0..4 {
        for email in [ADA, &*tagged(n)] {
            let stranger = stack.client.from_address(&format!("198.51.100.{n}"));
            stranger.register_with(email, "an attacker's password").await;
            let resend = stranger.request("POST", "/v1/users/resend");
            send(resend.basic_auth(email, Some("an attacker's password"))).await;
            stranger.activate_with(email, "an attacker's password", &json!({ "code": "0000" })).await;
            stranger.request_reset(email).await;
            for _ in 0..6 {
                stranger.login(email, "not the password").await;
            }
            // No code expires before it is mailed.
            wait_until_delivered(stack).await;
            stack.database.age(3_600).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn s_35_muted_mailbox_without_an_account_gets_no_mail() {
    let stack = Stack::start_with(&[("ARGON2_MEMORY_KIB", "8"), ("ARGON2_PASSES", "1")]).await;
    assert_eq!(stack.client.register(&tagged(1)).await.status, 202);
    let link = not_me_path(&stack.mail_server.mail_to(&tagged(1)).await);
    assert_eq!(status_and_headline(&submit_not_me(&stack.client, &link, "").await).0, 200);
    use_every_endpoint(&stack).await;
    wait_until_delivered(&stack).await;
    assert!(stack.database.count(MESSAGES).await > 5);
    assert_eq!(mails(&stack), 1, "the one from before the mute");
}

#[tokio::test(flavor = "multi_thread")]
async fn s_35_muted_owner_gets_one_reset_code_and_one_unlock_link_a_day() {
    let stack = Stack::start_with(&[("ARGON2_MEMORY_KIB", "8"), ("ARGON2_PASSES", "1")]).await;
    stack.create_account(ADA).await;
    assert_eq!(stack.client.request_reset("ada+x@example.com").await.status, 202);
    // The owner of an account reports a mail that a stranger has caused.
    let link = not_me_path(&stack.mail_server.mail_to("ada+x@example.com").await);
    assert_eq!(status_and_headline(&submit_not_me(&stack.client, &link, "").await).0, 200);
    use_every_endpoint(&stack).await;
    wait_until_delivered(&stack).await;
    let subjects: Vec<_> = stack.mail_server.mails_to(ADA).iter().skip(2).map(|mail| mail.subject.clone()).collect();
    assert_eq!(subjects.len(), 2, "{subjects:?}");
    for subject in ["Your password reset code", "Too many wrong passwords"] {
        assert!(subjects.iter().any(|sent| sent == subject), "{subject} is not among {subjects:?}");
    }
    assert_eq!(mails(&stack), 5, "the code, the welcome, the reported mail, and these two");
}

/// An attacker who locks many tagged addresses without an account causes one mail, and takes nothing from an account.
#[tokio::test(flavor = "multi_thread")]
async fn unlock_mails_of_tagged_addresses_are_one_a_day() {
    let stack = Stack::start_with(&[("ARGON2_MEMORY_KIB", "8"), ("ARGON2_PASSES", "1")]).await;
    stack.create_account(ADA).await;
    let emails = (0..3).map(tagged).chain([ADA.to_owned()]);
    for (n, email) in emails.enumerate() {
        let stranger = stack.client.from_address(&format!("198.51.100.{n}"));
        for _ in 0..6 {
            stranger.login(&email, "not the password").await;
        }
    }
    wait_until_delivered(&stack).await;
    assert_eq!(stack.database.count("SELECT count(*) FROM unlocks").await, 4, "every address costs the same");
    let tagged_mails = (0..3).map(|n| stack.mail_server.mails_to(&tagged(n)).len());
    assert_eq!((tagged_mails.sum::<usize>(), stack.mail_server.mails_to(ADA).len()), (1, 3));
}

/// The link of a sign-up that waits for its code cannot be used up with other tags.
#[tokio::test(flavor = "multi_thread")]
async fn open_sign_up_gets_its_own_unlock_link() {
    let stack = Stack::start_with(&[("ARGON2_MEMORY_KIB", "8"), ("ARGON2_PASSES", "1")]).await;
    stack.sign_up(ADA).await;
    for (n, email) in [tagged(1), tagged(2), ADA.to_owned()].iter().enumerate() {
        let stranger = stack.client.from_address(&format!("198.51.100.{n}"));
        for _ in 0..6 {
            stranger.login(email, "not the password").await;
        }
    }
    assert_eq!(stack.mail_server.nth_mail_to(ADA, 2).await.subject, "Too many wrong passwords");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_network_causes_twenty_unlock_mails_an_hour() {
    let stack = Stack::start_with(&[
        ("ARGON2_MEMORY_KIB", "8"),
        ("ARGON2_PASSES", "1"),
        ("PASSWORD_CHECKS_PER_NETWORK_PER_MINUTE", "0"),
    ])
    .await;
    let stranger = stack.client.from_address("198.51.100.7");
    for n in 0..22 {
        for _ in 0..6 {
            stranger.login(&format!("u{n}@example.com"), "not the password").await;
        }
        if n % 10 == 9 {
            // So that wrong passwords do not limit the network.
            stack.database.age(900).await;
        }
    }
    wait_until_delivered(&stack).await;
    assert_eq!(stack.database.count("SELECT count(*) FROM unlocks").await, 22);
    assert_eq!(stack.mail_server.mails().len(), 20);
}
