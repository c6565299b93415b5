//! The page that greets people, as a browser gets it. What it does there is seen in a real one.

use support::{
    client::{Answer, send},
    stack::Stack,
};

async fn page(stack: &Stack, path: &str, languages: &str) -> Answer {
    send(stack.client.request("GET", path).header("Accept-Language", languages)).await
}

async fn service() -> Stack {
    let mut stack = Stack::without_broker().await;
    stack.client = stack.start_api(&[("PASSWORD_MIN_LENGTH", "11")]).await.client.clone();
    stack
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_one_small_answer_that_asks_nobody_else() {
    let stack = service().await;
    for language in ["en", "fr"] {
        let page = page(&stack, "/", language).await;
        assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
        assert!(page.text.len() < 60_000, "{} bytes, uncompressed", page.text.len());
        for outside in ["http://", "https://", " src=", "url(", "@import", "<link rel=\"stylesheet\"", "import "] {
            assert!(!page.text.contains(outside), "{outside} in the page");
        }
        // What a browser would not run: the policy names one script and one style, which stand in the page.
        assert_eq!((page.text.matches("<script").count(), page.text.matches("<style").count()), (1, 1));
        assert!(!page.text.contains(" style=\"") && !page.text.contains(" onclick="), "the policy forbids them");
        assert!(page.text.contains("<noscript>"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn its_policy_lets_it_run_what_stands_in_it_and_ask_us() {
    let stack = service().await;
    let page = page(&stack, "/", "en").await;
    let policy = page.header("content-security-policy");
    let rules: Vec<_> = policy.split("; ").map(|rule| rule.split_once(' ').unwrap()).collect();
    let hash = |rule: &str| rule.starts_with("'sha256-") && rule.ends_with("='") && !rule.contains(' ');
    assert_eq!(rules[0], ("default-src", "'none'"));
    assert!(
        rules[1].0 == "script-src" && hash(rules[1].1) && rules[2].0 == "style-src" && hash(rules[2].1),
        "{policy}"
    );
    let rest = [
        ("img-src", "data:"),
        ("connect-src", "'self'"),
        ("frame-ancestors", "'none'"),
        ("base-uri", "'none'"),
        ("form-action", "'none'"),
    ];
    assert_eq!(rules[3..], rest);
    assert_eq!((page.header("x-frame-options"), page.header("referrer-policy")), ("DENY", "no-referrer"));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_speaks_the_language_of_the_browser_or_the_one_that_was_chosen() {
    let stack = service().await;
    for (path, languages, expected) in [
        ("/", "en", "en"),
        ("/", "fr-CA, en;q=0.5", "fr"),
        ("/", "qaa", "en"),
        ("/?lang=fr", "en", "fr"),
        ("/?lang=en", "fr", "en"),
        ("/?from=mail&lang=fr", "en", "fr"),
        ("/?lang=qaa", "fr", "fr"),
        ("/?lang=", "fr", "fr"),
    ] {
        let page = page(&stack, path, languages).await;
        assert!(page.text.contains(&format!("<html lang=\"{expected}\">")), "{path} for {languages}");
        let vary: Vec<_> = page.headers.get_all("vary").iter().map(|value| value.to_str().unwrap()).collect();
        assert_eq!(vary, ["Accept-Encoding", "Accept-Language"]);
        assert!(page.text.contains("11"), "it says how long a password is");
        for choice in ["href=\"/?lang=en\"", "href=\"/?lang=fr\""] {
            assert!(page.text.contains(choice), "{choice}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_it_does_not_get_it_again() {
    let stack = service().await;
    let first = page(&stack, "/", "en").await;
    let tag = first.header("etag");
    assert_eq!(first.header("cache-control"), "no-cache");
    let again = |path: &'static str, languages: &'static str| {
        let request = stack.client.request("GET", path).header("Accept-Language", languages);
        send(request.header("If-None-Match", tag))
    };
    let same = again("/", "en").await;
    assert_eq!((same.status, same.text.as_str()), (304, ""));
    assert_eq!(same.header("content-security-policy"), first.header("content-security-policy"));
    assert_eq!(again("/", "fr").await.status, 200, "another language is another page");
    assert_eq!(again("/?lang=en", "fr").await.status, 304);

    let head = send(stack.client.request("HEAD", "/")).await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    let post = send(stack.client.request("POST", "/")).await;
    assert_eq!((post.problem(), post.header("allow")), ((405, "method-not-allowed".into()), "GET, HEAD"));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_there_without_the_docs_and_then_does_not_lead_to_them() {
    let stack = service().await;
    assert!(page(&stack, "/", "en").await.text.contains("href=\"/docs\""));
    let closed = stack.start_api(&[("DOCS", "off")]).await;
    let page = closed.client.get("/").await;
    assert_eq!(page.status, 200);
    assert!(!page.text.contains("/docs"));
}
