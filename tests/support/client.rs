//! What a client of the API does, in few words.

use std::{
    collections::HashMap,
    net::Ipv4Addr,
    sync::atomic::{AtomicU32, Ordering},
};

use futures_util::future::join_all;
use reqwest::{Method, RequestBuilder, header::HeaderMap};
use serde_json::{Value, json};

pub const PASSWORD: &str = "correct horse battery";

#[derive(Clone)]
pub struct Client {
    base: String,
    http: reqwest::Client,
    network: Option<String>,
}

/// Unless a test says where it is, each request comes from a network of its own: fair shares are about
/// those that come from one.
static NETWORKS: AtomicU32 = AtomicU32::new(0);

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

impl Client {
    pub fn new(base: String) -> Self {
        Self { base, http: reqwest::Client::new(), network: None }
    }

    pub fn port(&self) -> &str {
        self.base.rsplit_once(':').unwrap().1
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    /// The same client at one address of the net.
    pub fn at(&self, address: &str) -> Self {
        Self { network: Some(address.to_owned()), ..self.clone() }
    }

    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let anywhere = || Ipv4Addr::from_bits(0x0A00_0000 + NETWORKS.fetch_add(1, Ordering::Relaxed)).to_string();
        let network = self.network.clone().unwrap_or_else(anywhere);
        self.http.request(method, format!("{}{path}", self.base)).header("X-Forwarded-For", network)
    }

    pub async fn get(&self, path: &str) -> Answer {
        send(self.request("GET", path)).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        send(self.request("POST", path).json(body)).await
    }

    pub async fn register(&self, email: &str) -> Answer {
        self.register_with(email, PASSWORD).await
    }

    pub async fn register_with(&self, email: &str, password: &str) -> Answer {
        self.post("/v1/users", &json!({ "email": email, "password": password })).await
    }

    pub async fn register_once(&self, key: &str, email: &str, password: &str) -> Answer {
        let body = json!({ "email": email, "password": password });
        send(self.request("POST", "/v1/users").header("Idempotency-Key", key).json(&body)).await
    }

    /// As a browser with this list of languages.
    pub async fn register_reading(&self, languages: &str, email: &str, password: &str) -> Answer {
        let body = json!({ "email": email, "password": password });
        send(self.request("POST", "/v1/users").header("Accept-Language", languages).json(&body)).await
    }

    pub async fn activate(&self, email: &str, code: &str) -> Answer {
        self.activate_with(email, PASSWORD, &json!({ "code": code })).await
    }

    pub async fn activate_with(&self, email: &str, password: &str, body: &Value) -> Answer {
        send(self.request("POST", "/v1/users/activate").basic_auth(email, Some(password)).json(body)).await
    }

    pub async fn resend(&self, email: &str) -> Answer {
        send(self.request("POST", "/v1/users/resend").basic_auth(email, Some(PASSWORD))).await
    }

    pub async fn login(&self, email: &str, password: &str) -> Answer {
        send(self.request("POST", "/v1/users/login").basic_auth(email, Some(password))).await
    }

    /// Logs in with the usual password, and returns the token.
    pub async fn token(&self, email: &str) -> String {
        let answer = self.login(email, PASSWORD).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["token"].as_str().unwrap().to_owned()
    }

    pub async fn bearer(&self, method: &str, path: &str, token: &str) -> Answer {
        send(self.request(method, path).bearer_auth(token)).await
    }

    pub async fn receipt(&self, registration: &str) -> Value {
        let answer = self.get(&format!("/v1/registrations/{registration}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// Asks for the receipt again and again until it has this status.
    pub async fn receipt_when(&self, registration: &str, status: &str) -> Value {
        let wait = async {
            loop {
                let receipt = self.receipt(registration).await;
                if receipt["status"] == status {
                    return receipt;
                }
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        let patience = std::time::Duration::from_secs(20);
        match tokio::time::timeout(patience, wait).await {
            Ok(receipt) => receipt,
            Err(_) => panic!("never {status}: {}", self.receipt(registration).await),
        }
    }
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The id of the registration in a receipt.
    pub fn registration(&self) -> String {
        self.json()["registration"].as_str().unwrap_or_else(|| panic!("no receipt: {self:?}")).to_owned()
    }

    /// Status and slug, after checking that it is a whole problem.
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

pub async fn send(request: RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    assert!(headers.contains_key("x-request-id"), "every answer has its id");
    Answer { status, headers, text: response.text().await.unwrap() }
}

/// How often each status was answered.
pub fn count(answers: &[Answer]) -> HashMap<u16, usize> {
    let mut counts = HashMap::new();
    for answer in answers {
        *counts.entry(answer.status).or_default() += 1;
    }
    counts
}

/// So many requests at the same time; each is told its number.
pub async fn at_once<F>(requests: usize, request: impl Fn(usize) -> F) -> Vec<Answer>
where
    F: Future<Output = Answer> + Send + 'static,
{
    let sent: Vec<_> = (0..requests).map(|n| tokio::spawn(request(n))).collect();
    join_all(sent).await.into_iter().map(Result::unwrap).collect()
}

/// The same; whoever is told 503, as happens where the machine stands still for two seconds, asks again.
pub async fn at_once_or_again<F>(requests: usize, request: impl Fn(usize) -> F) -> Vec<Answer>
where
    F: Future<Output = Answer> + Send + 'static,
{
    let mut answers = at_once(requests, &request).await;
    for (n, answer) in answers.iter_mut().enumerate().filter(|(_, answer)| answer.status == 503) {
        *answer = request(n).await;
    }
    answers
}
