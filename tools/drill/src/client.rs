//! HTTP client of the attacker: it can do everything that a client can, except read the mails.

use std::{fmt, sync::Mutex, time::Duration};

use anyhow::{Context, Result, bail};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    arguments::Arguments,
    grant_counts::GrantCounts,
    policy::Policy,
    report::Row,
    response::Response,
    rng,
    sources::{self, SHARED_SOURCE, Source, Sources},
    target::Target,
};

/// How long the client waits for a mail to be sent.
const MAIL_TIMEOUT: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// How often, and after which pause, a request is repeated while the instance is overloaded.
const OVERLOAD_RETRIES: usize = 8;
const OVERLOAD_PAUSE: Duration = Duration::from_millis(500);

/// Sends the requests of all scenarios and counts what they were granted.
pub(crate) struct AttackClient {
    target: Target,
    sources: Sources,
    grants: Mutex<GrantCounts>,
    started: Instant,
    deadline: Instant,
}

/// Credentials that the attacker invented, or those of a test account.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) email: String,
    pub(crate) password: String,
}

impl fmt::Debug for Credentials {
    /// Omits the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("email", &self.email).finish_non_exhaustive()
    }
}

impl Credentials {
    /// For a new email address, which no user has.
    pub(crate) fn throwaway() -> Self {
        Self::for_address(&format!("drill-{}@example.com", rng::unique_word()))
    }

    /// With a new password for this email address.
    pub(crate) fn for_address(email: &str) -> Self {
        Self { email: email.to_owned(), password: format!("drill {}", rng::unique_word()) }
    }

    /// The same email address with a wrong password.
    pub(crate) fn with_other_password(&self) -> Self {
        Self::for_address(&self.email)
    }
}

impl AttackClient {
    /// A client for the target; its time limit starts now.
    pub(crate) async fn new(arguments: &Arguments) -> Result<Self> {
        let sources = sources::available(&arguments.target, arguments.spoof).await?;
        let started = Instant::now();
        let deadline = started + Duration::from_secs(60 * arguments.minutes);
        Ok(Self { target: arguments.target.clone(), sources, grants: Mutex::default(), started, deadline })
    }

