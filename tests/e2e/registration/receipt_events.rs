//! `GET /v1/registrations/{id}/events`: server-sent events that carry the same receipt as reading it.

use std::time::Duration;

use reqwest::Response;
use serde_json::{Value, json};

use support::{
    client::{Client, PASSWORD},
    stack::Stack,
};

const ADA: &str = "ada@example.com";
const TIMEOUT: Duration = Duration::from_secs(30);

/// An open event stream.
pub(crate) struct Stream {
    pub(crate) response: Response,
    /// What was received and not yet returned as an event.
    buffer: String,
}

/// One `receipt` event.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) receipt: Value,
}

impl Stream {
    /// Opens the stream and checks that the server accepts it.
    pub(crate) async fn open(client: &Client, registration: &str) -> Self {
        let response = client.request("GET", &events_of(registration)).send().await.unwrap();
        assert_eq!(response.status(), 200);
        Self { response, buffer: String::new() }
    }

    /// The next event, or `None` when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        // One timeout for the whole wait: keep-alive comments must not extend it.
        tokio::time::timeout(TIMEOUT, self.read_event()).await.expect("no event, and the stream did not end")
    }

    async fn read_event(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.buffer.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.buffer = rest;
                let member = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                match (member("event: "), member("id: "), member("data: ")) {
                    (Some(event), Some(id), Some(data)) => {
                        assert_eq!(event, "receipt");
                        return Some(Event { id, receipt: serde_json::from_str(&data).unwrap() });
                    }
                    _ => {
                        let is_keep_alive = ["retry: ", "event: still\n"].iter().any(|start| block.starts_with(start));
                        assert!(is_keep_alive, "{block:?}");
                    }
                }
                continue;
            }
            let chunk = self.response.chunk().await.expect("the stream was cut off")?;
            self.buffer += std::str::from_utf8(&chunk).unwrap();
        }
    }

    /// Reads events until the receipt has this status.
    pub(crate) async fn until(&mut self, status: &str) -> Event {
        loop {
            let event = self.next().await.unwrap_or_else(|| panic!("the stream ended before the receipt was {status}"));
            if event.receipt["status"] == status {
                return event;
            }
        }
    }
}

fn events_of(registration: &str) -> String {
    format!("/v1/registrations/{registration}/events")
}

#[tokio::test(flavor = "multi_thread")]
async fn stream_reports_each_status_and_ends_after_activation() {
    let mut stack = Stack::prepare(&[]).await;
    stack.client = stack.start_api(&[]).await.client.clone();
    let registration = stack.client.register(ADA).await.registration();
    let mut stream = Stream::open(&stack.client, &registration).await;
    let header = |name: &str| stream.response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!((header("content-type"), header("cache-control")), ("text/event-stream".into(), "no-store".into()));
    assert_eq!(stream.next().await.unwrap().receipt, stack.client.receipt(&registration).await);

    stack.start_worker(&[]).await;
    let sent = stream.until("sent").await;
    assert_eq!(
        sent.receipt,
        stack.client.receipt(&registration).await,
        "an event carries the same receipt as reading it"
    );
    let code = stack.mail_server.mail_to(ADA).await.code();
    let wrong = if code == "0000" { "0001" } else { "0000" };
    assert_eq!(stack.client.activate(ADA, wrong).await.status, 422);
    let guessed = stream.next().await.unwrap();
    assert_eq!((&guessed.receipt["status"], &guessed.receipt["attempts_left"]), (&"sent".into(), &2.into()));
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
    let last = stream.until("activated").await;
    assert!(stream.next().await.is_none(), "the stream ends after the activation");
    assert!(last.id != guessed.id && guessed.id != sent.id, "each event has its own id");

    // A browser reconnects by itself and sends the id of the last event it received.
    let reconnect = |last: String| {
        let request = stack.client.request("GET", &events_of(&registration)).header("Last-Event-ID", last);
        async move { request.send().await.unwrap() }
    };
    assert_eq!(reconnect(last.id).await.status(), 204, "204 makes the browser stop");
    let response = reconnect(sent.id).await;
    assert_eq!(response.status(), 200);
    assert_eq!(Stream { response, buffer: String::new() }.next().await.unwrap().receipt, last.receipt);
}

