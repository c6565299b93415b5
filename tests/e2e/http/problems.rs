//! Errors: every error response is a problem document (RFC 9457), also those of the framework, and repeats no secret.

use serde_json::json;

use support::{
    client::{Answer, Client, PASSWORD, send},
    proxy::{Proxy, ProxyMode},
    stack::Stack,
};

const SECRET: &str = "hunter2hunter2";

async fn start_api() -> (Stack, Client) {
    let stack = Stack::without_broker().await;
    let client = stack.start_api(&[]).await.client.clone();
    (stack, client)
}

async fn post(client: &Client, content_type: &str, body: impl Into<reqwest::Body>) -> Answer {
    send(client.request("POST", "/v1/users").header("Content-Type", content_type).body(body)).await
}

/// The methods of an `Allow` header, sorted: their order has no meaning, and depends on features of serde_json.
fn sorted_methods(allow: &str) -> Vec<&str> {
    let mut methods: Vec<_> = allow.split(", ").collect();
    methods.sort_unstable();
    methods
}

#[tokio::test(flavor = "multi_thread")]
async fn framework_errors_are_problem_documents() {
    let (_stack, client) = start_api().await;
    assert_eq!(client.get("/nothing").await.problem(), (404, "not-found".into()));
    assert_eq!(client.get("/v1/registrations/not-an-id").await.problem(), (400, "malformed-request".into()));
    let unknown = "/v1/registrations/b0e5f5c6-6a0e-4d0c-9a3b-3f8f4f0f9b52";
    assert_eq!(client.get(unknown).await.problem(), (404, "not-found".into()));
    for (method, path, allow) in [
        ("GET", "/v1/users", "POST"),
        ("DELETE", "/v1/users/activate", "POST"),
        ("POST", unknown, "GET, HEAD"),
        ("GET", "/v1/users/login", "POST"),
        ("PUT", "/v1/users/me", "DELETE, GET, HEAD"),
        ("GET", "/v1/users/logout", "POST"),
        ("PUT", "/health", "GET, HEAD"),
        ("POST", "/docs", "GET, HEAD"),
        ("DELETE", "/not-me/x", "GET, HEAD, POST"),
    ] {
        let answer = send(client.request(method, path)).await;
        assert_eq!(answer.problem(), (405, "method-not-allowed".into()), "{method} {path}");
        assert_eq!(sorted_methods(answer.header("allow")), sorted_methods(allow), "{method} {path}");
    }
    assert_eq!(post(&client, "text/plain", "{}").await.problem(), (415, "unsupported-media-type".into()));
    let body = json!({ "code": "0000" });
    let answer = client.post("/v1/users/activate", &body).await;
    assert_eq!(answer.problem(), (401, "unauthenticated".into()));
    assert_eq!(answer.header("www-authenticate"), r#"Basic realm="vestibule", charset="UTF-8""#);
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_body_is_not_echoed() {
    let (_stack, client) = start_api().await;
    for body in [
        format!(r#"{{"email":"ada@example.com","password":["{SECRET}"]}}"#),
        format!(r#"{{"email":"ada@example.com","password":{{"p":"{SECRET}"}}}}"#),
        format!(r#"{{"email":"ada@example.com","password":"{SECRET}""#),
        format!(r#""{SECRET}""#),
        format!(r#"["{SECRET}"]"#),
        r#"{"email":"ada@example.com","password":1232123}"#.into(),
        String::new(),
    ] {
        let answer = post(&client, "application/json", body.clone()).await;
        assert_eq!(answer.problem(), (400, "malformed-request".into()), "{body}");
        assert!(!answer.text.contains(SECRET) && !answer.text.contains("1232123"), "{}", answer.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn body_over_16_kib_is_rejected_even_chunked() {
    let (_stack, client) = start_api().await;
    let large = format!(r#"{{"email":"{}"}}"#, "a".repeat(17 * 1024));
    assert_eq!(post(&client, "application/json", large.clone()).await.problem(), (413, "payload-too-large".into()));
    let chunks =
        large.into_bytes().chunks(1000).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect::<Vec<_>>();
    let chunked = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
    assert_eq!(post(&client, "application/json", chunked).await.problem(), (413, "payload-too-large".into()));
    let compressed = client.request("POST", "/v1/users").header("Content-Type", "application/json");
    let answer = send(compressed.header("Content-Encoding", "gzip").body("{}")).await;
    assert_eq!(answer.problem(), (415, "unsupported-media-type".into()));
    let fits = format!(r#"{{"email":"{}"}}"#, "a".repeat(15 * 1024));
    assert_eq!(post(&client, "application/json", fits).await.problem(), (422, "invalid-input".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn s_27_malformed_credentials_are_unauthenticated() {
    let (_stack, client) = start_api().await;
    for header in
        ["", "Basic", "Basic ", "Basic %%%", "Basic YWRh", "Basic Og==", "Bearer abc", "Basic //79", "Digest x"]
    {
        let request = client.request("POST", "/v1/users/activate").json(&json!({ "code": "0000" }));
        let answer = send(request.header("Authorization", header)).await;
        assert_eq!(answer.problem(), (401, "unauthenticated".into()), "{header}");
    }
    for (user, password) in [("", "x"), ("not-an-address", SECRET), ("a@x.io", ""), ("a@x.io", &"x".repeat(600))] {
        let request = client.request("POST", "/v1/users/resend").basic_auth(user, Some(password));
        assert_eq!(send(request).await.problem(), (401, "unauthenticated".into()), "{user}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trailing_slashes_are_accepted() {
    let (_stack, client) = start_api().await;
    let body = json!({ "email": "ada@example.com", "password": "correct horse battery" });
    let answer = client.post("/v1/users/", &body).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(client.get(&format!("{}/", answer.header("location"))).await.status, 200);
    assert_eq!(client.get("/docs/").await.status, 200);
}

/// I-21: without the database every request is rejected with 503 and `Retry-After`.
#[tokio::test(flavor = "multi_thread")]
async fn s_28_database_outage_grants_nothing() {
    let stack = Stack::without_broker().await;
    let (proxy, url) = Proxy::in_front_of(&stack.database.service_url).await;
    let api = stack.start_api(&[("DATABASE_URL", &url)]).await;
    assert_eq!(api.client.register("ada@example.com").await.status, 202);
    proxy.set(ProxyMode::Closed);
    for answer in [api.client.register("bob@example.com").await, api.client.activate("ada@example.com", "0000").await] {
        assert_eq!(answer.problem(), (503, "unavailable".into()));
        assert!(!answer.header("retry-after").is_empty());
    }
    let health = api.client.get("/health").await;
    assert_eq!((health.status, &health.json()["checks"]["postgres"]), (503, &json!("failing")));
    proxy.set(ProxyMode::Open);
    let answer = api.client.register("bob@example.com").await;
    assert_eq!(answer.status, 202, "{answer:?}");
}

/// A database that never answers is treated as an outage: the request times out with 503.
#[tokio::test(flavor = "multi_thread")]
async fn silent_database_times_out_with_503() {
    let stack = Stack::without_broker().await;
    let (proxy, url) = Proxy::in_front_of(&stack.database.service_url).await;
    let api = stack.start_api(&[("DATABASE_URL", &url)]).await;
    assert_eq!(api.client.register("ada@example.com").await.status, 202);
    proxy.set(ProxyMode::Stalled);
    assert_eq!(api.client.register("bob@example.com").await.problem(), (503, "unavailable".into()));
    proxy.set(ProxyMode::Open);
    assert_eq!(api.client.register("bob@example.com").await.status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_body_needs_no_json_content_type() {
    let stack = Stack::start().await;
    stack.sign_up("ada@example.com").await;
    stack.database.age(120).await;
    let resend = stack.client.request("POST", "/v1/users/resend").basic_auth("ada@example.com", Some(PASSWORD));
    let answer = send(resend.header("Content-Type", "application/octet-stream").body("")).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let resend = stack.client.request("POST", "/v1/users/resend").basic_auth("ada@example.com", Some(PASSWORD));
    let answer = send(resend.header("Content-Type", "application/octet-stream").body("{}")).await;
    assert_eq!(answer.problem(), (415, "unsupported-media-type".into()));
}

/// The `type` of every problem document is the URL of a page that explains it.
#[tokio::test(flavor = "multi_thread")]
async fn every_problem_type_leads_to_its_page() {
    let (_stack, client) = start_api().await;
    let unknown_path = client.get("/nothing").await;
    assert!(unknown_path.json()["detail"].as_str().unwrap().contains("/docs"), "{unknown_path:?}");
    let problem_type = unknown_path.json()["type"].as_str().unwrap().to_owned();
    let path = &problem_type[problem_type.find("/problems/").unwrap()..];
    let page = client.get(path).await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(page.text.contains("<h1>Not found</h1>"), "{}", page.text);
    assert!(page.header("content-security-policy").contains("default-src 'none'"));
    assert_eq!(client.get("/problems/no-such-problem").await.problem(), (404, "not-found".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn favicon_is_an_image() {
    let (_stack, client) = start_api().await;
    let icon = client.get("/favicon.ico").await;
    assert_eq!((icon.status, icon.header("content-type")), (200, "image/svg+xml"));
}