    /// Whether the time limit (`--minutes`) was reached.
    pub(crate) fn is_out_of_time(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// Time since the start of the drill.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// A source network that was not used yet, as long as there are any.
    pub(crate) fn next_source(&self) -> Source {
        self.sources.next_unused()
    }

    /// Whether requests can come from more than one network, real or spoofed.
    pub(crate) fn has_many_networks(&self) -> bool {
        self.sources.is_spoofing() || self.sources.count() > 1
    }

    /// Whether requests can come from more than one network that the instance cannot mistake for another.
    pub(crate) fn has_real_networks(&self) -> bool {
        self.sources.count() > 1
    }

    /// The source networks in words, for the progress output.
    pub(crate) fn describe_sources(&self) -> String {
        match self.sources.count() {
            _ if self.sources.is_spoofing() => "one network with spoofed X-Forwarded-For headers".to_owned(),
            1 => "one network".to_owned(),
            count => format!("{count} networks (127.0.0.0/8)"),
        }
    }

    /// Fetches the policy; fails if the target is not a Vestibule instance.
    pub(crate) async fn policy(&self) -> Result<Value> {
        let request = self.request(SHARED_SOURCE, Method::GET, "/v1/policy");
        let response = send(request).await.with_context(|| format!("{} cannot be reached", self.target))?;
        if response.status != 200 {
            bail!(
                "{} is not a Vestibule instance: GET /v1/policy returned status {} instead of 200",
                self.target,
                response.status
            );
        }
        Ok(response.json())
    }

    /// Registers an email address and counts the result.
    pub(crate) async fn register(&self, source: Source, credentials: &Credentials) -> Result<Response> {
        let body = json!({ "email": credentials.email, "password": credentials.password });
        let response = send(self.request(source, Method::POST, "/v1/users").json(&body)).await?;
        let network = self.sources.network(source);
        self.with_grants(|grants| grants.count_registration(network, &credentials.email, &response));
        Ok(response)
    }

    /// Requests another code and counts the result.
    pub(crate) async fn resend(&self, source: Source, credentials: &Credentials) -> Result<Response> {
        let request = self.request(source, Method::POST, "/v1/users/resend");
        let response = send(request.basic_auth(&credentials.email, Some(&credentials.password))).await?;
        let network = self.sources.network(source);
        self.with_grants(|grants| grants.count_code(network, &credentials.email, &response));
        Ok(response)
    }

    /// Guesses a code and counts the result.
    pub(crate) async fn activate(&self, source: Source, credentials: &Credentials, body: &Value) -> Result<Response> {
        let request = self.request(source, Method::POST, "/v1/users/activate");
        let response = send(request.basic_auth(&credentials.email, Some(&credentials.password)).json(body)).await?;
        let network = self.sources.network(source);
        self.with_grants(|grants| grants.count_guess(network, &response));
        Ok(response)
    }

    /// Requests a password reset and counts it like a registration: the limits of codes and networks do as well.
    pub(crate) async fn forgot(&self, source: Source, email: &str) -> Result<Response> {
        let request = self.request(source, Method::POST, "/v1/users/password/forgot");
        let response = send(request.json(&json!({ "email": email }))).await?;
        let network = self.sources.network(source);
        self.with_grants(|grants| grants.count_registration(network, email, &response));
        Ok(response)
    }

    /// Logs in.
    pub(crate) async fn log_in(&self, source: Source, credentials: &Credentials) -> Result<Response> {
        let request = self.request(source, Method::POST, "/v1/users/login");
        send(request.basic_auth(&credentials.email, Some(&credentials.password))).await
    }

    /// Changes the password with a session.
    pub(crate) async fn change_password(&self, source: Source, token: &str, old: &str, new: &str) -> Result<Response> {
        let request = self.request(source, Method::POST, "/v1/users/me/password").bearer_auth(token);
        send(request.json(&json!({ "password": old, "new_password": new }))).await
    }

    /// Fetches the receipt of a registration.
    pub(crate) async fn receipt(&self, registration: &str) -> Result<Response> {
        send(self.request(SHARED_SOURCE, Method::GET, &format!("/v1/registrations/{registration}"))).await
    }

    /// Polls the receipt until its mail is sent; `None` if the mail failed or took longer than [`MAIL_TIMEOUT`].
    pub(crate) async fn receipt_when_sent(&self, registration: &str) -> Result<Option<Response>> {
        let deadline = Instant::now() + MAIL_TIMEOUT;
        while Instant::now() < deadline {
            let receipt = self.receipt(registration).await?;
            match receipt.json()["status"].as_str() {
                Some("sent") => return Ok(Some(receipt)),
                Some("queued") => sleep(POLL_INTERVAL).await,
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Report rows for the totals of all scenarios.
    pub(crate) fn total_rows(&self, policy: &Policy) -> Vec<Row> {
        self.with_grants(|grants| grants.rows(policy, self.elapsed()))
    }

    /// How many registrations the policy still allows this network, by the client's own count. Unlimited with spoofing,
    /// where the client cannot know which network is counted.
    pub(crate) fn registrations_left(&self, policy: &Policy, source: Source) -> u64 {
        if self.sources.is_spoofing() {
            return u64::MAX;
        }
        let used = self.with_grants(|grants| grants.registrations(self.sources.network(source)));
        policy.registrations_per_network().map_or(u64::MAX, |limit| limit.saturating_sub(used))
    }

    fn request(&self, source: Source, method: Method, path: &str) -> RequestBuilder {
        self.sources.request(source, method, format!("{}{path}", self.target))
    }

    fn with_grants<T>(&self, access: impl FnOnce(&mut GrantCounts) -> T) -> T {
        access(&mut self.grants.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

/// Sends a request, and repeats it while the instance is overloaded (status 503).
pub(crate) async fn retry_overloaded<F: Future<Output = Result<Response>>>(send: impl Fn() -> F) -> Result<Response> {
    let mut response = send().await?;
    for _ in 0..OVERLOAD_RETRIES {
        if response.status != 503 {
            break;
        }
        sleep(OVERLOAD_PAUSE).await;
        response = send().await?;
    }
    Ok(response)
}

async fn send(request: RequestBuilder) -> Result<Response> {
    let started = Instant::now();
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await?;
    Ok(Response { status, headers, text, duration: started.elapsed() })
}
