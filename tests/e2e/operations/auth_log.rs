//! The log of authentication events (docs/OPERATIONS.md, "Authentication events"): one stable line for each.

use std::{io::Write, net::TcpStream, process::Command};

use serde_json::{Value, json};

use crate::{
    account::password_change::change, limits::network_limits::NETWORK_A,
    registration::response_times::OTHER_PASSWORD_HASH,
};
use support::{
    client::{Client, PASSWORD, send},
    forgot_password::NEW,
    process::{Process, program},
    stack::Stack,
};

const ADA: &str = "ada.canary@example.com";
const UNKNOWN: &str = "unknown.canary@example.com";
const WRONG: &str = "canary of a password";

/// One line of target `auth`.
struct Line {
    fields: Value,
    /// The whole line without what differs between any two: time and request id.
    text: String,
}

impl Line {
    fn parse(line: &str) -> Option<Self> {
        let fields: Value = serde_json::from_str(line).ok()?;
        let masked = |text: String, value: &Value| text.replace(value.as_str().unwrap(), "…");
        (fields["target"] == "auth").then(|| {
            let text = masked(masked(line.to_owned(), &fields["timestamp"]), &fields["span"]["id"]);
            Self { fields, text }
        })
    }

    fn text_of(&self, field: &str) -> &str {
        self.fields[field].as_str().unwrap_or_else(|| panic!("no {field}: {}", self.text))
    }

    /// The event's own fields, in alphabetical order.
    fn names(&self) -> Vec<&str> {
        let common = ["timestamp", "level", "message", "target", "span", "spans"];
        let own = self.fields.as_object().unwrap().keys().map(String::as_str);
        let mut own: Vec<_> = own.filter(|name| !common.contains(name)).collect();
        own.sort_unstable();
        own
    }
}

/// Starts an API as a process of this stack, with its client.
fn start_api(stack: &mut Stack, log_format: &str) -> Process {
    let mut command = Command::new(program("api"));
    let addresses = [("API_ADDR", "127.0.0.1:0"), ("OPS_ADDR", "127.0.0.1:0")];
    command.env_clear().envs(stack.variables(&addresses)).env("LOG_FORMAT", log_format);
    let mut api = Process::start(&mut command);
    stack.client = Client::new(format!("http://{}", api.address("api")));
    api.wait_for("ready");
    api
}

