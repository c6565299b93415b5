//! A simulated user: registers, reads the mail, enters the code, and retries until it succeeds.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::harness::{
    history::{History, Observation},
    service_process::ApiAddresses,
};
use support::fake_smtp::FakeSmtpServer;

const PASSWORD: &str = "correct horse battery";

/// Longer than the API may take to reject a request.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a user retries: longer than any outage of a test, and the wait after it.
const RETRY_TIMEOUT: Duration = Duration::from_secs(300);

const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Runs simulated users against all APIs of a test. Clones share the counter that spreads requests over the APIs.
#[derive(Clone)]
pub(crate) struct UserSimulator {
    addresses: ApiAddresses,
    mail_server: Arc<FakeSmtpServer>,
    pub(crate) history: History,
    http: reqwest::Client,
    request_count: Arc<AtomicUsize>,
}

struct Response {
    status: u16,
    retry_after: Option<Duration>,
    body: Value,
}

/// The email address of a simulated user.
pub(crate) fn email(user: usize) -> String {
    format!("n{user}@faults.example.com")
}

impl UserSimulator {
    /// Creates a simulator that sends requests to these APIs and records observations in `history`.
    pub(crate) fn new(addresses: ApiAddresses, mail_server: Arc<FakeSmtpServer>, history: History) -> Self {
        let http = reqwest::Client::builder().timeout(RESPONSE_TIMEOUT).build().unwrap();
        Self { addresses, mail_server, history, http, request_count: Arc::default() }
    }

    /// Registers, waits for the mail, and (every second user) enters the code.
    pub(crate) async fn run_user(&self, user: usize) {
        self.history.record(user, Observation::Started);
        let deadline = Instant::now() + RETRY_TIMEOUT;
        let Some(registration) = self.register(user, deadline).await else { return };
        match self.wait_for_mail(user, &registration, deadline).await {
            Ok(code) => {
                self.history.record(user, Observation::Mailed);
                if user.is_multiple_of(2) {
                    self.activate(user, &registration, &code, deadline).await;
                }
            }
            Err(observation) => self.history.record(user, observation),
        }
    }

    /// Waits for the code, or until the receipt says that the mail is undeliverable or the registration unknown.
    async fn wait_for_mail(&self, user: usize, registration: &str, deadline: Instant) -> Result<String, Observation> {
        let mut receipt_poll = tokio::time::interval(Duration::from_secs(2));
        while Instant::now() < deadline {
            if let Some(mail) = self.mail_server.mails_to(&email(user)).first() {
                return Ok(mail.code());
            }
            tokio::select! {
                () = sleep(RETRY_PAUSE) => {}
                _ = receipt_poll.tick() => {
                    let receipt = |api: &str| self.http.get(format!("{api}/v1/registrations/{registration}"));
                    match self.retry(user, deadline, receipt, |_| true).await {
                        (404, _) => return Err(Observation::GaveUp(404)),
                        (_, receipt) if receipt["status"] == "undeliverable" => return Err(Observation::Undeliverable),
                        _ => {}
                    }
                }
            }
        }
        Err(Observation::GaveUp(0))
    }

    async fn register(&self, user: usize, deadline: Instant) -> Option<String> {
        let body = json!({ "email": email(user), "password": PASSWORD });
        let key = format!("key-{user}");
        let request = |api: &str| self.http.post(format!("{api}/v1/users")).header("Idempotency-Key", &key).json(&body);
        let (status, receipt) = self.retry(user, deadline, request, |_| true).await;
        if status != 202 {
            self.history.record(user, Observation::GaveUp(status));
            return None;
        }
        let registration = receipt["registration"].as_str().unwrap().to_owned();
        self.history.record(user, Observation::Acknowledged(registration.parse().unwrap()));
        Some(registration)
    }

    async fn activate(&self, user: usize, registration: &str, code: &str, deadline: Instant) {
        // A code is valid once its delivery is on record, which is a little after the mail.
        let receipt = |api: &str| self.http.get(format!("{api}/v1/registrations/{registration}"));
        self.retry(user, deadline, receipt, |receipt| receipt["status"] != "queued").await;
        let body = json!({ "code": code });
        let email = email(user);
        let request = |api: &str| {
            self.http.post(format!("{api}/v1/users/activate")).basic_auth(&email, Some(PASSWORD)).json(&body)
        };
        // 409: an earlier attempt activated the account, and its response was lost.
        let observation = match self.retry(user, deadline, request, |_| true).await {
            (200 | 409, _) => Observation::Activated,
            (410, problem) if is_exhausted(&problem) => Observation::CodeExhausted,
            (status, _) => Observation::GaveUp(status),
        };
        self.history.record(user, observation);
    }

    /// Sends the request to one API after the other until a response is final, and waits as `Retry-After` says.
    ///
    /// Returns the status and the body, or status 0 after the deadline.
    async fn retry(
        &self,
        user: usize,
        deadline: Instant,
        request: impl Fn(&str) -> RequestBuilder + Send + Sync,
        is_final: fn(&Value) -> bool,
    ) -> (u16, Value) {
        while Instant::now() < deadline {
            let mut pause = RETRY_PAUSE;
            if let Some(api) = self.addresses.pick(self.request_count.fetch_add(1, Ordering::Relaxed))
                && let Some(response) = self.send(user, request(&api)).await
            {
                if response.status >= 400 {
                    self.history.record(user, Observation::ErrorStatus(response.status));
                }
                if response.retry_after.is_none() && is_final(&response.body) {
                    return (response.status, response.body);
                }
                pause = response.retry_after.unwrap_or(RETRY_PAUSE);
            }
            sleep(pause).await;
        }
        (0, Value::Null)
    }

    async fn send(&self, user: usize, request: RequestBuilder) -> Option<Response> {
        // Each user has a network of its own, because rate limits count by network.
        let network = std::net::Ipv4Addr::from_bits(0x0A00_0000 + u32::try_from(user).unwrap());
        let response = match request.header("X-Forwarded-For", network.to_string()).send().await {
            Ok(response) => response,
            Err(error) => {
                let refused = error.is_connect();
                let observation = if refused { Observation::ConnectionRefused } else { Observation::NoResponse };
                self.history.record(user, observation);
                return None;
            }
        };
        let retry_after = response.headers().get("retry-after");
        let retry_after = retry_after.map(|seconds| seconds.to_str().unwrap().parse().unwrap());
        Some(Response {
            status: response.status().as_u16(),
            retry_after: retry_after.map(Duration::from_secs),
            body: response.json().await.ok()?,
        })
    }
}

/// Whether the problem says that the code is exhausted, or the registration closed.
fn is_exhausted(problem: &Value) -> bool {
    problem["type"]
        .as_str()
        .is_some_and(|slug| slug.ends_with("/code-exhausted") || slug.ends_with("/registration-closed"))
}
