//! The link of a code mail for whom it was not: a page that changes nothing, and a button that does.

use reqwest::header::CONTENT_TYPE;
use serde_json::json;
use shared::{codes::CodeSecrets, not_me_link};

use crate::operations::secret_leaks::dump;
use support::{
    client::{Answer, Client, PASSWORD, send},
    fake_smtp::mail::Mail,
    proxy::{Proxy, ProxyMode},
    stack::Stack,
};

const ADA: &str = "ada@example.com";
const BOB: &str = "bob@example.com";

/// Where the link leads that stands alone on a line.
pub(crate) fn link(mail: &Mail) -> String {
    let path = mail.text.lines().find_map(|line| line.strip_prefix("http://localhost:8000/not-me/"));
    format!("/not-me/{}", path.unwrap_or_else(|| panic!("no link in {}", mail.text)))
}

/// Presses the first button, or the second.
pub(crate) async fn press(client: &Client, link: &str, form: &str) -> Answer {
    let request = client.request("POST", link).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    send(request.body(form.to_owned())).await
}

/// Status and headline, after checking that it is a page which does and loads nothing, and is kept by nobody.
pub(crate) fn page(answer: &Answer) -> (u16, &str) {
    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("cache-control", "no-store"),
        ("referrer-policy", "no-referrer"),
        ("x-robots-tag", "noindex, nofollow"),
        ("x-frame-options", "DENY"),
    ] {
        assert_eq!(answer.header(name), value, "{answer:?}");
    }
    let policy = answer.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    assert!(policy.ends_with("'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"), "{policy}");
    for outside in ["<script", "src=", "<link", "url(", "@import"] {
        assert!(!answer.text.contains(outside), "{outside} in {}", answer.text);
    }
    let headline = answer.text.split_once("<h1>").and_then(|(_, rest)| rest.split_once("</h1>"));
    (answer.status, headline.unwrap_or_else(|| panic!("no page: {answer:?}")).0)
}

