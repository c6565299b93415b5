//! Looks at the messages that were parked, and takes some of them out again.
//!
//! AMQP knows no look that leaves a message where it is. So each is fetched and not acknowledged, and all of
//! them are back in their places when the connection is closed, however the tool ends.

mod message;
mod queue;

use amqp::topology::Topology;
use anyhow::{Result, bail};
use secrecy::SecretString;
use serde_json::{Value, json};

use self::{
    message::Parked,
    queue::{MOST, Queue},
};
use crate::tools::{Answer, Verb, Which, table};

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
    let (mut rows, mut entries) = (Vec::new(), Vec::new());
    while let Some((parked, _)) = queue.next().await? {
        entries.push(parked.summary());
        let Parked { id, why, since, body, .. } = parked;
        rows.push([id, why, since.unwrap_or_else(|| "unknown".to_owned()), body.len().to_string()]);
    }
    let total = queue.total();
    let mut text = match rows.len() {
        0 => "No message is parked.\n".to_owned(),
        _ => table(["ID", "WHY", "SINCE", "BYTES"], rows),
    };
    if total > MOST {
        text.push_str(&format!("These are the first {MOST} of {total}.\n"));
    }
    Ok(Answer { text, json: json!({ "parked": entries, "total": total }) })
}

async fn show(queue: &mut Queue<'_>, wanted: &str) -> Result<Answer> {
    let (mut texts, mut entries) = (Vec::new(), Vec::new());
    while let Some((parked, _)) = queue.next().await? {
        if parked.id == wanted {
            texts.push(parked.to_string());
            entries.push(parked.whole());
        }
    }
    must_be_some(entries.len(), wanted)?;
    if entries.len() > 1 {
        texts.push(format!("{} messages have this ID.\n", entries.len()));
    }
    Ok(Answer { text: texts.join("\n"), json: json!({ "parked": entries }) })
}

async fn requeue(queue: &mut Queue<'_>, which: &Which) -> Result<Answer> {
    let mut requeued = 0;
    while let Some((parked, delivery)) = queue.next().await? {
        if matches!(which, Which::One(wanted) if *wanted != parked.id) {
            continue;
        }
        if let Err(error) = queue.requeue(&delivery).await {
            return Err(error.context(format!("{requeued} were requeued, the others are parked as before")));
        }
        requeued += 1;
    }
    if let Which::One(wanted) = which {
        must_be_some(requeued, wanted)?;
    }
    Ok(done(queue, "requeued", requeued))
}

async fn drop(queue: &mut Queue<'_>, wanted: &str) -> Result<Answer> {
    let mut dropped = 0;
    while let Some((parked, delivery)) = queue.next().await? {
        if parked.id == wanted {
            queue.ack(&delivery).await?;
            dropped += 1;
        }
    }
    must_be_some(dropped, wanted)?;
    Ok(done(queue, "dropped", dropped))
}

fn must_be_some(found: usize, wanted: &str) -> Result<()> {
    if found == 0 {
        bail!("no message with the ID '{wanted}' is parked: `worker parked list` shows those that are");
    }
    Ok(())
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
