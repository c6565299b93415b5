//! The way to the API: what every answer says to browsers, who may use it from one, how it ends.

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

const APP: &str = "https://app.example.com";
const OTHER: &str = "https://other.example.com";
const NOTHING: &str = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

async fn api(settings: &[(&str, &str)]) -> (Stack, RunningService) {
    let stack = Stack::without_broker().await;
    let api = stack.start_api(settings).await;
    (stack, api)
}

/// Of every sort one.
async fn answers(client: &Client) -> Vec<(u16, Answer)> {
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
        (422, client.register("nobody").await),
        (503, client.get("/health").await),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_tells_browsers_to_be_careful() {
    let (_stack, api) = api(&[]).await;
    for (status, answer) in answers(&api.client).await {
        assert_eq!(answer.status, status, "{answer:?}");
        // What is the same for everybody may be kept, and is asked about each time.
        let (kept, varies) =
            if answer.header("etag").is_empty() { ("no-store", "") } else { ("no-cache", "Accept-Encoding") };
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("x-frame-options", "DENY"),
            ("content-security-policy", NOTHING),
            ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cache-control", kept),
            ("strict-transport-security", ""),
            ("access-control-allow-origin", ""),
            ("vary", varies),
        ] {
            assert_eq!(answer.header(name), value, "{name} of {answer:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_is_reached_by_https_is_reached_by_nothing_else() {
    let (_stack, api) = api(&[("PUBLIC_URL", "https://sign-up.example.com")]).await;
    for (status, answer) in answers(&api.client).await {
        assert_eq!((status, answer.header("strict-transport-security")), (answer.status, "max-age=31536000"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_run_their_own_scripts_and_no_others() {
    let (_stack, api) = api(&[]).await;
    // Scalar makes styles while it runs; a style can neither run anything nor load what is not ours.
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

async fn from(client: &Client, origin: &str, method: &str, path: &str) -> Answer {
    send(client.request(method, path).header("Origin", origin)).await
}

async fn preflight(client: &Client, origin: &str) -> Answer {
    let asks = client.request("OPTIONS", "/v1/users").header("Origin", origin);
    send(asks.header("Access-Control-Request-Method", "POST")).await
}

fn speaks_of_cors(answer: &Answer) -> bool {
    answer.headers.keys().any(|name| name.as_str().starts_with("access-control-") || name == "vary")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allowed_origin_may_use_the_api() {
    let (_stack, api) = api(&[("ALLOWED_ORIGINS", "https://app.example.com, http://localhost:3000")]).await;
    for origin in [APP, "http://localhost:3000"] {
        let asked = preflight(&api.client, origin).await;
        assert_eq!((asked.status, asked.text.as_str()), (204, ""));
        assert_eq!(asked.header("access-control-allow-methods"), "GET, POST, DELETE");
        assert_eq!(asked.header("access-control-allow-headers"), "Authorization, Content-Type, Idempotency-Key");
        assert_eq!(asked.header("access-control-max-age"), "7200");
        let right = from(&api.client, origin, "GET", "/v1/policy").await;
        let refused = from(&api.client, origin, "POST", "/v1/users/activate").await;
        assert_eq!((right.status, refused.status), (200, 401));
        for answer in [asked, right, refused] {
            assert_eq!(answer.header("access-control-allow-origin"), origin, "{answer:?}");
            assert_eq!(answer.header("vary"), "Origin");
            let exposed = "Location, Retry-After, X-Request-Id, WWW-Authenticate";
            assert_eq!(answer.header("access-control-expose-headers"), exposed);
            assert_eq!(answer.header("access-control-allow-credentials"), "", "nobody's cookies are of use here");
            assert_eq!(answer.header("x-content-type-options"), "nosniff");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_else_hears_of_cors() {
    let (stack, closed) = api(&[]).await;
    let open = stack.start_api(&[("ALLOWED_ORIGINS", APP)]).await;
    for (api, origin) in
        [(&closed, APP), (&open, OTHER), (&open, "null"), (&open, "https://app.example.com.evil.example")]
    {
        let asked = preflight(&api.client, origin).await;
        assert_eq!(asked.problem(), (405, "method-not-allowed".into()), "{origin}");
        let answer = from(&api.client, origin, "GET", "/v1/policy").await;
        assert_eq!(answer.status, 200, "{origin}");
        assert!(!speaks_of_cors(&asked) && !speaks_of_cors(&answer), "{answer:?}");
    }
    let answer = open.client.get("/v1/policy").await;
    assert!(!speaks_of_cors(&answer), "{answer:?}");
    let no_preflight = from(&open.client, APP, "OPTIONS", "/v1/users").await;
    assert_eq!(no_preflight.problem(), (405, "method-not-allowed".into()));
}

/// Where it listens.
pub(crate) fn address(api: &RunningService) -> SocketAddr {
    let url = api.client.request("GET", "/").build().unwrap().url().clone();
    url.socket_addrs(|| None).unwrap()[0]
}

async fn say(addr: SocketAddr, text: &str) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    stream
}

async fn hear_all(mut stream: TcpStream) -> String {
    let mut heard = vec![];
    let _ = stream.read_to_end(&mut heard).await;
    String::from_utf8(heard).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_waits_for_the_request_in_hand_and_for_nobody_else() {
    let (_stack, api) = api(&[]).await;
    let addr = address(&api);
    let mut half = say(addr, "GET / HTTP/1.1\r\nHo").await;
    let mut kept = say(addr, "GET /v1/policy HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(kept.read(&mut [0; 16 * 1024]).await.unwrap() > 0);
    let body = r#"{"email":"nobody"}"#;
    let head = "POST /v1/users HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\n";
    let mut posting = say(addr, &format!("{head}Content-Length: {}\r\n\r\n", body.len())).await;
    let mut go_on = [0; 25];
    posting.read_exact(&mut go_on).await.unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");

    let stopping = tokio::spawn(api.stop());
    assert_eq!(hear_all(kept).await, "", "an idle connection is closed before the work is done");
    assert_eq!(half.read(&mut [0]).await.unwrap_or(0), 0);
    posting.write_all(body.as_bytes()).await.unwrap();
    let answer = hear_all(posting).await;
    assert!(answer.starts_with("HTTP/1.1 422 ") && answer.contains("connection: close"), "{answer}");
    stopping.await.unwrap().unwrap();
}
