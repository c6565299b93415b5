//! The sign-up page as the API serves it. The tests in `tests/browser` run it in a real browser.

use support::{
    client::{Answer, send},
    stack::Stack,
};

async fn get_page(stack: &Stack, path: &str, languages: &str) -> Answer {
    send(stack.client.request("GET", path).header("Accept-Language", languages)).await
}

async fn start_service() -> Stack {
    let mut stack = Stack::without_broker().await;
    stack.client = stack.start_api(&[("PASSWORD_MIN_LENGTH", "11")]).await.client.clone();
    stack
}

#[tokio::test(flavor = "multi_thread")]
async fn page_is_small_and_loads_nothing_external() {
    let stack = start_service().await;
    for language in ["en", "fr"] {
        let page = get_page(&stack, "/", language).await;
        assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
        assert!(page.text.len() < 60_000, "{} bytes, uncompressed", page.text.len());
        for external in ["http://", "https://", " src=", "url(", "@import", "<link rel=\"stylesheet\"", "import "] {
            assert!(!page.text.contains(external), "{external} in the page");
        }
        // The policy allows one inline script and one inline style; a browser would run no others.
        assert_eq!((page.text.matches("<script").count(), page.text.matches("<style").count()), (1, 1));
        assert!(!page.text.contains(" style=\"") && !page.text.contains(" onclick="), "the policy forbids them");
        assert!(page.text.contains("<noscript>"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn page_csp_allows_own_script_and_api() {
    let stack = start_service().await;
    let page = get_page(&stack, "/", "en").await;
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
async fn page_language_follows_choice_then_browser() {
    let stack = start_service().await;
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
        let page = get_page(&stack, path, languages).await;
        assert!(page.text.contains(&format!("<html lang=\"{expected}\">")), "{path} for {languages}");
        let vary: Vec<_> = page.headers.get_all("vary").iter().map(|value| value.to_str().unwrap()).collect();
        assert_eq!(vary, ["Accept-Encoding", "Accept-Language"]);
        assert!(page.text.contains("11"), "the page shows the minimum password length");
        for choice in ["href=\"/?lang=en\"", "href=\"/?lang=fr\""] {
            assert!(page.text.contains(choice), "{choice}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unchanged_page_answers_304() {
    let stack = start_service().await;
    let first = get_page(&stack, "/", "en").await;
    let tag = first.header("etag");
    assert_eq!(first.header("cache-control"), "no-cache");
    let revalidate = |path: &'static str, languages: &'static str| {
        let request = stack.client.request("GET", path).header("Accept-Language", languages);
        send(request.header("If-None-Match", tag))
    };
    let unchanged = revalidate("/", "en").await;
    assert_eq!((unchanged.status, unchanged.text.as_str()), (304, ""));
    assert_eq!(unchanged.header("content-security-policy"), first.header("content-security-policy"));
    assert_eq!(revalidate("/", "fr").await.status, 200, "another language is another page");
    assert_eq!(revalidate("/?lang=en", "fr").await.status, 304);

    let head = send(stack.client.request("HEAD", "/")).await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    let post = send(stack.client.request("POST", "/")).await;
    assert_eq!((post.problem(), post.header("allow")), ((405, "method-not-allowed".into()), "GET, HEAD"));
}

#[tokio::test(flavor = "multi_thread")]
async fn page_without_docs_has_no_docs_link() {
    let stack = start_service().await;
    assert!(get_page(&stack, "/", "en").await.text.contains("href=\"/docs\""));
    let without_docs = stack.start_api(&[("DOCS", "off")]).await;
    let page = without_docs.client.get("/").await;
    assert_eq!(page.status, 200);
    assert!(!page.text.contains("/docs"));
}
