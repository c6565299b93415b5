//! `worker undeliverable`: lists, shows, requeues and drops mails that a mail server rejected permanently.
//!
//! A mail is requeued only while it is of use: the same decision as before its first delivery.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use shared::messages::{MailKind, Message};
use uuid::Uuid;

use crate::{
    dead_letters::{
        Action, Selection,
        output::{CommandOutput, escape_unprintable, format_table, format_time, mask_email},
    },
    domain::decision::Decision,
    store::{
        Store,
        undeliverable::{self, RequeueResult, UndeliverableMail},
    },
};

/// The most mails that a command lists or requeues, the newest first; what is older expired long ago.
const MAX_MAILS: usize = 10_000;

const SOURCE_DELETED: &str = "the row that it refers to was deleted";
const CHANGED_CONCURRENTLY: &str = "another command requeued or dropped it a moment ago";

/// Runs a `worker undeliverable` command.
pub(crate) async fn run(store: &Store, action: &Action) -> Result<CommandOutput> {
    match action {
        Action::List => list(newest(store).await?),
        Action::Show(id) => show(&find(store, id).await?),
        Action::Requeue(Selection::All) => requeue_all(store).await,
        Action::Requeue(Selection::Id(id)) => requeue_one(store, id).await,
        Action::Drop(id) => drop(store, id).await,
    }
}

fn list(mut mails: Vec<UndeliverableMail>) -> Result<CommandOutput> {
    let more = mails.len() > MAX_MAILS;
    mails.truncate(MAX_MAILS);
    let entries: Vec<_> = mails.iter().map(entry).collect();
    let row = |entry| ["id", "mail", "to", "since", "why", "requeue"].map(|name| field(entry, name));
    let mut text = match entries.len() {
        0 => "No mail is undeliverable.\n".to_owned(),
        _ => format_table(["ID", "MAIL", "TO", "SINCE", "WHY", "REQUEUE"], entries.iter().map(row).collect()),
    };
    if more {
        text.push_str(&format!("Only the newest {MAX_MAILS} mails are listed.\n"));
    }
    Ok(CommandOutput { text, json: json!({ "undeliverable": entries, "more": more }) })
}

fn show(mail: &UndeliverableMail) -> Result<CommandOutput> {
    let entry = entry(mail);
    let names = ["id", "mail", "to", "since", "why", "deadline", "requeue"];
    let lines = names.map(|name| format!("{name:8}  {}\n", escape_unprintable(&field(&entry, name))));
    Ok(CommandOutput { text: lines.concat(), json: entry })
}

async fn requeue_one(store: &Store, id: &str) -> Result<CommandOutput> {
    let mail = find(store, id).await?;
    match requeue(store, &mail).await? {
        Ok(()) => Ok(requeue_output(1, &[])),
        Err(reason) => bail!("{id} was not requeued: {reason}"),
    }
}

async fn requeue_all(store: &Store) -> Result<CommandOutput> {
    let mut requeued = 0;
    let mut left = Vec::new();
    for mail in newest(store).await? {
        let result = requeue(store, &mail).await;
        match result.with_context(|| format!("{requeued} were requeued before this error"))? {
            Ok(()) => requeued += 1,
            Err(reason) => left.push((mail.id, reason)),
        }
    }
    Ok(requeue_output(requeued, &left))
}

/// Requeues a mail; the inner `Err` is the reason why it was not requeued.
async fn requeue(store: &Store, mail: &UndeliverableMail) -> Result<Result<(), &'static str>> {
    let kind = match kind_to_requeue(mail) {
        Ok(kind) => kind,
        Err(reason) => return Ok(Err(reason)),
    };
    Ok(match undeliverable::requeue(store, Message { kind, id: mail.id }).await? {
        RequeueResult::Requeued => Ok(()),
        RequeueResult::StillInOutbox => Err("its previous message is still in the outbox: try again in a few seconds"),
        RequeueResult::NotFound => Err(CHANGED_CONCURRENTLY),
    })
}

async fn drop(store: &Store, id: &str) -> Result<CommandOutput> {
    let mail = find(store, id).await?;
    if !undeliverable::drop(store, mail.id).await? {
        bail!("{id} was not dropped: {CHANGED_CONCURRENTLY}");
    }
    Ok(CommandOutput { text: "1 mail was dropped.\n".to_owned(), json: json!({ "dropped": 1 }) })
}

/// Returns one mail more than `MAX_MAILS` if there are more.
async fn newest(store: &Store) -> Result<Vec<UndeliverableMail>> {
    undeliverable::list_newest(store, i64::try_from(MAX_MAILS + 1)?).await
}

async fn find(store: &Store, id: &str) -> Result<UndeliverableMail> {
    let unknown = || format!("no undeliverable mail has the ID '{id}': `worker undeliverable list` shows them");
    let parsed: Uuid = id.parse().with_context(unknown)?;
    undeliverable::find(store, parsed).await?.with_context(unknown)
}

/// Returns the kind of the message to publish for the mail, or the reason why requeueing it would be of no use.
fn kind_to_requeue(mail: &UndeliverableMail) -> Result<MailKind, &'static str> {
    let facts = mail.facts.as_ref().ok_or(SOURCE_DELETED)?;
    match facts.decide() {
        Decision::Send => Ok(mail.kind),
        Decision::Drop(reason) => Err(reason),
        Decision::AlreadyRecorded => Err("it was delivered"),
    }
}

fn entry(mail: &UndeliverableMail) -> Value {
    let requeue = kind_to_requeue(mail);
    json!({
        "id": mail.id.to_string(),
        "mail": mail.facts.as_ref().map(|_| mail.kind),
        "to": mail.facts.as_ref().map(|facts| mask_email(&facts.email)),
        "since": format_time(mail.recorded_at),
        "why": mail.reason,
        "deadline": mail.facts.as_ref().map(|facts| format_time(facts.deadline)),
        "requeue": requeue.is_ok(),
        "why_not": requeue.err(),
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

fn requeue_output(requeued: usize, left: &[(Uuid, &str)]) -> CommandOutput {
    let subject = if requeued == 1 { "mail goes" } else { "mails go" };
    let mut text = format!("{requeued} {subject} out again, through the outbox.\n");
    for (id, reason) in left {
        text.push_str(&format!("{id} was not requeued: {reason}\n"));
    }
    let left: Vec<_> = left.iter().map(|(id, reason)| json!({ "id": id.to_string(), "why": reason })).collect();
    CommandOutput { text, json: json!({ "requeued": requeued, "left": left }) }
}
