//! New passwords are looked up in a range service of breached passwords (`BREACHED_PASSWORDS_URL`).

use std::process::Command;

use serde_json::json;

use crate::{account::password_change::change, registration::enumeration::without_ids_and_dates};
use support::{
    client::{Answer, Client, PASSWORD, concurrently},
    forgot_password::NEW,
    process::{Process, program},
    range_server::{RangeBehaviour, RangeServer, sha1_hex},
    scrape::Scrape,
    stack::Stack,
};

const ADA: &str = "ada@example.com";
const BREACHED: &str = "breached horse battery";
/// In another Unicode form than the listed one.
const BREACHED_NFD: &str = "cafe\u{301} noir et fort";
const LISTS: RangeBehaviour = RangeBehaviour::Lists(&[BREACHED, "caf\u{e9} noir et fort"]);

fn assert_refused(answer: &Answer, field: &str) {
    assert_eq!(answer.problem(), (422, "invalid-input".into()));
    let errors = answer.json()["errors"].clone();
    assert_eq!((&errors[0]["field"], &errors[0]["code"]), (&json!(field), &json!("too-common")), "{errors}");
    assert_eq!(errors.as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn breached_password_is_refused_wherever_one_is_chosen() {
    let service = RangeServer::start(LISTS).await;
    let stack = Stack::start_with(&[("BREACHED_PASSWORDS_URL", &format!("{}/", service.url()))]).await;
    assert_refused(&stack.client.register_with(ADA, BREACHED).await, "password");
    assert_refused(&stack.client.register_with(ADA, BREACHED_NFD).await, "password");
    assert_refused(&stack.client.register_with_key("key", ADA, BREACHED).await, "password");
    assert_eq!(stack.database.count("SELECT count(*) FROM registrations").await, 0);

    stack.create_account(ADA).await;
    let token = stack.client.token(ADA).await;
    assert_refused(&change(&stack.client, &token, PASSWORD, BREACHED).await, "new_password");
    assert_refused(&change(&stack.client, &token, "not her password", BREACHED).await, "new_password");
    assert_eq!(stack.database.count("SELECT count(*) FROM lockouts").await, 0, "no attempt is counted");
    let (receipt, code) = stack.request_reset_code(ADA, 3).await;
    assert_refused(&stack.client.reset_to(&receipt, &code, BREACHED).await, "password");
    assert_eq!(stack.client.reset_receipt(&receipt).await["attempts_left"], 3, "no attempt is counted");
    assert_eq!(stack.client.reset_to(&receipt, &code, NEW).await.status, 204);

    let asked = service.heads().len();
    assert_eq!(stack.client.login(ADA, BREACHED).await.status, 401);
    assert_eq!(stack.client.login(ADA, NEW).await.status, 200);
    assert_eq!(service.heads().len(), asked, "a password that is verified is not looked up");
    for head in service.heads() {
        let (line, headers) = head.split_once("\r\n").unwrap();
        let prefix = line.strip_prefix("GET /range/").unwrap().strip_suffix(" HTTP/1.1").unwrap();
        let prefixes =
            [BREACHED, "caf\u{e9} noir et fort", PASSWORD, NEW].map(|password| sha1_hex(password)[..5].to_owned());
        assert!(prefixes.iter().any(|expected| expected == prefix), "{line}");
        assert!(headers.to_lowercase().contains("add-padding: true\r\n"), "{headers}");
        for secret in prefixes.iter().map(String::as_str).chain([ADA, BREACHED, PASSWORD, NEW]) {
            assert!(!headers.contains(secret), "{headers}");
        }
    }
}

/// I-15: the refusal does not depend on whether an email address is new, pending or active.
#[tokio::test(flavor = "multi_thread")]
async fn s_06_breached_password_is_refused_alike_for_all_addresses() {
    let service = RangeServer::start(LISTS).await;
    let stack = Stack::start_with(&[("BREACHED_PASSWORDS_URL", &service.url())]).await;
    stack.sign_up("pending@example.com").await;
    stack.create_account("active@example.com").await;
    let mut answers = Vec::new();
    for email in ["new@example.com", "pending@example.com", "active@example.com"] {
        let asked = service.heads().len();
        let refused = stack.client.register_with(email, BREACHED).await;
        assert_refused(&refused, "password");
        assert_eq!(service.heads().len(), asked + 1, "{email}");
        service.set_behaviour(RangeBehaviour::Fails);
        let accepted = stack.client.register_with(email, BREACHED).await;
        assert_eq!(accepted.status, 202);
        service.set_behaviour(LISTS);
        answers.push((without_ids_and_dates(&refused), without_ids_and_dates(&accepted)));
    }
    assert!(answers[0] == answers[1] && answers[0] == answers[2], "{answers:?}");
}

/// The lookup fails open: a registration does not depend on the service.
#[tokio::test(flavor = "multi_thread")]
async fn failing_range_service_refuses_no_password() {
    let service = RangeServer::start(LISTS).await;
    let mut stack = Stack::without_broker().await;
    stack.client = stack.start_api(&[("BREACHED_PASSWORDS_URL", &service.url())]).await.client.clone();
    for (n, behaviour) in [
        RangeBehaviour::NeverResponds,
        RangeBehaviour::Drips,
        RangeBehaviour::Fails,
        RangeBehaviour::NeverEnds,
        RangeBehaviour::Page,
        RangeBehaviour::NotHttp,
        RangeBehaviour::Closes,
    ]
    .into_iter()
    .enumerate()
    {
        service.set_behaviour(behaviour);
        let answer = stack.client.register_with(&format!("ada{n}@example.com"), BREACHED).await;
        assert_eq!(answer.status, 202, "{behaviour:?}: {answer:?}");
        assert_eq!(service.heads().len(), n + 1, "{behaviour:?}");
    }
    service.set_behaviour(LISTS);
    assert_refused(&stack.client.register_with(ADA, BREACHED).await, "password");
    let unreachable = [("BREACHED_PASSWORDS_URL", "http://127.0.0.1:1")];
    let other = stack.start_api(&unreachable).await;
    assert_eq!(other.client.register_with("bob@example.com", BREACHED).await.status, 202);
}

/// While a lookup waits, the request holds no place in the hash queue.
#[tokio::test(flavor = "multi_thread")]
async fn waiting_lookup_holds_no_hash_slot() {
    let service = RangeServer::start(RangeBehaviour::NeverResponds).await;
    let stack = Stack::without_broker().await;
    let api = stack.start_api(&[("BREACHED_PASSWORDS_URL", &service.url())]).await;
    for n in 1..=20 {
        let client = api.client.clone();
        let registering = tokio::spawn(async move { client.register(&format!("ada{n}@example.com")).await });
        service.wait_for_requests(n).await;
        let metrics = Scrape::of(&api.ops).await;
        let waited_meanwhile = service.open_requests() == 1;
        assert_eq!(registering.await.unwrap().status, 202);
        // On a machine that stalls for a second the lookup ends before the metrics are read.
        if waited_meanwhile {
            assert_eq!(metrics.value("hash_queue_length"), 0.0);
            return;
        }
    }
    panic!("no lookup waited while the metrics were read");
}

/// More lookups than the limit are not made: those passwords are accepted unchecked.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_lookups_are_bounded() {
    let service = RangeServer::start(RangeBehaviour::NeverResponds).await;
    let stack = Stack::without_broker().await;
    let settings = [("BREACHED_PASSWORDS_URL", service.url()), ("ARGON2_MEMORY_KIB", "8".into())];
    let settings = settings.each_ref().map(|(name, value)| (*name, value.as_str()));
    let api = stack.start_api(&settings).await;
    let answers = concurrently(60, |n| {
        let client = api.client.clone();
        async move { client.register(&format!("u{n}@example.com")).await }
    });
    assert!(answers.await.iter().all(|answer| answer.status == 202));
    assert!((1..=16).contains(&service.max_open_requests()), "{}", service.max_open_requests());
}

/// One warning when the service fails and one line when it recovers; neither contains what was looked up.
#[tokio::test(flavor = "multi_thread")]
async fn outage_of_range_service_is_logged_once() {
    let service = RangeServer::start(RangeBehaviour::Fails).await;
    let stack = Stack::without_broker().await;
    let mut command = Command::new(program("api"));
    command.envs(stack.variables(&[
        ("BREACHED_PASSWORDS_URL", &service.url()),
        ("API_ADDR", "127.0.0.1:0"),
        ("OPS_ADDR", "127.0.0.1:0"),
        ("RUST_LOG", "trace"),
    ]));
    let mut api = Process::start(&mut command);
    let client = Client::new(format!("http://{}", api.address("api")));
    for behaviours in [[RangeBehaviour::Fails, RangeBehaviour::Closes], [LISTS, LISTS]].into_iter().cycle().take(4) {
        for behaviour in behaviours {
            service.set_behaviour(behaviour);
            let answer = client.register_with(ADA, BREACHED).await;
            assert_eq!(answer.status, if behaviour == LISTS { 422 } else { 202 });
        }
    }
    let (_, log) = api.terminate();
    let warnings = log.lines().filter(|line| line.contains("WARN") && line.contains("accepting passwords unchecked"));
    assert_eq!(warnings.count(), 2, "{log}");
    assert_eq!(log.matches("breached password lookup recovered").count(), 2, "{log}");
    let hash = sha1_hex(BREACHED);
    for secret in [BREACHED, &hash[..5], &hash[5..]] {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
}
