//! What the attacker can do: everything a client can, but read the mail.

use std::{sync::Mutex, time::Duration};

use anyhow::{Context, Result, bail};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    answer::Answer,
    arguments::Arguments,
    chance,
    ledger::Ledger,
    promise::Promise,
    report::Row,
    sources::{self, READER, Source, Sources},
    target::Target,
};

/// How long a mail may take before the attacker does without.
const MAIL_PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);

/// How often an overloaded instance is asked again, and after how long.
const RETRIES: usize = 8;
const RETRY_PAUSE: Duration = Duration::from_millis(500);

pub(crate) struct Attacker {
    target: Target,
    sources: Sources,
    ledger: Mutex<Ledger>,
    started: Instant,
    end: Instant,
}

/// Credentials that the attacker made up.
#[derive(Clone)]
pub(crate) struct Account {
    pub(crate) email: String,
    pub(crate) password: String,
}

impl Account {
    /// At an address that nobody has.
    pub(crate) fn throw_away() -> Self {
        Self::at(&format!("drill-{}@example.com", chance::word()))
    }

    pub(crate) fn at(email: &str) -> Self {
        Self { email: email.to_owned(), password: format!("drill {}", chance::word()) }
    }

    pub(crate) fn with_other_password(&self) -> Self {
        Self::at(&self.email)
    }
}

impl Attacker {
    pub(crate) async fn new(arguments: &Arguments) -> Result<Self> {
        let sources = sources::of(&arguments.target, arguments.spoof).await?;
        let started = Instant::now();
        let end = started + Duration::from_secs(60 * arguments.minutes);
        Ok(Self { target: arguments.target.clone(), sources, ledger: Mutex::default(), started, end })
    }

    pub(crate) fn is_over(&self) -> bool {
        Instant::now() >= self.end
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub(crate) fn fresh_source(&self) -> Source {
        self.sources.fresh()
    }

    /// Whether there is more than one network to come from, be it forged.
    pub(crate) fn has_many_sources(&self) -> bool {
        self.sources.is_forging() || self.sources.count() > 1
    }

    pub(crate) fn sources(&self) -> String {
        match self.sources.count() {
            _ if self.sources.is_forging() => "one network that claims to be many".to_owned(),
            1 => "one network".to_owned(),
            many => format!("{many} networks (127.0.0.0/8)"),
        }
    }

    pub(crate) async fn policy(&self) -> Result<Value> {
        let request = self.request(READER, Method::GET, "/v1/policy");
        let answer = send(request).await.with_context(|| format!("{} cannot be reached", self.target))?;
        if answer.status != 200 {
            bail!("{} is no Vestibule: GET /v1/policy is answered with {}", self.target, answer.status);
        }
        Ok(answer.json())
    }

    pub(crate) async fn register(&self, source: Source, who: &Account) -> Result<Answer> {
        let body = json!({ "email": who.email, "password": who.password });
        let answer = send(self.request(source, Method::POST, "/v1/users").json(&body)).await?;
        let network = self.sources.network(source);
        self.note(|ledger| ledger.registered(network, &who.email, &answer));
        Ok(answer)
    }

    pub(crate) async fn resend(&self, source: Source, who: &Account) -> Result<Answer> {
        let request = self.request(source, Method::POST, "/v1/users/resend");
        let answer = send(request.basic_auth(&who.email, Some(&who.password))).await?;
        let network = self.sources.network(source);
        self.note(|ledger| ledger.resent(network, &who.email, &answer));
        Ok(answer)
    }

    pub(crate) async fn activate(&self, source: Source, who: &Account, body: &Value) -> Result<Answer> {
        let request = self.request(source, Method::POST, "/v1/users/activate");
        let answer = send(request.basic_auth(&who.email, Some(&who.password)).json(body)).await?;
        let network = self.sources.network(source);
        self.note(|ledger| ledger.guessed(network, &answer));
        Ok(answer)
    }

    pub(crate) async fn receipt(&self, registration: &str) -> Result<Answer> {
        send(self.request(READER, Method::GET, &format!("/v1/registrations/{registration}"))).await
    }

    /// The receipt once a mail server has the code; `None` when that takes too long.
    pub(crate) async fn receipt_when_sent(&self, registration: &str) -> Result<Option<Answer>> {
        let patience = Instant::now() + MAIL_PATIENCE;
        while Instant::now() < patience {
            let receipt = self.receipt(registration).await?;
            match receipt.json()["status"].as_str() {
                Some("sent") => return Ok(Some(receipt)),
                Some("queued") => sleep(PAUSE).await,
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    pub(crate) fn ledger_rows(&self, promise: &Promise) -> Vec<Row> {
        self.note(|ledger| ledger.rows(promise, self.elapsed()))
    }

    /// How often this network may still register, as far as the attacker knows; who forges just tries.
    pub(crate) fn registrations_left(&self, promise: &Promise, source: Source) -> u64 {
        if self.sources.is_forging() {
            return u64::MAX;
        }
        let used = self.note(|ledger| ledger.registrations(self.sources.network(source)));
        promise.registrations_per_network().map_or(u64::MAX, |limit| limit.saturating_sub(used))
    }

    fn request(&self, source: Source, method: Method, path: &str) -> RequestBuilder {
        self.sources.request(source, method, format!("{}{path}", self.target))
    }

    fn note<T>(&self, note: impl FnOnce(&mut Ledger) -> T) -> T {
        note(&mut self.ledger.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

/// An instance that is too busy is asked again.
pub(crate) async fn patiently<F: Future<Output = Result<Answer>>>(call: impl Fn() -> F) -> Result<Answer> {
    let mut answer = call().await?;
    for _ in 0..RETRIES {
        if answer.status != 503 {
            break;
        }
        sleep(RETRY_PAUSE).await;
        answer = call().await?;
    }
    Ok(answer)
}

async fn send(request: RequestBuilder) -> Result<Answer> {
    let begun = Instant::now();
    let response = request.send().await?;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await?;
    Ok(Answer { status, headers, text, took: begun.elapsed() })
}
