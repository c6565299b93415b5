//! `worker parked`: lists, shows, requeues and drops parked messages (dead letters).
//!
//! AMQP cannot read a message without taking it out of its queue. So each message is fetched and not acked; when the
//! connection closes, however the command ends, the broker puts all of them back in their places.

mod message;
mod queue;

use std::collections::{HashMap, HashSet};

use anyhow::{Context, Result, bail};
use lapin::message::Delivery;
use secrecy::SecretString;
use serde_json::{Value, json};
use shared::amqp::topology::Topology;

use self::{
    message::{ParkedMessage, Summary},
    queue::{MAX_MESSAGES, ParkedQueue},
};
use crate::dead_letters::{
    Action, Selection,
    output::{CommandOutput, format_table},
};

/// Runs a `worker parked` command.
pub(crate) async fn run(url: &SecretString, topology: &Topology, action: &Action) -> Result<CommandOutput> {
    let mut queue = ParkedQueue::open(url, topology).await?;
    let output = match action {
        Action::List => list(&mut queue).await,
        Action::Show(id) => show(&mut queue, id).await,
        Action::Requeue(selection) => requeue(&mut queue, selection).await,
        Action::Drop(id) => drop(&mut queue, id).await,
    };
    queue.close().await;
    output
}

async fn list(queue: &mut ParkedQueue<'_>) -> Result<CommandOutput> {
    let mut summaries = Vec::new();
    while let Some((message, _)) = queue.next().await? {
        summaries.push(message.summary);
    }
    disambiguate_ids(&mut summaries);
    let entries: Vec<_> = summaries.iter().map(Summary::to_json).collect();
    let row = |summary: &Summary| {
        [&summary.id, &summary.reason, summary.parked_at(), &summary.bytes.to_string()].map(str::to_owned)
    };
    let total = queue.total();
    let mut text = match summaries.len() {
        0 => "No message is parked.\n".to_owned(),
        _ => format_table(["ID", "WHY", "SINCE", "BYTES"], summaries.iter().map(row).collect()),
    };
    if total > MAX_MESSAGES {
        text.push_str(&format!("Only the first {MAX_MESSAGES} of {total} messages are listed.\n"));
    }
    Ok(CommandOutput { text, json: json!({ "parked": entries, "total": total }) })
}

/// Gives each message of an ambiguous ID, one that messages with different bodies share, the ID derived from its body.
fn disambiguate_ids(summaries: &mut [Summary]) {
    let mut first_bodies = HashMap::new();
    let differs_from_first = |summary: &&Summary| {
        let first = first_bodies.entry(summary.id.clone()).or_insert(summary.id_by_body.clone());
        *first != summary.id_by_body
    };
    let ambiguous: HashSet<_> = summaries.iter().filter(differs_from_first).map(|summary| summary.id.clone()).collect();
    for summary in summaries.iter_mut().filter(|summary| ambiguous.contains(&summary.id)) {
        summary.id.clone_from(&summary.id_by_body);
    }
}

async fn show(queue: &mut ParkedQueue<'_>, id: &str) -> Result<CommandOutput> {
    let found = find(queue, id).await?;
    let mut texts: Vec<_> = found.iter().map(|(message, _)| message.to_string()).collect();
    if found.len() > 1 {
        texts.push(format!("{} messages have this ID.\n", found.len()));
    }
    let entries: Vec<_> = found.iter().map(|(message, _)| message.to_json()).collect();
    Ok(CommandOutput { text: texts.join("\n"), json: json!({ "parked": entries }) })
}

async fn requeue(queue: &mut ParkedQueue<'_>, selection: &Selection) -> Result<CommandOutput> {
    let mut requeued = 0;
    let result = match selection {
        Selection::Id(id) => {
            let found = find(queue, id).await?;
            requeue_found(queue, found, &mut requeued).await
        }
        Selection::All => requeue_all(queue, &mut requeued).await,
    };
    result.with_context(|| format!("{requeued} were requeued, the others are still parked"))?;
    Ok(count_output(queue, "requeued", requeued))
}

async fn requeue_found(
    queue: &ParkedQueue<'_>,
    found: Vec<(ParkedMessage, Delivery)>,
    requeued: &mut usize,
) -> Result<()> {
    for (_, delivery) in found {
        queue.requeue(&delivery).await?;
        *requeued += 1;
    }
    Ok(())
}

/// Requeues each message before the next one is fetched: all messages together may not fit into memory.
async fn requeue_all(queue: &mut ParkedQueue<'_>, requeued: &mut usize) -> Result<()> {
    while let Some((_, delivery)) = queue.next().await? {
        queue.requeue(&delivery).await?;
        *requeued += 1;
    }
    Ok(())
}

async fn drop(queue: &mut ParkedQueue<'_>, id: &str) -> Result<CommandOutput> {
    let found = find(queue, id).await?;
    for (_, delivery) in &found {
        queue.ack(delivery).await?;
    }
    Ok(count_output(queue, "dropped", found.len()))
}

/// Finds the message with this ID and its copies; fails if messages with different bodies share the ID.
async fn find(queue: &mut ParkedQueue<'_>, id: &str) -> Result<Vec<(ParkedMessage, Delivery)>> {
    let mut found = Vec::new();
    while let Some((mut message, delivery)) = queue.next().await? {
        if [message.summary.id.as_str(), &message.summary.id_by_body].contains(&id) {
            message.summary.id = id.to_owned();
            found.push((message, delivery));
        }
    }
    let Some((_, first)) = found.first() else {
        bail!("no message with the ID '{id}' is parked: `worker parked list` shows the parked messages");
    };
    if found.iter().any(|(_, other)| other.data != first.data) {
        let messages = found.len();
        bail!("{messages} messages that differ have the ID '{id}': `worker parked list` shows a unique ID for each");
    }
    Ok(found)
}

/// Reports how many messages a command has requeued or dropped, and how many are still parked.
fn count_output(queue: &ParkedQueue<'_>, action: &str, messages: usize) -> CommandOutput {
    let left = usize::try_from(queue.total()).unwrap_or(usize::MAX).saturating_sub(messages);
    let subject = if messages == 1 { "message was" } else { "messages were" };
    let text = match (messages, left) {
        (0, 0) => "No message is parked.\n".to_owned(),
        _ => format!("{messages} {subject} {action}, {left} left.\n"),
    };
    CommandOutput { text, json: json!({ action: messages, "left": Value::from(left) }) }
}
