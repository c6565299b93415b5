//! Traces: one trace leads from the request to the mail server; a collector that is down costs nothing but the traces.

use std::{io::Write, net::TcpStream, process::Command};

use serde_json::json;

use crate::{
    operations::secret_leaks::spellings,
    registration::not_me::{not_me_path, submit_not_me},
};
use support::{
    client::{Client, send},
    fake_smtp::behaviour::{Behaviour, Stage},
    otlp_collector::{CollectorBehaviour, OtlpCollector, Span},
    process::Process,
    stack::Stack,
    standalone::StandaloneFolder,
};

const ADA: &str = "ada.canary@example.com";
const PASSWORD: &str = "canary:horse battery";
const KEY: &str = "canary-key";

/// Starts `api` or `worker`, as cargo built it, with this collector.
fn start(program: &str, stack: &Stack, collector: &OtlpCollector) -> Process {
    let program = support::process::program(program);
    assert!(program.exists(), "first: cargo build -p api -p worker");
    let mut command = Command::new(program);
    command.env_clear().envs(stack.variables(&[])).env("API_ADDR", "127.0.0.1:0").env("OPS_ADDR", "127.0.0.1:0");
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url());
    command.env("OTEL_EXPORTER_OTLP_HEADERS", format!("x-key={KEY}"));
    Process::start(&mut command)
}

fn client(api: &mut Process) -> Client {
    api.wait_for("exporting traces");
    Client::new(format!("http://{}", api.address("api")))
}

fn spans_named<'a>(trace: &'a [Span], name: &str) -> Vec<&'a Span> {
    trace.iter().filter(|span| span.name == name).collect()
}

/// The value of an attribute, or nothing.
fn attribute<'a>(span: &'a Span, name: &str) -> &'a str {
    span.attributes.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
}

/// The id of a request is the id of its trace.
fn trace_id(answer: &support::client::Answer) -> String {
    answer.header("x-request-id").replace('-', "")
}

/// Every span except the root has a parent in the same trace.
fn assert_one_tree(trace: &[Span], root: &Span) {
    for span in trace {
        assert_eq!(span.parent.is_empty(), span.id == root.id, "{span:?}");
        assert!(span.parent.is_empty() || trace.iter().any(|other| other.id == span.parent), "{span:?} of {trace:#?}");
    }
}

