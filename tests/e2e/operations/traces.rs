//! Traces: one from the request to the mail server, and nothing lost but themselves when nobody takes them.

use std::{io::Write, net::TcpStream, process::Command};

use serde_json::json;

use crate::{
    operations::secret_leaks::spellings,
    registration::not_me::{link, press},
};
use support::{
    client::{Client, send},
    fake_smtp::behaviour::{Behaviour, Stage},
    otlp_collector::{Collector, CollectorBehaviour, Span},
    process::Process,
    stack::Stack,
    standalone::Home,
};

const ADA: &str = "ada.canary@example.com";
const PASSWORD: &str = "canary:horse battery";
const KEY: &str = "canary-key";

/// One of our two programs, as it was built beside this test.
fn start(program: &str, stack: &Stack, collector: &Collector) -> Process {
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

fn named<'a>(trace: &'a [Span], name: &str) -> Vec<&'a Span> {
    trace.iter().filter(|span| span.name == name).collect()
}

fn told<'a>(span: &'a Span, attribute: &str) -> &'a str {
    span.attributes.iter().find(|(name, _)| name == attribute).map_or("", |(_, value)| value)
}

/// The id of a request is that of its trace.
fn id(answer: &support::client::Answer) -> String {
    answer.header("x-request-id").replace('-', "")
}

/// Every span but the first hangs on another one of the trace.
fn is_one_tree(trace: &[Span], root: &Span) {
    for span in trace {
        assert_eq!(span.parent.is_empty(), span.id == root.id, "{span:?}");
        assert!(span.parent.is_empty() || trace.iter().any(|other| other.id == span.parent), "{span:?} of {trace:#?}");
    }
}

