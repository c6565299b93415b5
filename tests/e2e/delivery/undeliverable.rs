//! `worker undeliverable`: the operator lists, requeues and drops mails that were permanently rejected.

use serde_json::{Value, json};

use support::{
    fake_smtp::behaviour::{Behaviour, Stage},
    stack::Stack,
};

const ADA: &str = "ada@example.com";
const REJECTED: Behaviour = Behaviour::Reply { at: Stage::Rcpt, code: 550 };

/// Runs `worker undeliverable …`: standard output, or the message on standard error.
async fn undeliverable(stack: &Stack, line: &str) -> Result<String, String> {
    let arguments = format!("undeliverable {line}");
    let Some(worker::Command::Tool(tool)) = worker::Command::parse(arguments.split(' ').map(str::to_owned)) else {
        panic!("not a command: {line}")
    };
    let config = worker::Config::load_from(stack.variables(&[])).unwrap();
    worker::answer(config, tool).await.map_err(|error| format!("{error:#}"))
}

/// The mails of `worker undeliverable list --json`.
async fn list(stack: &Stack) -> Vec<Value> {
    let answer: Value = serde_json::from_str(&undeliverable(stack, "list --json").await.unwrap()).unwrap();
    answer["undeliverable"].as_array().unwrap().clone()
}

/// Registers, and returns the registration when its mail is undeliverable and its outbox row is deleted, so that it can
/// be requeued.
async fn register_undeliverable(stack: &Stack, email: &str) -> String {
    stack.mail_server.script(email, [REJECTED]);
    let registration = stack.client.register(email).await.registration();
    stack.client.wait_for_receipt(&registration, "undeliverable").await;
    stack.database.wait_for_count("SELECT count(*) FROM outbox", 0).await;
    registration
}

#[tokio::test(flavor = "multi_thread")]
async fn undeliverable_mail_is_listed_masked_and_requeued() {
    let stack = Stack::start().await;
    assert_eq!(undeliverable(&stack, "list").await.unwrap(), "No mail is undeliverable.\n");
    let registration = register_undeliverable(&stack, ADA).await;

    let mails = list(&stack).await;
    let mail = &mails[0];
    let expected = (&json!("send-code"), &json!("a***@example.com"), &json!(true));
    assert_eq!((&mail["mail"], &mail["to"], &mail["requeue"]), expected, "{mail}");
    assert!(mail["why"].as_str().unwrap().contains("550"), "{mail}");
    let id = mail["id"].as_str().unwrap();
    for verb in ["list", &format!("show {id}")] {
        let text = undeliverable(&stack, verb).await.unwrap();
        assert!(text.contains(id) && text.contains("a***@example.com") && !text.contains(ADA), "{text}");
    }

    let output = undeliverable(&stack, &format!("requeue {id}")).await.unwrap();
    assert_eq!(output, "1 mail goes out again, through the outbox.\n");
    let code = stack.mail_server.mail_to(ADA).await.code();
    stack.client.wait_for_receipt(&registration, "sent").await;
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
    assert!(list(&stack).await.is_empty());
    for unknown in [id, "7", "b0e5f5c6-6a0e-4d0c-9a3b-3f8f4f0f9b52"] {
        for verb in ["show", "requeue", "drop"] {
            let output = undeliverable(&stack, &format!("{verb} {unknown}")).await.unwrap_err();
            assert!(output.contains("`worker undeliverable list`"), "{output}");
        }
    }
    assert_eq!(stack.mail_server.mails_to(ADA).iter().filter(|mail| mail.text.contains(&code)).count(), 1);
}

