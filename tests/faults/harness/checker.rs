//! Compares, by id, what was acknowledged, what the database holds, and what was mailed.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use crate::harness::{
    history::{Entry, History, MailTimes, Observation},
    lost_commits::LostCommits,
    user_simulator::email,
};
use support::fake_smtp::mail::Mail;

/// Every message, with its email address and its outcome.
const MESSAGES: &str = "SELECT m.id, m.email, d.outcome FROM \
    (SELECT c.id, r.email FROM codes c JOIN registrations r ON r.id = c.registration_id \
    UNION ALL SELECT id, email FROM users) m LEFT JOIN deliveries d ON d.message_id = m.id";
const REGISTRATIONS: &str = "SELECT id, email FROM registrations";
const USERS: &str = "SELECT email FROM users";

/// Queries for rows that must not exist at the end, and the invariant that each violates.
const VIOLATIONS: [(&str, &str); 5] = [
    ("I-04: a row left in the outbox", "SELECT count(*) FROM outbox"),
    (
        "I-02: a registration without a code",
        "SELECT count(*) FROM registrations r WHERE NOT EXISTS (SELECT FROM codes WHERE registration_id = r.id)",
    ),
    (
        "I-10: a code that expires later than its lifetime after the first recorded delivery",
        "SELECT count(*) FROM codes c JOIN deliveries d ON d.message_id = c.id \
         WHERE c.expires_at > d.at + make_interval(secs => c.ttl_seconds)",
    ),
    (
        "I-12: an account without a registration that was activated with a code",
        "SELECT count(*) FROM users u WHERE NOT EXISTS (SELECT FROM registrations r JOIN codes c \
         ON c.registration_id = r.id WHERE r.email = u.email AND r.activated_at IS NOT NULL AND c.consumed_at IS NOT NULL)",
    ),
    (
        "I-13: two registrations of one address that were both activated",
        "SELECT count(*) FROM (SELECT FROM registrations WHERE activated_at IS NOT NULL GROUP BY email \
         HAVING count(*) > 1) twice",
    ),
];

/// A mail is prompt if it arrives within this time.
const PROMPT: Duration = Duration::from_secs(5);

/// The result of a test.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Users who started.
    pub(crate) attempts: usize,
    pub(crate) acknowledged: usize,
    /// Messages that are on record as delivered and were mailed.
    pub(crate) ok: usize,
    pub(crate) lost: Vec<String>,
    /// Registrations and activations that were acknowledged and that the promoted standby had not received.
    pub(crate) lost_by_failover: usize,
    pub(crate) duplicated: usize,
    pub(crate) unexpected: Vec<String>,
    /// Messages with another recorded outcome than `delivered`, by outcome.
    pub(crate) ended: BTreeMap<String, usize>,
    /// Those of them that were mailed nevertheless.
    pub(crate) mailed_and_ended: usize,
    /// Users whose code attempts were all counted by APIs that were killed during the request.
    pub(crate) exhausted_codes: usize,
}

/// How many of the users who started in a span of time had their mail promptly.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PromptMails {
    pub(crate) prompt: usize,
    pub(crate) users: usize,
}

/// A message, and the recorded outcome.
pub(crate) struct Message {
    pub(crate) email: String,
    pub(crate) outcome: Option<String>,
}

/// What a database holds.
pub(crate) struct Rows {
    pub(crate) messages: HashMap<Uuid, Message>,
    /// Email addresses by id.
    pub(crate) registrations: HashMap<Uuid, String>,
    /// Email addresses.
    pub(crate) users: HashSet<String>,
}

impl Rows {
    /// Reads all rows.
    pub(crate) async fn read(client: &Client) -> Self {
        let messages = client.query(MESSAGES, &[]).await.unwrap();
        let registrations = client.query(REGISTRATIONS, &[]).await.unwrap();
        let users = client.query(USERS, &[]).await.unwrap();
        let message = |row: &Row| (row.get(0), Message { email: row.get(1), outcome: row.get(2) });
        Self {
            messages: messages.iter().map(message).collect(),
            registrations: registrations.iter().map(|row| (row.get(0), row.get(1))).collect(),
            users: users.iter().map(|row| row.get(0)).collect(),
        }
    }
}

/// Checks every invariant that must hold when all queues are empty. What a fail-over lost is counted apart.
pub(crate) async fn check(history: &History, client: &Client, mails: &[Mail], failover: &LostCommits) -> Report {
    let mut report = Report::default();
    let rows = Rows::read(client).await;
    check_responses(&mut report, history, &rows, failover);
    check_mails(&mut report, &rows.messages, mails, failover);
    for (violation, sql) in VIOLATIONS {
        let found: i64 = client.query_one(sql, &[]).await.unwrap().get(0);
        if found != 0 {
            report.unexpected.push(format!("{found} × {violation}"));
        }
    }
    report
}