#[tokio::test(flavor = "multi_thread")]
async fn following_the_link_changes_nothing_and_its_button_closes_the_registration() {
    let stack = Stack::start().await;
    let (registration, code) = stack.sign_up(ADA).await;
    let other = stack.client.register_with(ADA, "a stranger's password").await.registration();
    stack.client.receipt_when(&other, "sent").await;
    let (bobs, _) = stack.sign_up(BOB).await;
    let link = link(&stack.mail_server.mail_to(ADA).await);
    stack.database.becomes("SELECT count(*) FROM outbox", 0).await;

    let before = dump(&stack, &[]).await;
    for _ in 0..2 {
        assert_eq!(page(&stack.client.get(&link).await), (200, "Was this not you?"));
        let head = send(stack.client.request("HEAD", &link)).await;
        assert_eq!((head.status, head.text.as_str()), (200, ""));
    }
    assert_eq!(dump(&stack, &[]).await, before, "a scanner follows links");

    let said = press(&stack.client, &link, "").await;
    assert_eq!(page(&said), (200, "The sign-up is closed"));
    for closed in [&registration, &other] {
        assert_eq!(stack.client.receipt(closed).await["status"], "closed", "who has the mailbox speaks for all of it");
    }
    assert_eq!(stack.client.receipt(&bobs).await["status"], "sent");
    let named = json!({ "code": code, "registration": registration });
    let answer = stack.client.activate_with(ADA, PASSWORD, &named).await;
    assert_eq!(answer.problem(), (410, "registration-closed".into()));
    assert_eq!(stack.client.activate(ADA, &code).await.problem(), (401, "unauthenticated".into()), "nothing is open");
    let after = dump(&stack, &["budgets", "lockouts"]).await;
    for again in [press(&stack.client, &link, "").await, stack.client.get(&link).await] {
        assert_eq!((page(&again), &again.text), ((200, "The sign-up is closed"), &said.text));
    }
    assert_eq!(dump(&stack, &["budgets", "lockouts"]).await, after, "said twice is said once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_is_forged_and_one_whose_registration_is_gone_are_outdated_alike() {
    let stack = Stack::start().await;
    stack.sign_up(ADA).await;
    let link = link(&stack.mail_server.mail_to(ADA).await);
    let code: uuid::Uuid =
        stack.database.client().query_one("SELECT id FROM codes", &[]).await.unwrap().get::<_, uuid::Uuid>(0);
    let unknown = CodeSecrets::parse("test:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=").unwrap();
    let middle = link.len() - 12;
    let flipped = if link.as_bytes()[middle] == b'A' { "B" } else { "A" };
    let forged = [
        format!("{}{flipped}{}", &link[..middle], &link[middle + 1..]),
        link[..link.len() - 1].to_owned(),
        format!("{link}A"),
        format!("{link}%20"),
        "/not-me/x".into(),
        format!("/not-me/{code}"),
        format!("/not-me/{}", not_me_link::token(unknown.newest(), code)),
        format!("/not-me/{}", not_me_link::token(unknown.newest(), uuid::Uuid::nil())),
    ];
    // Its mail, and the event about it, are over.
    stack.database.becomes("SELECT count(*) FROM deliveries", 1).await;
    stack.database.becomes("SELECT count(*) FROM outbox", 0).await;
    let before = dump(&stack, &[]).await;
    let mut seen = Vec::new();
    for path in &forged {
        seen.extend([stack.client.get(path).await, press(&stack.client, path, "").await]);
    }
    assert_eq!(dump(&stack, &[]).await, before);
    assert_eq!(page(&stack.client.get(&link).await).0, 200);
    stack.database.execute("DELETE FROM registrations", &[]).await;
    seen.extend([stack.client.get(&link).await, press(&stack.client, &link, "").await]);
    for answer in &seen {
        assert_eq!(page(answer), (404, "This link is not valid"));
        let names = |answer: &Answer| answer.headers.keys().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!((&answer.text, names(answer)), (&seen[0].text, names(&seen[0])));
    }
    assert_eq!(stack.database.count("SELECT count(*) FROM mutes").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_good_when_its_code_is_dead_or_its_key_is_old() {
    let stack = Stack::start_with(&[("RESEND_THROTTLE_SECONDS", "0")]).await;
    let (registration, _) = stack.sign_up(ADA).await;
    let first = link(&stack.mail_server.mail_to(ADA).await);
    assert_eq!(stack.client.resend(ADA).await.status, 202);
    let second = link(&stack.mail_server.nth_mail_to(ADA, 2).await);
    assert_ne!(first, second);
    stack.database.age(2 * 86_400).await;
    assert_eq!(stack.client.receipt(&registration).await["status"], "closed");

    let old = stack.variables(&[])["CODE_SECRETS"].clone();
    let new = "new:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    let rotated = stack.start_api(&[("CODE_SECRETS", &format!("{new},{old}"))]).await;
    for link in [&first, &second] {
        assert_eq!(page(&rotated.client.get(link).await), (200, "Was this not you?"));
    }
    assert_eq!(page(&press(&rotated.client, &first, "").await), (200, "The sign-up is closed"));
    assert_eq!(page(&stack.client.get(&second).await), (200, "The sign-up is closed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_in_the_language_of_the_mail_and_without_one_in_that_of_the_browser() {
    let stack = Stack::start().await;
    let ask = async |languages: &str, method: &str, path: &str| {
        send(stack.client.request(method, path).header("Accept-Language", languages)).await
    };
    stack.client.register_reading("fr", ADA, "her own password").await;
    let link = link(&stack.mail_server.mail_to(ADA).await);
    assert_eq!(page(&ask("en", "GET", &link).await), (200, "Ce n’était pas vous&nbsp;?"));
    assert_eq!(page(&ask("en", "POST", &link).await), (200, "L’inscription est close"));
    assert_eq!(page(&ask("fr", "GET", "/not-me/x").await), (404, "Ce lien n’est pas valable"));
    assert_eq!(page(&ask("qaa", "GET", "/not-me/x").await), (404, "This link is not valid"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_there_is_a_problem_and_an_outage_is_a_page() {
    let mut stack = Stack::prepare(&[]).await;
    let (proxy, url) = Proxy::before(&stack.database.url).await;
    stack.client = stack.start_api(&[("DATABASE_URL", &url)]).await.client.clone();
    stack.start_worker(&[]).await;
    stack.sign_up(ADA).await;
    let link = link(&stack.mail_server.mail_to(ADA).await);
    let put = send(stack.client.request("PUT", &link)).await;
    assert_eq!((put.problem(), put.header("allow")), ((405, "method-not-allowed".into()), "GET, HEAD, POST"));
    let large = press(&stack.client, &link, &"x".repeat(17 * 1024)).await;
    assert_eq!(large.problem(), (413, "payload-too-large".into()));
    assert_eq!(page(&stack.client.get(&format!("{link}/")).await), (200, "Was this not you?"));

    proxy.set(ProxyMode::Cut);
    for answer in [stack.client.get(&link).await, press(&stack.client, &link, "").await] {
        assert_eq!(page(&answer), (503, "Please try again in a moment"));
        assert!(!answer.header("retry-after").is_empty());
    }
    assert_eq!(page(&stack.client.get("/not-me/x").await).0, 404, "known without asking anybody");
}