/// The requeued mails are those that were rejected: an already-registered notice without a code, and a welcome.
#[tokio::test(flavor = "multi_thread")]
async fn requeued_mails_keep_their_kind() {
    let stack = Stack::start().await;
    let (_, code) = stack.sign_up(ADA).await;
    stack.mail_server.script(ADA, [REJECTED]);
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
    stack.database.wait_for_count("SELECT count(*) FROM deliveries WHERE outcome = 'undeliverable'", 1).await;
    stack.mail_server.script(ADA, [REJECTED]);
    assert_eq!(stack.client.register(ADA).await.status, 202);
    stack.database.wait_for_count("SELECT count(*) FROM deliveries WHERE outcome = 'undeliverable'", 2).await;

    let kinds: Vec<_> = list(&stack).await.into_iter().map(|mut mail| mail["mail"].take()).collect();
    assert_eq!(kinds, ["send-code", "activated"], "newest first");
    stack.database.wait_for_count("SELECT count(*) FROM outbox", 0).await;
    let output: Value = serde_json::from_str(&undeliverable(&stack, "requeue all --json").await.unwrap()).unwrap();
    assert_eq!(output, json!({ "requeued": 2, "left": [] }));
    stack.mail_server.nth_mail_to(ADA, 3).await;
    let others: Vec<_> =
        stack.mail_server.mails_to(ADA).into_iter().filter(|mail| !mail.text.contains(&code)).collect();
    assert_eq!(others.len(), 2);
    assert_ne!(others[0].subject, others[1].subject);
    let has_code =
        |text: &str| text.lines().any(|line| line.len() >= 4 && line.bytes().all(|byte| byte.is_ascii_digit()));
    assert!(others.iter().all(|mail| !has_code(&mail.text)));
    stack.database.wait_for_count("SELECT count(*) FROM deliveries WHERE outcome = 'delivered'", 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_mail_is_not_requeued_and_can_be_dropped() {
    let stack = Stack::start().await;
    let old = "old@example.com";
    let registration = register_undeliverable(&stack, old).await;
    stack.database.age(600).await;
    register_undeliverable(&stack, ADA).await;

    let mails = list(&stack).await;
    let of = |to: &str| mails.iter().find(|mail| mail["to"] == to).unwrap();
    let id = of("o***@example.com")["id"].as_str().unwrap();
    assert_eq!(
        (&of("o***@example.com")["requeue"], &of("o***@example.com")["why_not"]),
        (&json!(false), &json!("expired"))
    );
    assert!(undeliverable(&stack, "list").await.unwrap().contains("no: expired"));
    let output = undeliverable(&stack, &format!("requeue {id}")).await.unwrap_err();
    assert!(output.contains("was not requeued: expired"), "{output}");
    let output: Value = serde_json::from_str(&undeliverable(&stack, "requeue all --json").await.unwrap()).unwrap();
    assert_eq!(output, json!({ "requeued": 1, "left": [{ "id": id, "why": "expired" }] }));
    stack.mail_server.mail_to(ADA).await;
    assert_eq!(stack.client.receipt(&registration).await["status"], "undeliverable");

    assert_eq!(undeliverable(&stack, &format!("drop {id}")).await.unwrap(), "1 mail was dropped.\n");
    let dropped = "SELECT count(*) FROM deliveries WHERE outcome = 'dropped' AND why = 'by the operator'";
    assert_eq!(stack.database.count(dropped).await, 1);
    assert!(list(&stack).await.is_empty());
    assert!(stack.mail_server.mails_to(old).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn superseded_or_closed_codes_cannot_be_requeued() {
    let stack = Stack::start().await;
    for email in [ADA, "bob@example.com"] {
        register_undeliverable(&stack, email).await;
    }
    let closed = "UPDATE registrations SET closed_at = clock_timestamp() WHERE email = 'bob@example.com'";
    stack.database.execute(closed, &[]).await;
    stack.database.age(60).await;
    assert_eq!(stack.client.resend(ADA).await.status, 202);
    let mut why: Vec<_> = list(&stack).await.into_iter().map(|mut mail| mail["why_not"].take()).collect();
    why.sort_by_key(ToString::to_string);
    assert_eq!(why, ["registration over", "superseded"]);
}

/// The relay is about to delete the old row, and would delete the requeued message with it.
#[tokio::test(flavor = "multi_thread")]
async fn mail_still_in_the_outbox_is_not_requeued() {
    let stack = Stack::without_broker().await;
    let api = stack.start_api(&[]).await;
    assert_eq!(api.client.register(ADA).await.status, 202);
    let record = "INSERT INTO deliveries (message_id, outcome, why) SELECT id, 'undeliverable', 'no' FROM codes";
    stack.database.execute(record, &[]).await;
    let id = list(&stack).await[0]["id"].as_str().unwrap().to_owned();
    let output = undeliverable(&stack, &format!("requeue {id}")).await.unwrap_err();
    assert!(output.contains("still in the outbox"), "{output}");
    assert_eq!(list(&stack).await.len(), 1);
    stack.database.execute("DELETE FROM outbox", &[]).await;
    undeliverable(&stack, &format!("requeue {id}")).await.unwrap();
    assert_eq!(stack.database.count("SELECT count(*) FROM outbox").await, 1);
}

/// Mails about passwords keep their kind, too.
#[tokio::test(flavor = "multi_thread")]
async fn undeliverable_password_mails_are_requeued() {
    let stack = Stack::start().await;
    stack.create_account(ADA).await;
    stack.mail_server.script(ADA, [REJECTED, REJECTED]);
    stack.mail_server.script("bob@example.com", [REJECTED]);
    let token = stack.client.token(ADA).await;
    let body = json!({ "password": support::client::PASSWORD, "new_password": support::forgot_password::NEW });
    let change = stack.client.request("POST", "/v1/users/me/password").bearer_auth(&token).json(&body);
    assert_eq!(support::client::send(change).await.status, 204);
    let undeliverable_mails = "SELECT count(*) FROM deliveries WHERE outcome = 'undeliverable'";
    stack.database.wait_for_count(undeliverable_mails, 1).await;
    let receipt = stack.client.request_reset(ADA).await.receipt();
    stack.client.request_reset("bob@example.com").await;
    stack.database.wait_for_count(undeliverable_mails, 3).await;
    let mut mails: Vec<_> =
        list(&stack).await.into_iter().map(|mail| format!("{} {}", mail["mail"], mail["requeue"])).collect();
    mails.sort();
    assert_eq!(mails, [r#""password-changed" true"#, r#""reset-code" true"#, r#""reset-code" true"#]);
    stack.database.wait_for_count("SELECT count(*) FROM outbox", 0).await;
    let output = undeliverable(&stack, "requeue all").await.unwrap();
    assert_eq!(output, "3 mails go out again, through the outbox.\n");
    let mails = [stack.mail_server.nth_mail_to(ADA, 3).await, stack.mail_server.nth_mail_to(ADA, 4).await];
    let code = mails.iter().find(|mail| mail.subject.contains("code")).unwrap().code();
    stack.client.wait_for_reset_receipt(&receipt, "sent").await;
    assert_eq!(stack.client.reset(&receipt, &code).await.status, 204);
    assert_eq!(stack.mail_server.mail_to("bob@example.com").await.subject, "No account for this email address");
}

/// Its receipt becomes `sent` as for any other email address, but no mail is sent (I-15).
#[tokio::test(flavor = "multi_thread")]
async fn muted_undeliverable_mail_is_requeued_without_sending() {
    let stack = Stack::start().await;
    stack.sign_up(ADA).await;
    let link = crate::registration::not_me::not_me_path(&stack.mail_server.mail_to(ADA).await);
    assert_eq!(crate::registration::not_me::submit_not_me(&stack.client, &link, "").await.status, 200);
    let registration = register_undeliverable(&stack, ADA).await;
    let output = undeliverable(&stack, "requeue all").await.unwrap();
    assert_eq!(output, "1 mail goes out again, through the outbox.\n");
    stack.client.wait_for_receipt(&registration, "sent").await;
    assert_eq!((stack.mail_server.attempts(ADA).len(), stack.mail_server.mails_to(ADA).len()), (3, 1));
}
