//! Security headers, CORS, and the graceful shutdown of connections.

use std::net::SocketAddr;

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use support::{
    client::{Answer, Client, send},
    running::RunningService,
    stack::Stack,
};

const ALLOWED_ORIGIN: &str = "https://app.example.com";
const OTHER_ORIGIN: &str = "https://other.example.com";
const NO_CONTENT_POLICY: &str = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

async fn start_api(settings: &[(&str, &str)]) -> (Stack, RunningService) {
    let stack = Stack::without_broker().await;
    let api = stack.start_api(settings).await;
    (stack, api)
}

/// One response of every kind, with its status.
async fn responses_of_every_kind(client: &Client) -> Vec<(u16, Answer)> {
    let large = json!({ "email": "a".repeat(17 * 1024) });
    let text = client.request("POST", "/v1/users").header("Content-Type", "text/plain").body("x");
    vec![
        (200, client.get("/v1/policy").await),
        (200, client.get("/openapi.json").await),
        (202, client.register("ada@example.com").await),
        (400, client.get("/v1/registrations/x").await),
        (401, client.activate("unknown@example.com", "0000").await),
        (404, client.get("/nothing").await),
        (405, client.get("/v1/users").await),
        (413, client.post("/v1/users", &large).await),
        (415, send(text).await),
        (422, client.register("not-an-address").await),
        (503, client.get("/health").await),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_response_has_security_headers() {
    let (_stack, api) = start_api(&[]).await;
    for (status, answer) in responses_of_every_kind(&api.client).await {
        assert_eq!(answer.status, status, "{answer:?}");
        // Responses that are the same for all clients may be cached, and must be revalidated.
        let (cache_control, vary) =
            if answer.header("etag").is_empty() { ("no-store", "") } else { ("no-cache", "Accept-Encoding") };
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("x-frame-options", "DENY"),
            ("content-security-policy", NO_CONTENT_POLICY),
            ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cache-control", cache_control),
            ("strict-transport-security", ""),
            ("access-control-allow-origin", ""),
            ("vary", vary),
        ] {
            assert_eq!(answer.header(name), value, "{name} of {answer:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn https_public_url_sends_hsts() {
    let (_stack, api) = start_api(&[("PUBLIC_URL", "https://sign-up.example.com")]).await;
    for (status, answer) in responses_of_every_kind(&api.client).await {
        assert_eq!((status, answer.header("strict-transport-security")), (answer.status, "max-age=31536000"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn docs_csp_allows_only_hashed_scripts() {
    let (_stack, api) = start_api(&[]).await;
    // Scalar creates styles at run time. Inline styles cannot run scripts, and the policy lets them load nothing
    // external.
    for (path, scripts, styles) in [("/docs", 2, "'sha256-"), ("/docs/scalar", 1, "'unsafe-inline'")] {
        let page = api.client.get(path).await;
        let policy = page.header("content-security-policy");
        let parts: Vec<_> = policy.split("; ").collect();
        let allowed = parts.iter().find_map(|part| part.strip_prefix("script-src ")).unwrap();
        assert_eq!(allowed.split(' ').filter(|source| source.starts_with("'sha256-")).count(), scripts, "{policy}");
        assert_eq!(allowed.split(' ').count(), scripts, "{policy}");
        let style = parts.iter().find_map(|part| part.strip_prefix("style-src ")).unwrap();
        assert!(style.starts_with(styles) && !style.contains(' '), "{policy}");
        assert_eq!(policy.matches("unsafe").count(), styles.matches("unsafe").count(), "{policy}");
        assert!(!policy.contains("://") && !policy.contains('*'), "{policy}");
        for part in ["default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(parts.contains(&part), "{policy}");
        }
        assert_eq!((page.header("x-frame-options"), page.header("cache-control")), ("DENY", "no-cache"));
    }
}

/// Sends a cross-origin request.
async fn request_from(client: &Client, origin: &str, method: &str, path: &str) -> Answer {
    send(client.request(method, path).header("Origin", origin)).await
}

async fn preflight(client: &Client, origin: &str) -> Answer {
    let request = client.request("OPTIONS", "/v1/users").header("Origin", origin);
    send(request.header("Access-Control-Request-Method", "POST")).await
}

fn has_cors_headers(answer: &Answer) -> bool {
    answer.headers.keys().any(|name| name.as_str().starts_with("access-control-") || name == "vary")
}

#[tokio::test(flavor = "multi_thread")]
async fn allowed_origin_passes_cors() {
    let (_stack, api) = start_api(&[("ALLOWED_ORIGINS", "https://app.example.com, http://localhost:3000")]).await;
    for origin in [ALLOWED_ORIGIN, "http://localhost:3000"] {
        let preflight = preflight(&api.client, origin).await;
        assert_eq!((preflight.status, preflight.text.as_str()), (204, ""));
        assert_eq!(preflight.header("access-control-allow-methods"), "GET, POST, DELETE");
        assert_eq!(preflight.header("access-control-allow-headers"), "Authorization, Content-Type, Idempotency-Key");
        assert_eq!(preflight.header("access-control-max-age"), "7200");
        let accepted = request_from(&api.client, origin, "GET", "/v1/policy").await;
        let rejected = request_from(&api.client, origin, "POST", "/v1/users/activate").await;
        assert_eq!((accepted.status, rejected.status), (200, 401));
        for answer in [preflight, accepted, rejected] {
            assert_eq!(answer.header("access-control-allow-origin"), origin, "{answer:?}");
            assert_eq!(answer.header("vary"), "Origin");
            let exposed = "Location, Retry-After, X-Request-Id, WWW-Authenticate";
            assert_eq!(answer.header("access-control-expose-headers"), exposed);
            assert_eq!(answer.header("access-control-allow-credentials"), "", "the API uses no cookies");
            assert_eq!(answer.header("x-content-type-options"), "nosniff");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_origins_get_no_cors_headers() {
    let (stack, closed) = start_api(&[]).await;
    let open = stack.start_api(&[("ALLOWED_ORIGINS", ALLOWED_ORIGIN)]).await;
    for (api, origin) in [
        (&closed, ALLOWED_ORIGIN),
        (&open, OTHER_ORIGIN),
        (&open, "null"),
        (&open, "https://app.example.com.evil.example"),
    ] {
        let preflight = preflight(&api.client, origin).await;
        assert_eq!(preflight.problem(), (405, "method-not-allowed".into()), "{origin}");
        let answer = request_from(&api.client, origin, "GET", "/v1/policy").await;
        assert_eq!(answer.status, 200, "{origin}");
        assert!(!has_cors_headers(&preflight) && !has_cors_headers(&answer), "{answer:?}");
    }
    let answer = open.client.get("/v1/policy").await;
    assert!(!has_cors_headers(&answer), "{answer:?}");
    let no_preflight = request_from(&open.client, ALLOWED_ORIGIN, "OPTIONS", "/v1/users").await;
    assert_eq!(no_preflight.problem(), (405, "method-not-allowed".into()));
}

/// The address that the API listens on.
pub(crate) fn address(api: &RunningService) -> SocketAddr {
    let url = api.client.request("GET", "/").build().unwrap().url().clone();
    url.socket_addrs(|| None).unwrap()[0]
}

/// Opens a connection and sends raw text.
async fn connect_and_send(addr: SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

async fn read_to_end(mut stream: TcpStream) -> String {
    let mut received = vec![];
    let _ = stream.read_to_end(&mut received).await;
    String::from_utf8(received).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_waits_only_for_requests_in_progress() {
    let (_stack, api) = start_api(&[]).await;
    let addr = address(&api);
    let mut incomplete = connect_and_send(addr, "GET / HTTP/1.1\r\nHo").await;
    let mut idle = connect_and_send(addr, "GET /v1/policy HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(idle.read(&mut [0; 16 * 1024]).await.unwrap() > 0);
    let body = r#"{"email":"not-an-address"}"#;
    let head = "POST /v1/users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n";
    let mut posting = connect_and_send(addr, &format!("{head}Content-Length: {}\r\n\r\n", body.len())).await;
    let mut interim = [0; 25];
    posting.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");

    let stopping = tokio::spawn(api.stop());
    assert_eq!(read_to_end(idle).await, "", "an idle connection is closed without waiting for other requests");
    assert_eq!(incomplete.read(&mut [0]).await.unwrap_or(0), 0);
    posting.write_all(body.as_bytes()).await.unwrap();
    let answer = read_to_end(posting).await;
    assert!(answer.starts_with("HTTP/1.1 422 ") && answer.contains("connection: close"), "{answer}");
    stopping.await.unwrap().unwrap();
}