/// The trace of a registration: through both processes, with two attempts at the mail server.
fn assert_registration_trace(trace: &[Span]) {
    let [request] = spans_named(trace, "POST /v1/users")[..] else { panic!("{trace:#?}") };
    assert_one_tree(trace, request);
    assert_eq!((request.service.as_str(), request.kind, request.failed), ("vestibule-api", 2, false));
    assert_eq!(attribute(request, "http.route"), "/v1/users");
    assert_eq!((attribute(request, "http.request.method"), attribute(request, "url.scheme")), ("POST", "http"));
    assert_eq!(attribute(request, "http.response.status_code"), "202");
    for name in ["wait for a hash thread", "hash", "lock and read", "write and commit"] {
        assert_eq!(spans_named(trace, name)[0].parent, request.id, "{name}");
    }
    let [published] = spans_named(trace, "publish a mail")[..] else { panic!("{trace:#?}") };
    assert_eq!((&published.parent, published.kind, published.failed), (&request.id, 4, false));
    let messages = spans_named(trace, "message");
    assert!(messages.iter().all(|message| message.parent == request.id && message.service == "vestibule-worker"));
    assert!(messages.iter().all(|message| message.kind == 5));
    for (reply, failed) in [("4xx", true), ("2xx", false)] {
        let smtp = spans_named(trace, "smtp").into_iter().find(|smtp| attribute(smtp, "smtp.reply") == reply).unwrap();
        let message = messages.iter().find(|message| message.id == smtp.parent).unwrap();
        assert_eq!((smtp.kind, smtp.failed, message.failed), (3, failed, failed), "{message:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_spans_both_processes_without_secrets() {
    let stack = Stack::prepare(&[]).await;
    let collector = OtlpCollector::start(CollectorBehaviour::Accepts).await;
    stack.mail_server.script(ADA, [Behaviour::Reply { at: Stage::Rcpt, code: 451 }]);
    let mut api = start("api", &stack, &collector);
    let mut worker = start("worker", &stack, &collector);
    worker.wait_for("connected to the broker");
    let client = client(&mut api);
    let registered = client.register_with(ADA, PASSWORD).await;
    let mail = stack.mail_server.mail_to(ADA).await;
    client.wait_for_receipt(&registered.registration(), "sent").await;

    // The second attempt delivered the mail.
    collector.wait_for_spans(&trace_id(&registered), "POST /v1/users", 1).await;
    assert_registration_trace(&collector.wait_for_spans(&trace_id(&registered), "message", 2).await);

    // A trace id from a client, and a path that does not exist, appear in no trace.
    let client_trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let code = mail.code();
    let path = not_me_path(&mail);
    let activate = client.request("POST", "/v1/users/activate?canary=canary").json(&json!({ "code": code }));
    let activate = activate.header("traceparent", format!("00-{client_trace}-00f067aa0ba902b7-01"));
    let activated = send(activate.basic_auth(ADA, Some(PASSWORD))).await;
    assert_eq!(activated.status, 200, "{activated:?}");
    let token = client.login(ADA, PASSWORD).await.json()["token"].as_str().unwrap().to_owned();
    let pressed = submit_not_me(&client, &path, "").await;
    let not_found = client.get("/canary").await;
    collector.wait_for_spans(&trace_id(&activated), "smtp", 1).await;
    for (name, answer) in [("POST /not-me/{token}", &pressed), ("GET", &not_found)] {
        let trace = collector.wait_for_spans(&trace_id(answer), name, 1).await;
        assert_eq!((trace[trace.len() - 1].name.as_str(), trace[trace.len() - 1].failed), (name, false), "{trace:?}");
    }
    assert!(collector.trace(client_trace).is_empty());
    assert!(collector.heads().iter().all(|head| head.starts_with("POST /v1/traces HTTP/1.1") && head.contains(KEY)));
    let logs = [api.terminate(), worker.terminate()];
    assert!(logs.iter().all(|(code, log)| *code == Some(0) && log.contains("exporting traces") && !log.contains(KEY)));
    let bytes = collector.bytes();
    let text = String::from_utf8_lossy(&bytes);
    let secrets = [ADA, "canary", PASSWORD, &token, &path["/not-me/".len()..]];
    for secret in secrets.into_iter().flat_map(spellings).chain([code]) {
        assert!(!text.contains(&secret), "{secret}");
    }
}

/// The one-process binary has no broker, and the same traces.
#[tokio::test(flavor = "multi_thread")]
async fn standalone_exports_the_same_trace() {
    let home = StandaloneFolder::new();
    let collector = OtlpCollector::start(CollectorBehaviour::Accepts).await;
    let running = home.start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url()), ("RUST_LOG", "warn")]);
    let registered = running.client.register(ADA).await;
    running.inbox.mail_to(ADA).await;
    // Spans that are still buffered are sent before the process ends.
    running.stop();
    let trace = collector.trace(&trace_id(&registered));
    let [request] = spans_named(&trace, "POST /v1/users")[..] else { panic!("{trace:#?}") };
    assert_one_tree(&trace, request);
    let ([message], [smtp]) = (&spans_named(&trace, "message")[..], &spans_named(&trace, "smtp")[..]) else {
        panic!("{trace:#?}")
    };
    assert_eq!((&message.parent, &smtp.parent), (&request.id, &message.id));
    assert_eq!(
        spans_named(&trace, "hash")[0].parent,
        request.id,
        "requests are not logged at this level, and still traced"
    );
    assert!(trace.iter().all(|span| span.service == "vestibule"), "{trace:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_collector_costs_only_the_traces() {
    let refuses = OtlpCollector::start(CollectorBehaviour::Rejects).await;
    let hangs = OtlpCollector::start(CollectorBehaviour::NeverResponds).await;
    for (url, why) in [
        ("http://127.0.0.1:1".to_owned(), "cannot connect"),
        (refuses.url(), "responded with status 503"),
        (hangs.url(), "timed out"),
    ] {
        let home = StandaloneFolder::new();
        let mut running = home.start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &url)]);
        running.sign_up_and_activate(ADA).await;
        let line = running.process.wait_for("trace export failed");
        assert!(line.contains(why) && line.contains("WARN"), "{line}");
        running.sign_up("bob@example.com").await;
        let log = running.stop();
        assert_eq!(log.matches("trace export failed").count(), 1, "logged once per outage: {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_collector_url_stops_the_start() {
    let home = StandaloneFolder::new();
    let collector = OtlpCollector::start(CollectorBehaviour::Accepts).await;
    let stderr = home.start_error(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://u:canary@collector:4318")], &[]);
    let expected = "vestibule: OTEL_EXPORTER_OTLP_ENDPOINT must be the URL of a collector";
    assert!(stderr.starts_with(expected) && !stderr.contains("canary"), "{stderr}");
    // Disabled, or without an endpoint, tracing opens no connection.
    let disabled = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.url()), ("OTEL_SDK_DISABLED", "true")];
    for settings in [&disabled[..], &[("OTEL_EXPORTER_OTLP_HEADERS", KEY)]] {
        let running = home.start(settings);
        running.sign_up(ADA).await;
        assert!(!running.stop().contains("traces"));
        std::fs::remove_dir_all(home.path("data")).unwrap();
    }
    assert_eq!(collector.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn abandoned_request_is_logged_and_traced() {
    let stack = Stack::without_broker().await;
    let collector = OtlpCollector::start(CollectorBehaviour::Accepts).await;
    let mut api = start("api", &stack, &collector);
    let address = client(&mut api).base()["http://".len()..].to_owned();
    api.wait_for("ready url=");
    stack.database.client().batch_execute("BEGIN; LOCK TABLE registrations").await.unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let path = "/v1/registrations/4bf92f35-77b3-4da6-a3ce-929d0e0e4736";
    stream.write_all(format!("GET {path}?canary HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).unwrap();
    // The API works on the request: one that was never begun is not logged.
    stack
        .database
        .wait_for_count("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'registrations'::regclass", 1)
        .await;
    drop(stream);
    let line = api.wait_for("request aborted");
    stack.database.client().batch_execute("ROLLBACK").await.unwrap();
    assert!(line.contains("status=499") && line.contains(r#"path="/v1/registrations/{id}""#), "{line}");
    assert!(!line.contains("canary") && !line.contains("4bf92f35"), "{line}");
    let id = line.split("id=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap().replace('-', "");
    let trace = collector.wait_for_spans(&id, "GET /v1/registrations/{id}", 1).await;
    assert!(trace[0].failed && attribute(&trace[0], "http.response.status_code").is_empty(), "{trace:?}");
}
