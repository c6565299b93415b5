//! The API as a process: start-up errors, log output, memory limits and shutdown.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Command,
};

use support::{database::Database, process::Process};

const SECRETS: &str = "test:c2VjcmV0LWNhbmFyeS1zZWNyZXQtY2FuYXJ5LXNlY3JldA==";
const SUBJECT_KEY: &str = "c3ViamVjdC1jYW5hcnktc3ViamVjdC1jYW5hcnktc3ViamVjdA==";
const PASSWORD: &str = "canary horse battery";
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

fn api(database_url: &str) -> Command {
    let mut command = Command::new(support::process::program("api"));
    command.env_clear().envs([
        ("DATABASE_URL", database_url),
        ("AMQP_URL", "amqp://canary:broker-canary@127.0.0.1:1"),
        ("CODE_SECRETS", SECRETS),
        ("SUBJECT_KEY", SUBJECT_KEY),
        ("API_ADDR", "127.0.0.1:0"),
        ("OPS_ADDR", "127.0.0.1:0"),
        ("RUST_LOG", "trace"),
    ]);
    command
}

/// Sends a raw request and returns everything up to the end of the connection.
fn send_raw(addr: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn post(addr: &str, path: &str, headers: &str, body: &str) -> String {
    let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n");
    send_raw(addr, &format!("{head}{headers}Content-Length: {}\r\n\r\n{body}", body.len()))
}

#[test]
fn api_names_the_invalid_setting_at_startup() {
    for (name, value) in [
        ("CODE_LENGTH", "3"),
        ("LOG_FORMAT", "xml"),
        ("RUST_LOG", "=,="),
        ("DATABASE_URL", "nonsense"),
        (ENDPOINT, "canary"),
    ] {
        let output = api("postgres://u:db-canary@127.0.0.1:1/x").env(name, value).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && stderr.contains(name), "{name}: {stderr}");
        assert!(!stderr.contains("canary"), "{stderr}");
    }
}