/// Stops the API and returns its authentication events.
fn events(api: Process, secrets: &[&str]) -> Vec<Line> {
    let (code, log) = api.terminate();
    assert_eq!(code, Some(0), "{log}");
    for secret in ["canary", "10.0.0.", NETWORK_A, PASSWORD, NEW].iter().chain(secrets) {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
    log.lines().filter_map(Line::parse).collect()
}

fn names(events: &[Line]) -> Vec<&str> {
    events.iter().map(|event| event.text_of("event")).collect()
}

/// Successful requests that are not sampled leave no line. Rejections and authentication events always do.
#[tokio::test(flavor = "multi_thread")]
async fn unsampled_success_is_not_logged_and_rejections_are() {
    let settings = [("ACCESS_LOG_SUCCESS_PERCENT", "0"), ("REGISTRATIONS_PER_NETWORK_PER_HOUR", "1")];
    let mut stack = Stack::prepare(&settings).await;
    let api = start_api(&mut stack, "json");
    stack.start_worker(&[]).await;
    let client = stack.client.from_address(NETWORK_A);
    let registration = client.register(ADA).await.registration();
    let code = stack.mail_server.mail_to(ADA).await.code();
    client.wait_for_receipt(&registration, "sent").await;
    assert_eq!(client.activate(ADA, &code).await.status, 200);
    assert_eq!(client.login(ADA, PASSWORD).await.status, 200);
    assert_eq!(client.get("/health").await.status, 200);
    for (answer, status) in [
        (client.login(ADA, WRONG).await, 401),
        (client.get("/unknown").await, 404),
        (client.register(UNKNOWN).await, 429),
    ] {
        assert_eq!(answer.status, status, "{answer:?}");
    }
    let (code, log) = api.terminate();
    assert_eq!(code, Some(0), "{log}");
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let completed = lines.filter(|line| line["message"] == "request completed");
    let statuses: Vec<_> = completed.map(|line| line["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [401, 404, 429], "{log}");
    let events: Vec<_> = log.lines().filter_map(Line::parse).collect();
    assert_eq!(names(&events), ["activation", "login", "wrong-password"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn successes_are_logged_with_the_user_id() {
    let mut stack = Stack::prepare(&[]).await;
    let api = start_api(&mut stack, "json");
    stack.start_worker(&[]).await;
    stack.create_account(ADA).await;
    assert_eq!(stack.client.resend(ADA).await.problem().1, "already-active");
    let token = stack.client.token(ADA).await;
    let user = stack.client.bearer("GET", "/v1/users/me", &token).await.json()["id"].clone();
    assert_eq!(change(&stack.client, &token, PASSWORD, WRONG).await.status, 204);
    stack.mail_server.nth_mail_to(ADA, 3).await;
    let (receipt, code) = stack.request_reset_code(ADA, 4).await;
    assert_eq!(stack.client.reset(&receipt, &code).await.status, 204);
    let last = stack.client.from_address(NETWORK_A);
    let token_after_reset = last.login(ADA, NEW).await.json()["token"].as_str().unwrap().to_owned();
    let deleting = last.request("DELETE", "/v1/users/me").basic_auth(ADA, Some(NEW));
    assert_eq!(send(deleting).await.status, 204);

    let events = events(api, &[&code, &token, &token_after_reset, &receipt]);
    let expected =
        ["activation", "password-verified", "login", "password-change", "password-reset", "login", "deletion"];
    assert_eq!(names(&events), expected);
    for event in &events {
        assert_eq!(event.names(), ["event", "network", "subject", "user"], "{}", event.text);
        assert_eq!(event.fields["user"], user);
        assert_eq!(event.fields["message"], "authentication event");
        assert_eq!(event.fields["subject"], events[0].fields["subject"]);
        assert!(is_key(event.text_of("subject")) && is_key(event.text_of("network")), "{}", event.text);
    }
    let [.., login, deletion] = &events[..] else { unreachable!() };
    assert_eq!(login.fields["network"], deletion.fields["network"]);
    assert_ne!(events[0].fields["network"], deletion.fields["network"]);
}

fn is_key(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// I-15: a failure is logged with the keyed subject, never with a user id, whether the account exists or not.
#[tokio::test(flavor = "multi_thread")]
async fn s_06_failures_are_logged_alike_with_and_without_account() {
    let mut stack = Stack::prepare(&[("RESEND_THROTTLE_SECONDS", "0")]).await;
    let api = start_api(&mut stack, "json");
    stack.start_worker(&[]).await;
    stack.create_account(ADA).await;
    let network_a = stack.client.from_address(NETWORK_A);
    let mut secrets = Vec::new();
    for (email, mails) in [(ADA, 2), (UNKNOWN, 0)] {
        for _ in 0..2 {
            assert_eq!(network_a.login(email, WRONG).await.status, 401);
        }
        let registration = network_a.register_with(email, "an attacker's canary").await.registration();
        stack.mail_server.nth_mail_to(email, mails + 1).await;
        network_a.wait_for_receipt(&registration, "sent").await;
        let guess = json!({ "code": wrong_code(&stack, email, 4) });
        assert_eq!(network_a.activate_with(email, "an attacker's canary", &guess).await.problem().1, "wrong-code");
        let receipt = network_a.request_reset(email).await.receipt();
        stack.mail_server.nth_mail_to(email, mails + 2).await;
        network_a.wait_for_reset_receipt(&receipt, "sent").await;
        let guess = wrong_code(&stack, email, 8);
        assert_eq!(network_a.reset(&receipt, &guess).await.problem().1, "wrong-code");
        secrets.push(receipt);
    }
    let secrets: Vec<_> = secrets.iter().map(String::as_str).collect();
    let mut events = events(api, &secrets);
    assert_eq!(events.remove(0).text_of("event"), "activation");
    let (known, unknown) = events.split_at(events.len() / 2);
    assert_eq!(names(known), ["wrong-password", "wrong-password", "wrong-code", "wrong-code"]);
    assert_eq!(known.len(), unknown.len());
    for (known, unknown) in known.iter().zip(unknown) {
        assert_eq!(known.names(), ["event", "network", "subject"], "{}", known.text);
        assert_ne!(known.text_of("subject"), unknown.text_of("subject"));
        assert_eq!(known.text_of("network"), unknown.text_of("network"));
        let masked = |line: &Line| line.text.replace(line.text_of("subject"), "…");
        assert_eq!(masked(known), masked(unknown));
    }
}

/// A code of this length that is in none of the mails to the email address.
fn wrong_code(stack: &Stack, email: &str, digits: usize) -> String {
    let texts: String = stack.mail_server.mails_to(email).iter().map(|mail| mail.text.clone()).collect();
    (0..).map(|n| format!("{n:0digits$}")).find(|guess| !texts.contains(guess)).unwrap()
}

/// A lock is logged once, by the failure that began it, however many requests it rejects.
#[tokio::test(flavor = "multi_thread")]
async fn lock_is_logged_once() {
    let mut stack = Stack::prepare(&[]).await;
    let api = start_api(&mut stack, "json");
    stack.start_worker(&[]).await;
    stack.create_account(ADA).await;
    let token = stack.client.token(ADA).await;
    let network_a = stack.client.from_address(NETWORK_A);
    for email in [ADA, UNKNOWN] {
        for _ in 0..4 {
            assert_eq!(network_a.login(email, WRONG).await.status, 401);
        }
        // The fifth is right where it can be, and makes the network known: it has 20 attempts from then on.
        if email == ADA {
            assert_eq!(network_a.login(email, PASSWORD).await.status, 200);
            for _ in 0..19 {
                assert_eq!(change(&network_a, &token, WRONG, NEW).await.status, 401);
            }
        }
        assert_eq!(network_a.login(email, WRONG).await.status, 401);
        for _ in 0..3 {
            assert_eq!(network_a.login(email, WRONG).await.status, 429);
        }
    }
    let events = events(api, &[&token]);
    let failed = |times: usize| vec!["wrong-password"; times];
    let of_ada = [vec!["activation", "login"], failed(4), vec!["login"], failed(20), vec!["lock"]].concat();
    let of_unknown = [failed(5), vec!["lock"]].concat();
    assert_eq!(names(&events), [of_ada, of_unknown].concat());
    let locks: Vec<_> = events.iter().filter(|event| event.text_of("event") == "lock").collect();
    for lock in locks {
        assert_eq!(lock.names(), ["event", "network", "subject"], "the same with and without an account (I-15)");
    }
}

/// The text format, for operators who search it.
#[tokio::test(flavor = "multi_thread")]
async fn event_is_one_line_of_text() {
    let mut stack = Stack::without_broker().await;
    let api = start_api(&mut stack, "text");
    assert_eq!(stack.client.login(UNKNOWN, WRONG).await.status, 401);
    let (_, log) = api.terminate();
    let lines: Vec<_> = log.lines().filter(|line| line.contains(" auth: ")).collect();
    assert!(
        lines.len() == 1 && lines[0].contains(r#"auth: authentication event event="wrong-password" subject="#),
        "{log}"
    );
    assert!(!log.contains("canary"), "{log}");
}

/// A client that disconnects while its password is hashed cannot hide the attempt. The hash takes seconds.
#[tokio::test(flavor = "multi_thread")]
async fn aborted_attempt_is_logged() {
    let mut stack = Stack::without_broker().await;
    let mut api = start_api(&mut stack, "json");
    let expensive_hash = OTHER_PASSWORD_HASH.replace("m=19456,t=2", "m=65536,t=64");
    let insert = "INSERT INTO users (id, email, password_hash, activated_at, updated_at) \
        VALUES (gen_random_uuid(), $1, $2, now(), now())";
    stack.database.execute(insert, &[&ADA, &expensive_hash]).await;
    let mut stream = TcpStream::connect(format!("127.0.0.1:{}", stack.client.port())).unwrap();
    let basic = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, format!("{ADA}:{WRONG}"));
    let request = format!(
        "POST /v1/users/login HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {basic}\r\nContent-Length: 0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    stack.database.wait_for_count("SELECT count(*) FROM lockouts", 2).await;
    drop(stream);
    api.wait_for("aborted-attempt");
    let events = events(api, &[]);
    assert_eq!(names(&events), ["aborted-attempt"]);
    assert_eq!(events[0].names(), ["event", "network", "subject"]);
}