/// Of a registration: through both processes, and twice to the mail server.
fn is_the_whole_way(trace: &[Span]) {
    let [request] = named(trace, "POST /v1/users")[..] else { panic!("{trace:#?}") };
    is_one_tree(trace, request);
    assert_eq!((request.service.as_str(), request.kind, request.failed), ("vestibule-api", 2, false));
    assert_eq!(told(request, "http.route"), "/v1/users");
    assert_eq!((told(request, "http.request.method"), told(request, "url.scheme")), ("POST", "http"));
    assert_eq!(told(request, "http.response.status_code"), "202");
    for name in ["wait for a hash thread", "hash", "lock and read", "write and commit"] {
        assert_eq!(named(trace, name)[0].parent, request.id, "{name}");
    }
    let [published] = named(trace, "publish a mail")[..] else { panic!("{trace:#?}") };
    assert_eq!((&published.parent, published.kind, published.failed), (&request.id, 4, false));
    let messages = named(trace, "message");
    assert!(messages.iter().all(|message| message.parent == request.id && message.service == "vestibule-worker"));
    assert!(messages.iter().all(|message| message.kind == 5));
    for (reply, failed) in [("4xx", true), ("2xx", false)] {
        let smtp = named(trace, "smtp").into_iter().find(|smtp| told(smtp, "smtp.reply") == reply).unwrap();
        let message = messages.iter().find(|message| message.id == smtp.parent).unwrap();
        assert_eq!((smtp.kind, smtp.failed, message.failed), (3, failed, failed), "{message:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_trace_leads_from_the_request_through_both_processes_to_the_mail_server_and_tells_no_secret() {
    let (stack, collector) = (Stack::prepare(&[]).await, Collector::start(CollectorBehaviour::Takes).await);
    stack.mail_server.script(ADA, [Behaviour::Reply { at: Stage::Rcpt, code: 451 }]);
    let (mut api, mut worker) = (start("api", &stack, &collector), start("worker", &stack, &collector));
    worker.wait_for("connected to the broker");
    let client = client(&mut api);
    let registered = client.register_with(ADA, PASSWORD).await;
    let mail = stack.mail_server.mail_to(ADA).await;
    client.receipt_when(&registered.registration(), "sent").await;

    // It went out at the second attempt.
    collector.trace_with(&id(&registered), "POST /v1/users", 1).await;
    is_the_whole_way(&collector.trace_with(&id(&registered), "message", 2).await);

    // What a stranger says of traces, and where they knock, is part of none.
    let theirs = "4bf92f3577b34da6a3ce929d0e0e4736";
    let (code, path) = (mail.code(), link(&mail));
    let activate = client.request("POST", "/v1/users/activate?canary=canary").json(&json!({ "code": code }));
    let activate = activate.header("traceparent", format!("00-{theirs}-00f067aa0ba902b7-01"));
    let activated = send(activate.basic_auth(ADA, Some(PASSWORD))).await;
    assert_eq!(activated.status, 200, "{activated:?}");
    let token = client.login(ADA, PASSWORD).await.json()["token"].as_str().unwrap().to_owned();
    let pressed = press(&client, &path, "").await;
    let nowhere = client.get("/canary").await;
    collector.trace_with(&id(&activated), "smtp", 1).await;
    for (name, answer) in [("POST /not-me/{token}", &pressed), ("GET", &nowhere)] {
        let trace = collector.trace_with(&id(answer), name, 1).await;
        assert_eq!((trace[trace.len() - 1].name.as_str(), trace[trace.len() - 1].failed), (name, false), "{trace:?}");
    }
    assert!(collector.trace(theirs).is_empty());
    assert!(collector.heads().iter().all(|head| head.starts_with("POST /v1/traces HTTP/1.1") && head.contains(KEY)));
    let said = [api.terminate(), worker.terminate()];
    assert!(said.iter().all(|(code, log)| *code == Some(0) && log.contains("exporting traces") && !log.contains(KEY)));
    let bytes = collector.bytes();
    let text = String::from_utf8_lossy(&bytes);
    let secrets = [ADA, "canary", PASSWORD, &token, &path["/not-me/".len()..]];
    for secret in secrets.into_iter().flat_map(spellings).chain([code]) {
        assert!(!text.contains(&secret), "{secret}");
    }
}

/// The binary of `cargo run` has no broker, and the same traces.
#[tokio::test(flavor = "multi_thread")]
async fn one_process_has_the_same_traces() {
    let (home, collector) = (Home::new(), Collector::start(CollectorBehaviour::Takes).await);
    let running = home.start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url()), ("RUST_LOG", "warn")]);
    let registered = running.client.register(ADA).await;
    running.inbox.mail_to(ADA).await;
    // What is left when it ends is sent before.
    running.stop();
    let trace = collector.trace(&id(&registered));
    let [request] = named(&trace, "POST /v1/users")[..] else { panic!("{trace:#?}") };
    is_one_tree(&trace, request);
    let ([message], [smtp]) = (&named(&trace, "message")[..], &named(&trace, "smtp")[..]) else { panic!("{trace:#?}") };
    assert_eq!((&message.parent, &smtp.parent), (&request.id, &message.id));
    assert_eq!(named(&trace, "hash")[0].parent, request.id, "the log shows no request, and the trace does");
    assert!(trace.iter().all(|span| span.service == "vestibule"), "{trace:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_refuses_or_hangs_costs_nothing_but_the_traces() {
    let (refuses, hangs) =
        (Collector::start(CollectorBehaviour::Refuses).await, Collector::start(CollectorBehaviour::SaysNothing).await);
    for (url, why) in [
        ("http://127.0.0.1:1".to_owned(), "cannot connect"),
        (refuses.url(), "responded with status 503"),
        (hangs.url(), "timed out"),
    ] {
        let home = Home::new();
        let mut running = home.start(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &url)]);
        running.sign_up_and_activate(ADA).await;
        let line = running.process.wait_for("trace export failed");
        assert!(line.contains(why) && line.contains("WARN"), "{line}");
        running.sign_up("bob@example.com").await;
        let log = running.stop();
        assert_eq!(log.matches("trace export failed").count(), 1, "once an outage: {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_collector_stops_the_start_and_without_one_nobody_is_asked() {
    let (home, collector) = (Home::new(), Collector::start(CollectorBehaviour::Takes).await);
    let said = home.refusal(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://u:canary@collector:4318")], &[]);
    let expected = "vestibule: OTEL_EXPORTER_OTLP_ENDPOINT must be the URL of a collector";
    assert!(said.starts_with(expected) && !said.contains("canary"), "{said}");
    let off = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.url()), ("OTEL_SDK_DISABLED", "true")];
    for settings in [&off[..], &[("OTEL_EXPORTER_OTLP_HEADERS", KEY)]] {
        let running = home.start(settings);
        running.sign_up(ADA).await;
        assert!(!running.stop().contains("traces"));
        std::fs::remove_dir_all(home.path("data")).unwrap();
    }
    assert_eq!(collector.connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_before_the_answer_has_a_line_in_the_log_and_a_span_too() {
    let (stack, collector) = (Stack::without_broker().await, Collector::start(CollectorBehaviour::Takes).await);
    let mut api = start("api", &stack, &collector);
    let address = client(&mut api).base()["http://".len()..].to_owned();
    api.wait_for("ready: ");
    stack.database.client().batch_execute("BEGIN; LOCK TABLE registrations").await.unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let path = "/v1/registrations/4bf92f35-77b3-4da6-a3ce-929d0e0e4736";
    stream.write_all(format!("GET {path}?canary HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).unwrap();
    // It is in hand: one that is never begun has no line.
    stack
        .database
        .becomes("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'registrations'::regclass", 1)
        .await;
    drop(stream);
    let line = api.wait_for("given up");
    stack.database.client().batch_execute("ROLLBACK").await.unwrap();
    assert!(line.contains("status=499") && line.contains(r#"path="/v1/registrations/{id}""#), "{line}");
    assert!(!line.contains("canary") && !line.contains("4bf92f35"), "{line}");
    let id = line.split("id=").nth(1).and_then(|rest| rest.split(' ').next()).unwrap().replace('-', "");
    let trace = collector.trace_with(&id, "GET /v1/registrations/{id}", 1).await;
    assert!(trace[0].failed && told(&trace[0], "http.response.status_code").is_empty(), "{trace:?}");
}