#[test]
fn api_exits_when_postgres_is_unreachable() {
    let output = api("postgres://u:db-canary@127.0.0.1:1/x").output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && stderr.contains("DATABASE_URL"), "{stderr}");
    assert!(!stderr.contains("canary"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn migrate_command_only_migrates() {
    let database = Database::create_empty().await;
    let output = api(&database.url).arg("migrate").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(database.count("SELECT count(*) FROM registrations").await, 0);
}

/// I-14: even at TRACE, the log holds no secret.
#[tokio::test(flavor = "multi_thread")]
async fn s_17_trace_log_holds_no_secret() {
    let database = Database::create().await;
    for format in ["text", "json"] {
        // Cheap hashes, because a slow machine would refuse some of the requests.
        let cheap = [("ARGON2_MEMORY_KIB", "8"), ("ARGON2_PASSES", "1")];
        let mut api = Process::start(api(&database.url).env("LOG_FORMAT", format).envs(cheap));
        let addr = api.address("api");
        let email = format!("{format}.canary@example.com");
        let body = format!(r#"{{"email":"{email}","password":"{PASSWORD}"}}"#);
        let answer = post(&addr, "/v1/users", "Idempotency-Key: key-1\r\n", &body);
        assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
        let basic = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, format!("{email}:{PASSWORD}"));
        let header = format!("Authorization: Basic {basic}\r\n");
        let answer = post(&addr, "/v1/users/activate", &header, r#"{"code":"9731973197"}"#);
        assert!(answer.starts_with("HTTP/1.1 422"), "{answer}");
        post(&addr, "/v1/users", "", &format!(r#"{{"password":["{PASSWORD}"]}}"#));
        let newest = "SELECT id FROM codes ORDER BY created_at DESC LIMIT 1";
        let code = database.client().query_one(newest, &[]).await.unwrap().get(0);
        let link = shared::mail_link::MailLink::NotMe
            .token(shared::codes::CodeSecrets::parse(SECRETS).unwrap().newest(), code);
        for (path, status) in [(&*link, "200 "), ("canary", "404 ")] {
            let answer = post(&addr, &format!("/not-me/{path}"), "", "");
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        }
        let create_account = "INSERT INTO users SELECT gen_random_uuid(), email, password_hash, created_at, created_at \
            FROM registrations ORDER BY created_at DESC LIMIT 1";
        database.execute(create_account, &[]).await;
        let answer = post(&addr, "/v1/users/login", &header, "");
        let token = answer.split(r#""token":""#).nth(1).and_then(|rest| rest.split('"').next()).unwrap_or(&answer);
        let bearer = format!("Authorization: Bearer {token}\r\n");
        let passwords = format!(r#"{{"password":"{PASSWORD}","new_password":"canary the second"}}"#);
        let answer = post(&addr, "/v1/users/me/password", &bearer, &passwords);
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
        let answer = post(&addr, "/v1/users/password/forgot", "", &format!(r#"{{"email":"{email}"}}"#));
        let receipt = answer.split(r#""receipt":""#).nth(1).and_then(|rest| rest.split('"').next()).unwrap_or(&answer);
        let guess = format!(r#"{{"receipt":"{receipt}","code":"97319731","password":"canary the third"}}"#);
        let answer = post(&addr, "/v1/users/password/reset", "", &guess);
        assert!(answer.starts_with("HTTP/1.1 422"), "{answer}");
        let answer = post(&addr, "/v1/users/logout", &bearer, "");
        assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");

        let (code, log) = api.terminate();
        assert_eq!(code, Some(0), "{log}");
        assert!(log.contains("request completed"), "{log}");
        // Both wrong codes begin with these digits, which are too many to appear in a time or an id by chance.
        for secret in ["canary", "Y2FuYXJ5", &basic, "97319731", "$argon2", "c2VjcmV0", SUBJECT_KEY, token, &link] {
            assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
        }
        let hash = "SELECT password_hash FROM registrations ORDER BY created_at DESC LIMIT 1";
        let hash: String = database.client().query_one(hash, &[]).await.unwrap().get(0);
        assert!(!log.contains(&hash));
        database.execute("UPDATE registrations SET idempotency_key = NULL", &[]).await;
    }
}

/// Behind a proxy that `TRUSTED_PROXIES` does not name all clients are one network, which the operator must find out.
#[tokio::test(flavor = "multi_thread")]
async fn unnamed_proxy_is_reported_once() {
    let database = Database::create().await;
    for (proxies, is_reported) in [("", true), ("127.0.0.1", false)] {
        let mut api = Process::start(api(&database.url).envs([("TRUSTED_PROXIES", proxies), ("RUST_LOG", "info")]));
        let line = api.wait_for("ops=127.0.0.1:");
        let address = |name| line.split(' ').find_map(|field| field.strip_prefix(name)).unwrap();
        let report = || send_raw(address("ops="), "GET /health/ready HTTP/1.1\r\nHost: x\r\n\r\n");
        api.wait_for("ready");
        assert!(!report().contains("TRUSTED_PROXIES"));
        for header in ["", "X-Forwarded-For: 198.51.100.1\r\n", "X-Forwarded-For: 198.51.100.2\r\n"] {
            let answer = post(address("api="), "/v1/users", header, "{}");
            assert!(answer.starts_with("HTTP/1.1 422"), "{answer}");
        }
        let hint = "add 127.0.0.1 to TRUSTED_PROXIES";
        assert_eq!(report().contains(hint), is_reported, "{}", report());
        let (_, log) = api.terminate();
        assert_eq!(log.matches(hint).count(), usize::from(is_reported), "{log}");
    }
}

/// I-16: memory is bounded by the hash threads, excess requests are rejected with 503, and `/health` answers meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn s_19_thousand_registrations_stay_within_hash_memory() {
    const THREADS: u64 = 2;
    let database = Database::create().await;
    let settings =
        [("HASH_THREADS", &*THREADS.to_string()), ("RUST_LOG", "info"), ("REGISTRATIONS_PER_NETWORK_PER_HOUR", "0")];
    let mut api = Process::start(api(&database.url).envs(settings));
    let addr = api.address("api");
    let get = "GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    send_raw(&addr, get);
    let register = |local_part: String| {
        let body = format!(r#"{{"email":"{local_part}@example.com","password":"{PASSWORD}"}}"#);
        post(&addr, "/v1/users", "", &body)
    };
    // Fill the connection pool first: `/health` must not wait until a connection to Postgres is open.
    std::thread::scope(|scope| {
        for n in 0..16 {
            scope.spawn(move || register(format!("before{n}")));
        }
    });
    let before = api.memory_kib("VmRSS");

    let (answers, health) = std::thread::scope(|scope| {
        let flood: Vec<_> = (0..1_000).map(|n| scope.spawn(move || register(format!("u{n}")))).collect();
        let health: Vec<_> = (0..20).map(|_| send_raw(&addr, get)).collect();
        (flood.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>(), health)
    });
    assert!(answers.iter().all(|answer| answer.contains(" 202 ") || answer.contains(" 503 ")));
    assert!(answers.iter().any(|answer| answer.contains(" 503 ")), "no request was rejected");
    assert!(health.iter().all(|answer| answer.contains(r#""postgres":"ok""#)), "{health:?}");
    // 19 MiB for each thread, and 128 KiB for each connection with its request, in a debug build.
    let grown = api.memory_kib("VmHWM") - before;
    assert!(grown < THREADS * 19 * 1024 + 1_000 * 128, "{grown} KiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn occupied_port_is_named_at_startup() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let database = Database::create().await;
    let output = api(&database.url).env("API_ADDR", &addr).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && stderr.contains(&format!("API_ADDR: cannot listen on {addr}")), "{stderr}");
}

/// After the first signal the API waits for a request whose body is still being sent; the second signal ends it.
#[tokio::test(flavor = "multi_thread")]
async fn second_signal_exits_without_waiting() {
    let database = Database::create().await;
    let mut api = Process::start(&mut api(&database.url));
    let addr = api.address("api");
    let mut stream = TcpStream::connect(&addr).unwrap();
    stream.write_all(b"POST /v1/users HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{").unwrap();
    // A later request was answered, so the server has read the head of the first one.
    post(&addr, "/v1/users", "", "{}");
    api.send_sigterm();
    api.wait_for("signal received; draining");
    api.send_sigterm();
    let (code, log) = api.wait_for_exit();
    assert_eq!(code, Some(130), "{log}");
}