#[tokio::test(flavor = "multi_thread")]
async fn expiry_resend_and_closing_are_events() {
    let stack = Stack::start().await;
    let (registration, _) = stack.sign_up(ADA).await;
    let mut streams =
        [Stream::open(&stack.client, &registration).await, Stream::open(&stack.client, &registration).await];
    for stream in &mut streams {
        stream.until("sent").await;
    }
    stack.database.age(61).await;
    for stream in &mut streams {
        stream.until("expired").await;
    }
    assert_eq!(stack.client.resend(ADA).await.status, 202);
    for stream in &mut streams {
        stream.until("sent").await;
    }
    stack.database.age(2 * 86_400).await;
    for stream in &mut streams {
        stream.until("closed").await;
        assert!(stream.next().await.is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_or_deleted_registration_is_not_found() {
    let stack = Stack::start().await;
    let unknown = "018f5e9a-0000-7000-8000-000000000000";
    for (id, problem) in [(unknown, (404, "not-found")), ("nonsense", (400, "malformed-request"))] {
        let read = stack.client.get(&format!("/v1/registrations/{id}")).await;
        let watched = stack.client.get(&events_of(id)).await;
        assert_eq!(watched.problem(), (problem.0, problem.1.to_owned()));
        assert_eq!((watched.status, &watched.json()["detail"]), (read.status, &read.json()["detail"]));
    }
    let (registration, code) = stack.sign_up(ADA).await;
    let mut stream = Stream::open(&stack.client, &registration).await;
    stream.until("sent").await;
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
    assert_eq!(stack.client.delete_account(ADA).await.status, 204);
    while stream.next().await.is_some() {}
    assert_eq!(
        stack.client.get(&events_of(&registration)).await.problem(),
        (404, "not-found".into()),
        "deleted with the account"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_ends_open_streams_at_once() {
    let stack = Stack::prepare(&[]).await;
    let api = stack.start_api(&[]).await;
    let registration = api.client.register(ADA).await.registration();
    let mut streams = Vec::new();
    for _ in 0..3 {
        let mut stream = Stream::open(&api.client, &registration).await;
        stream.next().await.unwrap();
        streams.push(stream);
    }
    let stopping = tokio::spawn(api.stop());
    for mut stream in streams {
        assert!(stream.next().await.is_none(), "the stream ends properly");
    }
    stopping.await.unwrap().unwrap();
}

/// I-16: at most 32 streams a network, and a quarter of `MAX_CONNECTIONS` in all.
#[tokio::test(flavor = "multi_thread")]
async fn streams_are_limited_per_network_and_in_total() {
    let mut stack = Stack::without_broker().await;
    stack.client = stack.start_api(&[("MAX_CONNECTIONS", "140")]).await.client.clone();
    let registration = stack.client.register_with(ADA, PASSWORD).await.registration();
    let mut open = Vec::new();
    let network_client = stack.client.from_address("203.0.113.7");
    for _ in 0..32 {
        open.push(Stream::open(&network_client, &registration).await);
    }
    let rejected = network_client.get(&events_of(&registration)).await;
    assert_eq!(rejected.problem(), (429, "too-many-requests".into()));
    assert_eq!((&rejected.json()["scope"], rejected.header("retry-after")), (&json!("network"), "10"));
    for n in 0..3 {
        open.push(Stream::open(&stack.client.from_address(&format!("203.0.113.{}", 8 + n)), &registration).await);
    }
    let rejected = stack.client.get(&events_of(&registration)).await;
    assert_eq!(rejected.problem(), (503, "overloaded".into()));
    assert_eq!(
        stack.client.receipt(&registration).await["status"],
        "queued",
        "a client without a stream can still poll the receipt"
    );

    // Closed streams free their slots as soon as the server notices the disconnection.
    drop(open);
    let slot_is_free = async {
        while stack.client.request("GET", &events_of(&registration)).send().await.unwrap().status() != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(TIMEOUT, slot_is_free).await.expect("closed streams free their slots");
}
