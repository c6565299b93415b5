//! A registration's timeline by server-sent events: what its receipt says, as it happens, and nothing more.

use std::time::Duration;

use reqwest::Response;
use serde_json::{Value, json};

use support::{
    client::{Client, PASSWORD},
    stack::Stack,
};

const ADA: &str = "ada@example.com";
const PATIENCE: Duration = Duration::from_secs(30);

/// An open stream, read event by event.
pub(crate) struct Stream {
    pub(crate) response: Response,
    heard: String,
}

#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) receipt: Value,
}

impl Stream {
    pub(crate) async fn open(client: &Client, registration: &str) -> Self {
        let response = client.request("GET", &events_of(registration)).send().await.unwrap();
        assert_eq!(response.status(), 200);
        Self { response, heard: String::new() }
    }

    /// The next one; nothing when the stream has ended.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        // For all of it: that the server says nothing now and then is no event.
        tokio::time::timeout(PATIENCE, self.hear()).await.expect("nothing comes, nothing ends")
    }

    async fn hear(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.heard.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.heard = rest;
                let member = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                match (member("event: "), member("id: "), member("data: ")) {
                    (Some(event), Some(id), Some(data)) => {
                        assert_eq!(event, "receipt");
                        return Some(Event { id, receipt: serde_json::from_str(&data).unwrap() });
                    }
                    _ => {
                        let says_nothing = ["retry: ", "event: still\n"].iter().any(|start| block.starts_with(start));
                        assert!(says_nothing, "{block:?}");
                    }
                }
                continue;
            }
            let chunk = self.response.chunk().await.expect("it was cut off")?;
            self.heard += std::str::from_utf8(&chunk).unwrap();
        }
    }

    /// Until the receipt has this status.
    pub(crate) async fn until(&mut self, status: &str) -> Event {
        loop {
            let event = self.next().await.unwrap_or_else(|| panic!("it ended before it was {status}"));
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
async fn events_come_from_queued_to_activated_and_then_the_stream_ends() {
    let mut stack = Stack::prepare(&[]).await;
    stack.client = stack.start_api(&[]).await.client.clone();
    let registration = stack.client.register(ADA).await.registration();
    let mut stream = Stream::open(&stack.client, &registration).await;
    let header = |name: &str| stream.response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!((header("content-type"), header("cache-control")), ("text/event-stream".into(), "no-store".into()));
    assert_eq!(stream.next().await.unwrap().receipt, stack.client.receipt(&registration).await);

    stack.start_worker(&[]).await;
    let sent = stream.until("sent").await;
    assert_eq!(sent.receipt, stack.client.receipt(&registration).await, "what reading it says");
    let code = stack.mail_server.mail_to(ADA).await.code();
    let wrong = if code == "0000" { "0001" } else { "0000" };
    assert_eq!(stack.client.activate(ADA, wrong).await.status, 422);
    let tried = stream.next().await.unwrap();
    assert_eq!((&tried.receipt["status"], &tried.receipt["attempts_left"]), (&"sent".into(), &2.into()));
    assert_eq!(stack.client.activate(ADA, &code).await.status, 200);
    let last = stream.until("activated").await;
    assert!(stream.next().await.is_none(), "nothing comes after it");
    assert!(last.id != tried.id && tried.id != sent.id, "each has an id");

    // A browser comes again by itself, with the id of what it saw last.
    let again = |last: String| {
        let request = stack.client.request("GET", &events_of(&registration)).header("Last-Event-ID", last);
        async move { request.send().await.unwrap() }
    };
    assert_eq!(again(last.id).await.status(), 204, "it is told not to");
    let response = again(sent.id).await;
    assert_eq!(response.status(), 200);
    assert_eq!(Stream { response, heard: String::new() }.next().await.unwrap().receipt, last.receipt);
}

#[tokio::test(flavor = "multi_thread")]
async fn time_that_passes_is_an_event_and_so_is_another_code() {
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
async fn what_nobody_knows_is_not_found_as_for_who_reads_it() {
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
    let token = stack.client.token(ADA).await;
    assert_eq!(stack.client.bearer("DELETE", "/v1/users/me", &token).await.status, 204);
    while stream.next().await.is_some() {}
    assert_eq!(stack.client.get(&events_of(&registration)).await.problem(), (404, "not-found".into()), "erased");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_let_go_at_once_when_the_service_stops() {
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
        assert!(stream.next().await.is_none(), "it ends, and is not cut off");
    }
    stopping.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_network_has_so_many_streams_and_all_have_a_quarter_of_the_connections() {
    let mut stack = Stack::without_broker().await;
    stack.client = stack.start_api(&[("MAX_CONNECTIONS", "140")]).await.client.clone();
    let registration = stack.client.register_with(ADA, PASSWORD).await.registration();
    let mut open = Vec::new();
    let one = stack.client.at("203.0.113.7");
    for _ in 0..32 {
        open.push(Stream::open(&one, &registration).await);
    }
    let refused = one.get(&events_of(&registration)).await;
    assert_eq!(refused.problem(), (429, "too-many-requests".into()));
    assert_eq!((&refused.json()["scope"], refused.header("retry-after")), (&json!("network"), "10"));
    for n in 0..3 {
        open.push(Stream::open(&stack.client.at(&format!("203.0.113.{}", 8 + n)), &registration).await);
    }
    let refused = stack.client.get(&events_of(&registration)).await;
    assert_eq!(refused.problem(), (503, "overloaded".into()));
    assert_eq!(stack.client.receipt(&registration).await["status"], "queued", "who is refused may ask");

    // Places come back with those who go, whenever the server notices.
    drop(open);
    let again = async {
        while stack.client.request("GET", &events_of(&registration)).send().await.unwrap().status() != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, again).await.expect("no place comes back");
}