/// Every acknowledged registration is committed (I-01), exactly once (I-20), and no user gave up.
fn check_responses(report: &mut Report, history: &History, rows: &Rows, failover: &LostCommits) {
    let mut finished = 0;
    for Entry { at, user, observation } in history.entries() {
        let email = email(user);
        match observation {
            Observation::Started => report.attempts += 1,
            Observation::Finished => finished += 1,
            Observation::CodeExhausted => report.exhausted_codes += 1,
            Observation::Acknowledged(id) => {
                report.acknowledged += 1;
                match rows.registrations.get(&id) {
                    Some(owner) if *owner == email => {}
                    Some(owner) => report.unexpected.push(format!("{email} received the registration of {owner}")),
                    None if failover.lost_registration(id, at) => report.lost_by_failover += 1,
                    None => report.lost.push(format!("registration {id} of {email}")),
                }
            }
            Observation::Activated if rows.users.contains(&email) => {}
            Observation::Activated if failover.lost_account(&email, at) => report.lost_by_failover += 1,
            Observation::Activated => report.lost.push(format!("the account of {email}")),
            // A lost registration is an unknown one.
            Observation::GaveUp(401 | 404) if failover.lost_registration_of(&email) => {}
            Observation::GaveUp(status) => report.unexpected.push(format!("{email} gave up after {status}")),
            _ => {}
        }
    }
    if finished != report.attempts {
        let panicked = report.attempts - finished;
        report.unexpected.push(format!("{panicked} of {} simulated users panicked", report.attempts));
    }
    let owners: HashSet<_> = rows.registrations.values().collect();
    if owners.len() != rows.registrations.len() {
        report.unexpected.push(format!("{} registrations of {} users", rows.registrations.len(), owners.len()));
    }
}

/// Every message was mailed or has another recorded outcome (I-03), all copies of a mail are the same (I-06), and every
/// mail belongs to a message of its recipient (I-11).
fn check_mails(report: &mut Report, messages: &HashMap<Uuid, Message>, mails: &[Mail], failover: &LostCommits) {
    let mut mailed: HashMap<Uuid, Vec<&Mail>> = HashMap::new();
    for mail in mails {
        let id = mail.message_id.trim_start_matches('<').split('@').next().unwrap_or_default();
        let id = id.parse().unwrap_or_default();
        match messages.get(&id) {
            Some(message) if message.email == mail.to => mailed.entry(id).or_default().push(mail),
            None if failover.lost_message(id, &mail.to) => {}
            _ => report.unexpected.push(format!("a mail {} to {}", mail.message_id, mail.to)),
        }
    }
    for (id, message) in messages {
        let copies = mailed.get(id).map_or(&[][..], Vec::as_slice);
        report.duplicated += copies.len().saturating_sub(1);
        if copies.iter().any(|copy| copy.text != copies[0].text) {
            report.unexpected.push(format!("mails {id} with different text"));
        }
        match message.outcome.as_deref() {
            Some("delivered") if !copies.is_empty() => report.ok += 1,
            Some("delivered") => report.lost.push(format!("the mail {id} that is on record as delivered")),
            Some(other) => {
                *report.ended.entry(other.to_owned()).or_default() += 1;
                report.mailed_and_ended += usize::from(!copies.is_empty());
            }
            None => report.lost.push(format!("the message {id}: nothing is on record")),
        }
    }
}

/// How many of the users who started in this time had their mail promptly.
pub(crate) fn count_prompt_mails(history: &History, from: Instant, until: Instant) -> PromptMails {
    let mail_times = history.mail_times(from, until);
    let is_prompt = |times: &&MailTimes| times.mailed.is_some_and(|mailed| mailed - times.started <= PROMPT);
    PromptMails { prompt: mail_times.iter().filter(is_prompt).count(), users: mail_times.len() }
}

/// The same, after waiting until every mail has arrived or is late.
pub(crate) async fn wait_for_prompt_mails(history: &History, from: Instant, until: Instant) -> PromptMails {
    let all_mailed = async {
        while history.mail_times(from, until).iter().any(|times| times.mailed.is_none()) {
            sleep(Duration::from_millis(50)).await;
        }
    };
    let _ = timeout(PROMPT, all_mailed).await;
    count_prompt_mails(history, from, until)
}
