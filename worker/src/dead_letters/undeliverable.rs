//! Has a mail that was refused for good sent again, as long as that is of use to anybody.

use anyhow::{Context, Result, bail};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use shared::{
    codes::{CodeSecrets, DECOY, MUTED},
    messages::{MailKind, Message},
};
use uuid::Uuid;

use crate::{
    cli::{Answer, Verb, Which, masked, printable, table, time},
    delivery::decision::{Decision, Facts},
    store::{
        About, Store,
        undeliverable::{self, Requeued, Undeliverable},
    },
};

/// What is older than so many others is over for long.
const MOST: usize = 10_000;

pub(crate) async fn answer(store: &Store, ring: &CodeSecrets, verb: &Verb) -> Result<Answer> {
    match verb {
        Verb::List => list(newest(store).await?, ring),
        Verb::Show(id) => show(&named(store, id).await?, ring),
        Verb::Requeue(Which::All) => requeue_all(store, ring).await,
        Verb::Requeue(Which::One(id)) => requeue_one(store, ring, id).await,
        Verb::Drop(id) => drop(store, id).await,
    }
}

fn list(mut mails: Vec<Undeliverable>, ring: &CodeSecrets) -> Result<Answer> {
    let more = mails.len() > MOST;
    mails.truncate(MOST);
    let entries: Vec<_> = mails.iter().map(|mail| entry(mail, ring)).collect();
    let row = |entry| ["id", "mail", "to", "since", "why", "requeue"].map(|name| field(entry, name));
    let mut text = match entries.len() {
        0 => "No mail is undeliverable.\n".to_owned(),
        _ => table(["ID", "MAIL", "TO", "SINCE", "WHY", "REQUEUE"], entries.iter().map(row).collect()),
    };
    if more {
        text.push_str(&format!("These are the newest {MOST}; there are more.\n"));
    }
    Ok(Answer { text, json: json!({ "undeliverable": entries, "more": more }) })
}

fn show(mail: &Undeliverable, ring: &CodeSecrets) -> Result<Answer> {
    let entry = entry(mail, ring);
    let fields = ["id", "mail", "to", "since", "why", "deadline", "requeue"];
    let fields = fields.map(|name| format!("{name:8}  {}\n", printable(&field(&entry, name))));
    Ok(Answer { text: fields.concat(), json: entry })
}

async fn requeue_one(store: &Store, ring: &CodeSecrets, id: &str) -> Result<Answer> {
    let mail = named(store, id).await?;
    match requeue(store, ring, &mail).await? {
        Ok(()) => Ok(told(1, &[])),
        Err(why) => bail!("{id} was not requeued: {why}"),
    }
}

async fn requeue_all(store: &Store, ring: &CodeSecrets) -> Result<Answer> {
    let (mut requeued, mut left) = (0, Vec::new());
    for mail in newest(store).await? {
        match requeue(store, ring, &mail).await.with_context(|| format!("{requeued} were requeued before this"))? {
            Ok(()) => requeued += 1,
            Err(why) => left.push((mail.id, why)),
        }
    }
    Ok(told(requeued, &left))
}

/// Unless there is a reason against it.
async fn requeue(store: &Store, ring: &CodeSecrets, mail: &Undeliverable) -> Result<Result<(), &'static str>> {
    let kind = match again(mail, ring) {
        Ok(kind) => kind,
        Err(why) => return Ok(Err(why)),
    };
    Ok(match undeliverable::requeue(store, Message { kind, id: mail.id }).await? {
        Requeued::Now => Ok(()),
        Requeued::NotYet => Err("its last message is still in the outbox: try again in some seconds"),
        Requeued::Gone => Err("somebody else took it a moment ago"),
    })
}

async fn drop(store: &Store, id: &str) -> Result<Answer> {
    let mail = named(store, id).await?;
    if !undeliverable::drop(store, mail.id).await? {
        bail!("{id} was not dropped: somebody else took it a moment ago");
    }
    Ok(Answer { text: "1 mail was dropped.\n".to_owned(), json: json!({ "dropped": 1 }) })
}

async fn newest(store: &Store) -> Result<Vec<Undeliverable>> {
    undeliverable::newest(store, i64::try_from(MOST + 1)?).await
}

async fn named(store: &Store, id: &str) -> Result<Undeliverable> {
    let unknown = || format!("no mail with the ID '{id}' is undeliverable: `worker undeliverable list` shows those");
    let parsed: Uuid = id.parse().with_context(unknown)?;
    undeliverable::one(store, parsed).await?.with_context(unknown)
}

/// Which message to write for it, if that is of any use.
fn again(mail: &Undeliverable, ring: &CodeSecrets) -> Result<MailKind, &'static str> {
    let facts = mail.facts.as_ref().ok_or("what it was about is gone")?;
    match facts.judge() {
        Decision::Send => kind(mail, facts, ring),
        Decision::Drop(why) => Err(why),
        Decision::Recorded => Err("it was mailed"),
    }
}

/// A code's row does not say whom it is for: one that nobody can know says it by its hash.
fn kind(mail: &Undeliverable, facts: &Facts, ring: &CodeSecrets) -> Result<MailKind, &'static str> {
    let (id, for_a_decoy, for_digits) = match mail.about {
        About::Code => (mail.id, MailKind::AlreadyRegistered, MailKind::SendCode),
        About::Reset => (mail.id, MailKind::NoAccount, MailKind::ResetCode),
        About::User => return Ok(MailKind::Activated),
        About::Change => return Ok(MailKind::PasswordChanged),
    };
    let code = facts.code.as_ref().ok_or("what it was about is gone")?;
    let key = ring.get(&code.key_id).ok_or("CODE_SECRETS lack the key that its code was made with")?;
    let is = |digits: &str| key.verifies(id, digits, &code.hash);
    if is(DECOY) {
        Ok(for_a_decoy)
    } else if is(MUTED) || is(key.digits(id, code.length).expose_secret()) {
        Ok(for_digits)
    } else {
        Err("CODE_SECRETS of this worker and of the API differ")
    }
}

fn entry(mail: &Undeliverable, ring: &CodeSecrets) -> Value {
    let again = again(mail, ring);
    let kind = mail.facts.as_ref().and_then(|facts| kind(mail, facts, ring).ok());
    json!({
        "id": mail.id.to_string(),
        "mail": kind,
        "to": mail.facts.as_ref().map(|facts| masked(&facts.email)),
        "since": time(mail.at),
        "why": mail.why,
        "deadline": mail.facts.as_ref().map(|facts| time(facts.deadline)),
        "requeue": again.is_ok(),
        "why_not": again.err(),
    })
}

fn field(entry: &Value, name: &str) -> String {
    match &entry[name] {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => format!("no: {}", field(entry, "why_not")),
        _ => "unknown".to_owned(),
    }
}

fn told(requeued: usize, left: &[(Uuid, &str)]) -> Answer {
    let plural = if requeued == 1 { "mail goes" } else { "mails go" };
    let mut text = format!("{requeued} {plural} out again, through the outbox.\n");
    for (id, why) in left {
        text.push_str(&format!("{id} stays as it is: {why}\n"));
    }
    let left: Vec<_> = left.iter().map(|(id, why)| json!({ "id": id.to_string(), "why": why })).collect();
    Answer { text, json: json!({ "requeued": requeued, "left": left }) }
}
