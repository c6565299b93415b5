//! The "This was not me" link in code mails: `GET` shows a page and changes nothing, `POST` closes the registrations of
//! the email address and mutes it.

use reqwest::header::CONTENT_TYPE;
use serde_json::json;
use shared::{codes::CodeSecrets, mail_link::MailLink};

use crate::operations::secret_leaks::dump;
use support::{
    client::{Answer, Client, PASSWORD, send},
    fake_smtp::mail::Mail,
    proxy::{Proxy, ProxyMode},
    stack::Stack,
};

const ADA: &str = "ada@example.com";
const BOB: &str = "bob@example.com";

/// The path of the link, which is alone on a line of the mail's text.
pub(crate) fn not_me_path(mail: &Mail) -> String {
    let path = mail.text.lines().find_map(|line| line.strip_prefix("http://localhost:8000/not-me/"));
    format!("/not-me/{}", path.unwrap_or_else(|| panic!("no link in {}", mail.text)))
}

/// Submits the page's form: an empty body is the first button ("this was not me"), `wish=unmute` the second.
pub(crate) async fn submit_not_me(client: &Client, link: &str, form: &str) -> Answer {
    let request = client.request("POST", link).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    send(request.body(form.to_owned())).await
}

/// Status and headline of a page, after checking that it has no script, loads nothing, and is neither cached nor
/// indexed.
pub(crate) fn status_and_headline(answer: &Answer) -> (u16, &str) {
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

/// Mail scanners follow links, so only the button may change something. It closes every registration of the email
/// address, and a repeated press changes nothing more.
#[tokio::test(flavor = "multi_thread")]
async fn link_changes_nothing_and_button_closes_registrations() {
    let stack = Stack::start().await;
    let (registration, code) = stack.sign_up(ADA).await;
    let other = stack.client.register_with(ADA, "an attacker's password").await.registration();
    stack.client.wait_for_receipt(&other, "sent").await;
    let (bobs, _) = stack.sign_up(BOB).await;
    let link = not_me_path(&stack.mail_server.mail_to(ADA).await);
    stack.database.wait_for_count("SELECT count(*) FROM outbox", 0).await;

    let before = dump(&stack, &[]).await;
    for _ in 0..2 {
        assert_eq!(status_and_headline(&stack.client.get(&link).await), (200, "Was this not you?"));
        let head = send(stack.client.request("HEAD", &link)).await;
        assert_eq!((head.status, head.text.as_str()), (200, ""));
    }
    assert_eq!(dump(&stack, &[]).await, before, "GET and HEAD change nothing");

    let pressed = submit_not_me(&stack.client, &link, "").await;
    assert_eq!(status_and_headline(&pressed), (200, "The sign-up is closed"));
    for closed in [&registration, &other] {
        assert_eq!(
            stack.client.receipt(closed).await["status"],
            "closed",
            "the owner of the mailbox decides for all its registrations"
        );
    }
    assert_eq!(stack.client.receipt(&bobs).await["status"], "sent");
    let named = json!({ "code": code, "registration": registration });
    let answer = stack.client.activate_with(ADA, PASSWORD, &named).await;
    assert_eq!(answer.problem(), (410, "registration-closed".into()));
    assert_eq!(
        stack.client.activate(ADA, &code).await.problem(),
        (401, "unauthenticated".into()),
        "no registration is open"
    );
    let after = dump(&stack, &["budgets", "lockouts"]).await;
    for repeated in [submit_not_me(&stack.client, &link, "").await, stack.client.get(&link).await] {
        assert_eq!((status_and_headline(&repeated), &repeated.text), ((200, "The sign-up is closed"), &pressed.text));
    }
    assert_eq!(dump(&stack, &["budgets", "lockouts"]).await, after, "a repeated press changes nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_and_outdated_links_respond_alike() {
    let stack = Stack::start().await;
    stack.sign_up(ADA).await;
    let link = not_me_path(&stack.mail_server.mail_to(ADA).await);
    let code: uuid::Uuid =
        stack.database.client().query_one("SELECT id FROM codes", &[]).await.unwrap().get::<_, uuid::Uuid>(0);
    let unknown_secrets = CodeSecrets::parse("test:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=").unwrap();
    let middle = link.len() - 12;
    let flipped = if link.as_bytes()[middle] == b'A' { "B" } else { "A" };
    let forged = [
        format!("{}{flipped}{}", &link[..middle], &link[middle + 1..]),
        link[..link.len() - 1].to_owned(),
        format!("{link}A"),
        format!("{link}%20"),
        "/not-me/x".into(),
        format!("/not-me/{code}"),
        format!("/not-me/{}", MailLink::NotMe.token(unknown_secrets.newest(), code)),
        format!("/not-me/{}", MailLink::NotMe.token(unknown_secrets.newest(), uuid::Uuid::nil())),
    ];
    // The mail and the event are processed: the tables do not change by themselves any more.
    stack.database.wait_for_count("SELECT count(*) FROM deliveries", 1).await;
    stack.database.wait_for_count("SELECT count(*) FROM outbox", 0).await;
    let before = dump(&stack, &[]).await;
    let mut answers = Vec::new();
    for path in &forged {
        answers.extend([stack.client.get(path).await, submit_not_me(&stack.client, path, "").await]);
    }
    assert_eq!(dump(&stack, &[]).await, before);
    assert_eq!(status_and_headline(&stack.client.get(&link).await).0, 200);
    stack.database.execute("DELETE FROM registrations", &[]).await;
    answers.extend([stack.client.get(&link).await, submit_not_me(&stack.client, &link, "").await]);
    for answer in &answers {
        assert_eq!(status_and_headline(answer), (404, "This link is not valid"));
        let names = |answer: &Answer| answer.headers.keys().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!((&answer.text, names(answer)), (&answers[0].text, names(&answers[0])));
    }
    assert_eq!(stack.database.count("SELECT count(*) FROM mutes").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn link_outlives_its_code_and_secret_rotation() {
    let stack = Stack::start_with(&[("RESEND_THROTTLE_SECONDS", "0")]).await;
    let (registration, _) = stack.sign_up(ADA).await;
    let first = not_me_path(&stack.mail_server.mail_to(ADA).await);
    assert_eq!(stack.client.resend(ADA).await.status, 202);
    let second = not_me_path(&stack.mail_server.nth_mail_to(ADA, 2).await);
    assert_ne!(first, second);
    stack.database.age(2 * 86_400).await;
    assert_eq!(stack.client.receipt(&registration).await["status"], "closed");

    let old = stack.variables(&[])["CODE_SECRETS"].clone();
    let new = "new:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    let rotated = stack.start_api(&[("CODE_SECRETS", &format!("{new},{old}"))]).await;
    for link in [&first, &second] {
        assert_eq!(status_and_headline(&rotated.client.get(link).await), (200, "Was this not you?"));
    }
    assert_eq!(status_and_headline(&submit_not_me(&rotated.client, &first, "").await), (200, "The sign-up is closed"));
    assert_eq!(status_and_headline(&stack.client.get(&second).await), (200, "The sign-up is closed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn page_uses_the_mails_language_or_the_browsers() {
    let stack = Stack::start().await;
    let request = async |languages: &str, method: &str, path: &str| {
        send(stack.client.request(method, path).header("Accept-Language", languages)).await
    };
    stack.client.register_with_languages("fr", ADA, "her own password").await;
    let link = not_me_path(&stack.mail_server.mail_to(ADA).await);
    assert_eq!(status_and_headline(&request("en", "GET", &link).await), (200, "Ce n’était pas vous&nbsp;?"));
    assert_eq!(status_and_headline(&request("en", "POST", &link).await), (200, "L’inscription est close"));
    assert_eq!(status_and_headline(&request("fr", "GET", "/not-me/x").await), (404, "Ce lien n’est pas valable"));
    assert_eq!(status_and_headline(&request("qaa", "GET", "/not-me/x").await), (404, "This link is not valid"));
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_request_is_a_problem_and_outage_a_page() {
    let mut stack = Stack::prepare(&[]).await;
    let (proxy, url) = Proxy::in_front_of(&stack.database.service_url).await;
    stack.client = stack.start_api(&[("DATABASE_URL", &url)]).await.client.clone();
    stack.start_worker(&[]).await;
    stack.sign_up(ADA).await;
    let link = not_me_path(&stack.mail_server.mail_to(ADA).await);
    let put = send(stack.client.request("PUT", &link)).await;
    assert_eq!((put.problem(), put.header("allow")), ((405, "method-not-allowed".into()), "GET, HEAD, POST"));
    let large = submit_not_me(&stack.client, &link, &"x".repeat(17 * 1024)).await;
    assert_eq!(large.problem(), (413, "payload-too-large".into()));
    assert_eq!(status_and_headline(&stack.client.get(&format!("{link}/")).await), (200, "Was this not you?"));

    proxy.set(ProxyMode::Closed);
    for answer in [stack.client.get(&link).await, submit_not_me(&stack.client, &link, "").await] {
        assert_eq!(status_and_headline(&answer), (503, "Temporarily unavailable"));
        assert!(!answer.header("retry-after").is_empty());
    }
    assert_eq!(status_and_headline(&stack.client.get("/not-me/x").await).0, 404, "a malformed token needs no database");
}
