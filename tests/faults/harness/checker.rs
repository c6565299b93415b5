//! Compares what was promised, what the database holds and what was mailed, id by id.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::Client;
use uuid::Uuid;

use crate::harness::{
    history::{History, What},
    user_simulator::email,
};
use support::fake_smtp::mail::Mail;

/// Every message there was, with the address it was for and how it ended.
const MESSAGES: &str = "SELECT m.id, m.email, d.outcome FROM \
    (SELECT c.id, r.email FROM codes c JOIN registrations r ON r.id = c.registration_id \
    UNION ALL SELECT id, email FROM users) m LEFT JOIN deliveries d ON d.message_id = m.id";
const REGISTRATIONS: &str = "SELECT id, email FROM registrations";
const USERS: &str = "SELECT email FROM users";

/// What must not be in the database, ever, and the invariant that says so.
const NEVER: [(&str, &str); 5] = [
    ("I-04: a row of the outbox when all is over", "SELECT count(*) FROM outbox"),
    (
        "I-02: a registration without a code",
        "SELECT count(*) FROM registrations r WHERE NOT EXISTS (SELECT FROM codes WHERE registration_id = r.id)",
    ),
    (
        "I-10: a code that lives longer than from its first delivery on record",
        "SELECT count(*) FROM codes c JOIN deliveries d ON d.message_id = c.id \
         WHERE c.expires_at > d.at + make_interval(secs => c.ttl_seconds)",
    ),
    (
        "I-12: an account without a registration that a code opened",
        "SELECT count(*) FROM users u WHERE NOT EXISTS (SELECT FROM registrations r JOIN codes c \
         ON c.registration_id = r.id WHERE r.email = u.email AND r.activated_at IS NOT NULL AND c.consumed_at IS NOT NULL)",
    ),
    (
        "I-13: two registrations of one address that became an account",
        "SELECT count(*) FROM (SELECT FROM registrations WHERE activated_at IS NOT NULL GROUP BY email \
         HAVING count(*) > 1) twice",
    ),
];

/// A mail that comes so late is one that its owner has waited for.
const PROMPT: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) attempts: usize,
    pub(crate) acknowledged: usize,
    pub(crate) ok: usize,
    pub(crate) lost: Vec<String>,
    pub(crate) duplicated: usize,
    pub(crate) unexpected: Vec<String>,
    /// Messages that ended without a mail, on record, by their outcome; and those of them that had one.
    pub(crate) ended: BTreeMap<String, usize>,
    pub(crate) mailed_and_ended: usize,
    /// People whose tries were all counted for APIs that died with them.
    pub(crate) spent: usize,
}

struct Message {
    email: String,
    outcome: Option<String>,
}

pub(crate) async fn check(history: &History, client: &Client, mails: &[Mail]) -> Report {
    let mut report = Report::default();
    let messages = messages(client).await;
    check_answers(&mut report, history, client).await;
    check_mails(&mut report, &messages, mails);
    for (what, sql) in NEVER {
        let found: i64 = client.query_one(sql, &[]).await.unwrap().get(0);
        if found != 0 {
            report.unexpected.push(format!("{found} × {what}"));
        }
    }
    report
}

async fn messages(client: &Client) -> HashMap<Uuid, Message> {
    let rows = client.query(MESSAGES, &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), Message { email: row.get(1), outcome: row.get(2) })).collect()
}

/// What was acknowledged is committed (I-01), once (I-20), and nothing was given up.
async fn check_answers(report: &mut Report, history: &History, client: &Client) {
    let rows = client.query(REGISTRATIONS, &[]).await.unwrap();
    let registrations: HashMap<Uuid, String> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let users: HashSet<String> = client.query(USERS, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    let mut left = 0;
    for event in history.events() {
        let email = email(event.who);
        match event.what {
            What::Began => report.attempts += 1,
            What::Left => left += 1,
            What::Spent => report.spent += 1,
            What::Acknowledged(id) => {
                report.acknowledged += 1;
                match registrations.get(&id) {
                    Some(owner) if *owner == email => {}
                    Some(owner) => report.unexpected.push(format!("{email} was told of the registration of {owner}")),
                    None => report.lost.push(format!("registration {id} of {email}")),
                }
            }
            What::Activated if !users.contains(&email) => report.lost.push(format!("the account of {email}")),
            What::Failed(status) => report.unexpected.push(format!("{email} was given up after {status}")),
            _ => {}
        }
    }
    if left != report.attempts {
        report.unexpected.push(format!("{} of {} people have fallen over", report.attempts - left, report.attempts));
    }
    let owners: HashSet<_> = registrations.values().collect();
    if owners.len() != registrations.len() {
        report.unexpected.push(format!("{} registrations of {} people", registrations.len(), owners.len()));
    }
}

/// Each message was mailed, or ended otherwise and on record (I-03); what was mailed more than once is the
/// same mail (I-06), and no mail is about something else (I-11).
fn check_mails(report: &mut Report, messages: &HashMap<Uuid, Message>, mails: &[Mail]) {
    let mut mailed: HashMap<Uuid, Vec<&Mail>> = HashMap::new();
    for mail in mails {
        let id = mail.message_id.trim_start_matches('<').split('@').next().unwrap_or_default();
        match id.parse().ok().and_then(|id| Some((id, messages.get(&id)?))) {
            Some((id, message)) if message.email == mail.to => mailed.entry(id).or_default().push(mail),
            _ => report.unexpected.push(format!("a mail {} to {}", mail.message_id, mail.to)),
        }
    }
    for (id, message) in messages {
        let copies = mailed.get(id).map_or(&[][..], Vec::as_slice);
        report.duplicated += copies.len().saturating_sub(1);
        if copies.iter().any(|copy| copy.text != copies[0].text) {
            report.unexpected.push(format!("mails {id} that are not alike"));
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

/// Of those who came in this time: how many had their mail promptly, and how many there were.
pub(crate) fn prompt(history: &History, from: Instant, until: Instant) -> (usize, usize) {
    let mails = history.mails_of(from, until);
    let prompt = mails.iter().filter(|(began, mailed)| mailed.is_some_and(|mailed| mailed - *began <= PROMPT));
    (prompt.count(), mails.len())
}

/// The same, as soon as there is nobody any more whose mail may still be prompt.
pub(crate) async fn when_known(history: &History, from: Instant, until: Instant) -> (usize, usize) {
    let all_mailed = async {
        while history.mails_of(from, until).iter().any(|(_, mailed)| mailed.is_none()) {
            sleep(Duration::from_millis(50)).await;
        }
    };
    let _ = timeout(PROMPT, all_mailed).await;
    prompt(history, from, until)
}
