//! An HTTP client of the API, with a method for each endpoint.

use std::{
    collections::HashMap,
    net::Ipv4Addr,
    sync::atomic::{AtomicU32, Ordering},
};

use futures_util::future::join_all;
use reqwest::{Method, RequestBuilder, header::HeaderMap};
use serde_json::{Value, json};

/// The password of most users in tests.
pub const PASSWORD: &str = "correct horse battery";

/// A client of one API. Each request has a client address of its own, unless [`Client::from_address`] fixes it.
#[derive(Clone)]
pub struct Client {
    base: String,
    http: reqwest::Client,
    network: Option<String>,
}

/// The next client address: requests without a fixed one come from different networks, so that the rate limits by
/// network do not affect tests of other things.
static NEXT_NETWORK: AtomicU32 = AtomicU32::new(0);

/// An HTTP response, completely read.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Client {
    /// A client of the API at this base URL.
    pub fn new(base: String) -> Self {
        Self { base, http: reqwest::Client::new(), network: None }
    }

    /// The port of the base URL.
    pub fn port(&self) -> &str {
        self.base.rsplit_once(':').unwrap().1
    }

    /// The base URL, without a trailing slash.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The same client with a fixed address (sent as `X-Forwarded-For`).
    pub fn from_address(&self, address: &str) -> Self {
        Self { network: Some(address.to_owned()), ..self.clone() }
    }

    /// Starts a request; send it with [`send`].
    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let next_address =
            || Ipv4Addr::from_bits(0x0A00_0000 + NEXT_NETWORK.fetch_add(1, Ordering::Relaxed)).to_string();
        let network = self.network.clone().unwrap_or_else(next_address);
        self.http.request(method, format!("{}{path}", self.base)).header("X-Forwarded-For", network)
    }

    /// `GET` a path.
    pub async fn get(&self, path: &str) -> Answer {
        send(self.request("GET", path)).await
    }

    /// `POST` a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        send(self.request("POST", path).json(body)).await
    }

    /// Registers with [`PASSWORD`].
    pub async fn register(&self, email: &str) -> Answer {
        self.register_with(email, PASSWORD).await
    }

    /// Registers with this password.
    pub async fn register_with(&self, email: &str, password: &str) -> Answer {
        self.post("/v1/users", &json!({ "email": email, "password": password })).await
    }

    /// Registers with an `Idempotency-Key`.
    pub async fn register_with_key(&self, key: &str, email: &str, password: &str) -> Answer {
        let body = json!({ "email": email, "password": password });
        send(self.request("POST", "/v1/users").header("Idempotency-Key", key).json(&body)).await
    }

    /// Registers with this `Accept-Language`.
    pub async fn register_with_languages(&self, languages: &str, email: &str, password: &str) -> Answer {
        let body = json!({ "email": email, "password": password });
        send(self.request("POST", "/v1/users").header("Accept-Language", languages).json(&body)).await
    }

    /// Activates with [`PASSWORD`] and a code.
    pub async fn activate(&self, email: &str, code: &str) -> Answer {
        self.activate_with(email, PASSWORD, &json!({ "code": code })).await
    }

    /// Activates with this password and body.
    pub async fn activate_with(&self, email: &str, password: &str, body: &Value) -> Answer {
        send(self.request("POST", "/v1/users/activate").basic_auth(email, Some(password)).json(body)).await
    }

    /// Requests another code with [`PASSWORD`].
    pub async fn resend(&self, email: &str) -> Answer {
        send(self.request("POST", "/v1/users/resend").basic_auth(email, Some(PASSWORD))).await
    }

    /// Logs in.
    pub async fn login(&self, email: &str, password: &str) -> Answer {
        send(self.request("POST", "/v1/users/login").basic_auth(email, Some(password))).await
    }

    /// Logs in with [`PASSWORD`], which must succeed, and returns the session token.
    pub async fn token(&self, email: &str) -> String {
        let answer = self.login(email, PASSWORD).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["token"].as_str().unwrap().to_owned()
    }

    /// Deletes the account with [`PASSWORD`].
    pub async fn delete_account(&self, email: &str) -> Answer {
        send(self.request("DELETE", "/v1/users/me").basic_auth(email, Some(PASSWORD))).await
    }

    /// Sends a request with a session token.
    pub async fn bearer(&self, method: &str, path: &str, token: &str) -> Answer {
        send(self.request(method, path).bearer_auth(token)).await
    }

    /// Reads the receipt of a registration, which must exist.
    pub async fn receipt(&self, registration: &str) -> Value {
        let answer = self.get(&format!("/v1/registrations/{registration}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// Polls the receipt of a registration until it has this status.
    pub async fn wait_for_receipt(&self, registration: &str, status: &str) -> Value {
        let wait = async {
            loop {
                let receipt = self.receipt(registration).await;
                if receipt["status"] == status {
                    return receipt;
                }
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        let timeout = std::time::Duration::from_secs(20);
        match tokio::time::timeout(timeout, wait).await {
            Ok(receipt) => receipt,
            Err(_) => panic!("the receipt did not become {status}: {}", self.receipt(registration).await),
        }
    }
}

impl Answer {
    /// The body, which must be JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    /// A header, or an empty string.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The registration id in a receipt.
    pub fn registration(&self) -> String {
        self.json()["registration"].as_str().unwrap_or_else(|| panic!("no receipt: {self:?}")).to_owned()
    }

    /// Status and slug of a problem, after checking that it has all members.
    pub fn problem(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let body = self.json();
        assert_eq!(body["status"], self.status, "{self:?}");
        assert_eq!(body["request_id"], self.header("x-request-id"), "{self:?}");
        assert!(body["title"].is_string() && body["detail"].is_string(), "{self:?}");
        let slug = body["type"].as_str().unwrap().strip_prefix("http://localhost:8000/problems/").unwrap();
        (self.status, slug.to_owned())
    }
}

/// Sends a request and reads the response, which must have an `X-Request-Id`.
pub async fn send(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    assert!(headers.contains_key("x-request-id"), "every response has an X-Request-Id");
    Answer { status, headers, text: response.text().await.unwrap() }
}

/// The number of answers with each status.
pub fn count(answers: &[Answer]) -> HashMap<u16, usize> {
    let mut counts = HashMap::new();
    for answer in answers {
        *counts.entry(answer.status).or_default() += 1;
    }
    counts
}

/// Sends this number of concurrent requests. `request` gets the index of each.
pub async fn concurrently<F>(requests: usize, request: impl Fn(usize) -> F) -> Vec<Answer>
where
    F: Future<Output = Answer> + Send + 'static,
{
    let tasks: Vec<_> = (0..requests).map(|n| tokio::spawn(request(n))).collect();
    join_all(tasks).await.into_iter().map(Result::unwrap).collect()
}

/// Like [`concurrently`], but repeats requests that got 503, which happens on a machine that stalls for two seconds.
pub async fn concurrently_with_retry<F>(requests: usize, request: impl Fn(usize) -> F) -> Vec<Answer>
where
    F: Future<Output = Answer> + Send + 'static,
{
    let mut answers = concurrently(requests, &request).await;
    for (n, answer) in answers.iter_mut().enumerate().filter(|(_, answer)| answer.status == 503) {
        *answer = request(n).await;
    }
    answers
}
