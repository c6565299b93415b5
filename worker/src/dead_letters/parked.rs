//! Looks at the messages that were parked, and takes some of them out again.
//!
//! AMQP knows no look that leaves a message where it is. So each is fetched and not acknowledged, and all of
//! them are back in their places when the connection is closed, however the tool ends.

mod message;
mod queue;

use std::collections::{HashMap, HashSet};

use anyhow::{Context, Result, bail};
use lapin::message::Delivery;
use secrecy::SecretString;
use serde_json::{Value, json};
use shared::amqp::topology::Topology;

use self::{
    message::{Parked, Summary},
    queue::{MOST, Queue},
};
use crate::cli::{Answer, Verb, Which, table};

pub(crate) async fn answer(url: &SecretString, topology: &Topology, verb: &Verb) -> Result<Answer> {
    let mut queue = Queue::open(url, topology).await?;
    let answer = match verb {
        Verb::List => list(&mut queue).await,
        Verb::Show(id) => show(&mut queue, id).await,
        Verb::Requeue(which) => requeue(&mut queue, which).await,
        Verb::Drop(id) => drop(&mut queue, id).await,
    };
    queue.close().await;
    answer
}

async fn list(queue: &mut Queue<'_>) -> Result<Answer> {
    let mut all = Vec::new();
    while let Some((parked, _)) = queue.next().await? {
        all.push(parked.summary);
    }
    tell_apart(&mut all);
    let entries: Vec<_> = all.iter().map(Summary::json).collect();
    let row = |one: &Summary| [&one.id, &one.why, one.since(), &one.bytes.to_string()].map(str::to_owned);
    let total = queue.total();
    let mut text = match all.len() {
        0 => "No message is parked.\n".to_owned(),
        _ => table(["ID", "WHY", "SINCE", "BYTES"], all.iter().map(row).collect()),
    };
    if total > MOST {
        text.push_str(&format!("These are the first {MOST} of {total}.\n"));
    }
    Ok(Answer { text, json: json!({ "parked": entries, "total": total }) })
}

/// Where messages with one ID differ, each is listed by that of its body.
fn tell_apart(all: &mut [Summary]) {
    let mut first = HashMap::new();
    let differs = |one: &&Summary| *first.entry(one.id.clone()).or_insert(one.id_by_body.clone()) != one.id_by_body;
    let shared: HashSet<_> = all.iter().filter(differs).map(|one| one.id.clone()).collect();
    for one in all.iter_mut().filter(|one| shared.contains(&one.id)) {
        one.id.clone_from(&one.id_by_body);
    }
}

async fn show(queue: &mut Queue<'_>, wanted: &str) -> Result<Answer> {
    let found = find(queue, wanted).await?;
    let mut texts: Vec<_> = found.iter().map(|(parked, _)| parked.to_string()).collect();
    if found.len() > 1 {
        texts.push(format!("{} messages have this ID.\n", found.len()));
    }
    let entries: Vec<_> = found.iter().map(|(parked, _)| parked.whole()).collect();
    Ok(Answer { text: texts.join("\n"), json: json!({ "parked": entries }) })
}

async fn requeue(queue: &mut Queue<'_>, which: &Which) -> Result<Answer> {
    let mut requeued = 0;
    let requeueing = match which {
        Which::One(wanted) => {
            let found = find(queue, wanted).await?;
            requeue_these(queue, found, &mut requeued).await
        }
        Which::All => requeue_all(queue, &mut requeued).await,
    };
    requeueing.with_context(|| format!("{requeued} were requeued, the others are still parked"))?;
    Ok(done(queue, "requeued", requeued))
}

async fn requeue_these(queue: &Queue<'_>, these: Vec<(Parked, Delivery)>, requeued: &mut usize) -> Result<()> {
    for (_, delivery) in these {
        queue.requeue(&delivery).await?;
        *requeued += 1;
    }
    Ok(())
}

/// Each before the next is fetched: together they may be larger than the memory.
async fn requeue_all(queue: &mut Queue<'_>, requeued: &mut usize) -> Result<()> {
    while let Some((_, delivery)) = queue.next().await? {
        queue.requeue(&delivery).await?;
        *requeued += 1;
    }
    Ok(())
}

async fn drop(queue: &mut Queue<'_>, wanted: &str) -> Result<Answer> {
    let found = find(queue, wanted).await?;
    for (_, delivery) in &found {
        queue.ack(delivery).await?;
    }
    Ok(done(queue, "dropped", found.len()))
}

/// The message that is meant, and those that are like it.
async fn find(queue: &mut Queue<'_>, wanted: &str) -> Result<Vec<(Parked, Delivery)>> {
    let mut found = Vec::new();
    while let Some((mut parked, delivery)) = queue.next().await? {
        if [parked.summary.id.as_str(), &parked.summary.id_by_body].contains(&wanted) {
            parked.summary.id = wanted.to_owned();
            found.push((parked, delivery));
        }
    }
    let Some((_, first)) = found.first() else {
        bail!("no message with the ID '{wanted}' is parked: `worker parked list` shows those that are");
    };
    if found.iter().any(|(_, other)| other.data != first.data) {
        let messages = found.len();
        bail!("{messages} messages that differ have the ID '{wanted}': `worker parked list` has another for each");
    }
    Ok(found)
}

fn done(queue: &Queue<'_>, what: &str, messages: usize) -> Answer {
    let left = usize::try_from(queue.total()).unwrap_or(usize::MAX).saturating_sub(messages);
    let plural = if messages == 1 { "message was" } else { "messages were" };
    let text = match (messages, left) {
        (0, 0) => "No message is parked.\n".to_owned(),
        _ => format!("{messages} {plural} {what}, {left} left.\n"),
    };
    Answer { text, json: json!({ what: messages, "left": Value::from(left) }) }
}
