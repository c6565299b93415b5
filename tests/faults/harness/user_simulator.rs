//! What each of the people does: signs up, reads the mail, types the code, and does not give up.

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
    history::{History, What},
    service_process::ApiAddresses,
};
use support::fake_smtp::FakeSmtpServer;

const PASSWORD: &str = "correct horse battery";

/// Above what the API may take to say that it cannot.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a person tries. Longer than any outage of a environment, and the wait after it.
const PATIENCE: Duration = Duration::from_secs(300);

/// Who comes back with the code after so long may be told that it is over.
const NEARLY_A_MINUTE: Duration = Duration::from_secs(55);

const PAUSE: Duration = Duration::from_millis(100);

#[derive(Clone)]
pub(crate) struct UserLoad {
    addresses: ApiAddresses,
    mail_server: Arc<FakeSmtpServer>,
    pub(crate) history: History,
    http: reqwest::Client,
    turn: Arc<AtomicUsize>,
}

pub(crate) fn email(who: usize) -> String {
    format!("n{who}@faults.example.com")
}

impl UserLoad {
    pub(crate) fn new(addresses: ApiAddresses, mail_server: Arc<FakeSmtpServer>, history: History) -> Self {
        let http = reqwest::Client::builder().timeout(ANSWER_TIMEOUT).build().unwrap();
        Self { addresses, mail_server, history, http, turn: Arc::default() }
    }

    /// Signs up, reads the mail, and (every second one) types the code.
    pub(crate) async fn person(&self, who: usize) {
        self.history.note(who, What::Began);
        let until = Instant::now() + PATIENCE;
        let Some(registration) = self.register(who, until).await else { return };
        match self.mail(who, &registration, until).await {
            Ok(code) => {
                self.history.note(who, What::Mailed);
                if who.is_multiple_of(2) {
                    self.activate(who, &registration, &code, until).await;
                }
            }
            Err(why) => self.history.note(who, why),
        }
    }

    /// Waits for the code, or to be told that there will be none.
    async fn mail(&self, who: usize, registration: &str, until: Instant) -> Result<String, What> {
        let mut look_at_receipt = tokio::time::interval(Duration::from_secs(2));
        while Instant::now() < until {
            if let Some(mail) = self.mail_server.mails_to(&email(who)).first() {
                return Ok(mail.code());
            }
            tokio::select! {
                () = sleep(PAUSE) => {}
                _ = look_at_receipt.tick() => {
                    let receipt = |door: &str| self.http.get(format!("{door}/v1/registrations/{registration}"));
                    if self.insist(who, until, receipt, |_| true).await.1["status"] == "undeliverable" {
                        return Err(What::Undeliverable);
                    }
                }
            }
        }
        Err(What::Failed(0))
    }

    async fn register(&self, who: usize, until: Instant) -> Option<String> {
        let body = json!({ "email": email(who), "password": PASSWORD });
        let key = format!("key-{who}");
        let wish = |door: &str| self.http.post(format!("{door}/v1/users")).header("Idempotency-Key", &key).json(&body);
        let (status, receipt) = self.insist(who, until, wish, |_| true).await;
        if status != 202 {
            self.history.note(who, What::Failed(status));
            return None;
        }
        let registration = receipt["registration"].as_str().unwrap().to_owned();
        self.history.note(who, What::Acknowledged(registration.parse().unwrap()));
        Some(registration)
    }

    async fn activate(&self, who: usize, registration: &str, code: &str, until: Instant) {
        let mailed = Instant::now();
        // A code is good from the moment its delivery is on record, which is a little after the mail.
        let receipt = |door: &str| self.http.get(format!("{door}/v1/registrations/{registration}"));
        self.insist(who, until, receipt, |receipt| receipt["status"] != "queued").await;
        let (body, email) = (json!({ "code": code }), email(who));
        let guess = |door: &str| {
            self.http.post(format!("{door}/v1/users/activate")).basic_auth(&email, Some(PASSWORD)).json(&body)
        };
        // Who was let in without hearing of it is told that there is an account already.
        match self.insist(who, until, guess, |_| true).await {
            (200 | 409, _) => self.history.note(who, What::Activated),
            (410, problem) if is_spent(&problem) => self.history.note(who, What::Spent),
            (410, _) if mailed.elapsed() >= NEARLY_A_MINUTE => self.history.note(who, What::TooLate),
            (status, _) => self.history.note(who, What::Failed(status)),
        }
    }

    /// Goes from door to door until one has an answer that no other will change, and waits as long as it is told.
    async fn insist(
        &self,
        who: usize,
        until: Instant,
        wish: impl Fn(&str) -> RequestBuilder + Send + Sync,
        is_final: fn(&Value) -> bool,
    ) -> (u16, Value) {
        while Instant::now() < until {
            let mut pause = PAUSE;
            if let Some(door) = self.addresses.pick(self.turn.fetch_add(1, Ordering::Relaxed))
                && let Some((status, retry_after, body)) = self.ask(who, wish(&door)).await
            {
                if status >= 400 {
                    self.history.note(who, What::Answered(status));
                }
                if retry_after.is_none() && is_final(&body) {
                    return (status, body);
                }
                pause = retry_after.unwrap_or(PAUSE);
            }
            sleep(pause).await;
        }
        (0, Value::Null)
    }

    async fn ask(&self, who: usize, request: RequestBuilder) -> Option<(u16, Option<Duration>, Value)> {
        // Each comes from a network of its own: fair shares are about those that come from one.
        let network = std::net::Ipv4Addr::from_bits(0x0A00_0000 + u32::try_from(who).unwrap());
        let asking = async {
            let answer = request.header("X-Forwarded-For", network.to_string()).send().await;
            if let Err(error) = &answer {
                self.history.note(who, if error.is_connect() { What::Closed } else { What::Unanswered });
            }
            let answer = answer.ok()?;
            let retry_after = answer.headers().get("retry-after").map(|after| after.to_str().unwrap().parse().unwrap());
            Some((answer.status().as_u16(), retry_after.map(Duration::from_secs), answer.json().await.ok()?))
        };
        asking.await
    }
}

fn is_spent(problem: &Value) -> bool {
    problem["type"]
        .as_str()
        .is_some_and(|kind| kind.ends_with("/code-exhausted") || kind.ends_with("/registration-closed"))
}
