//! Asks the same of addresses that are unknown, pending and active, and compares every byte that may tell.

use anyhow::Result;
use serde_json::json;

use super::{Ground, Row, mailed};
use crate::{
    answer::Answer,
    attacker::{Account, patiently},
    shape::differences,
};

const NAME: &str = "body: answers that differ";

/// What a stranger asked about one address, and heard.
type Story = Vec<(&'static str, Answer)>;

pub(super) async fn play(ground: &Ground) -> Result<Vec<Row>> {
    let pending = match mailed(ground, ground.attacker.fresh_source()).await? {
        Ok(pending) => pending.who.email,
        Err(why) => return Ok(vec![Row::not_tried(NAME, &why)]),
    };
    let unknown = story(ground, &Account::throw_away().email).await?;
    let (mut compared, mut found) = (0, vec![]);
    let known = std::iter::once(("pending", &pending)).chain(ground.arguments.active.iter().map(|at| ("active", at)));
    for (kind, email) in known {
        let story = story(ground, email).await?;
        for ((what, one), (_, other)) in unknown.iter().zip(&story) {
            // Who guessed right had luck, and no difference in hand; who was held back learnt nothing.
            let lucky = *what != "receipt" && (one.is_hit() || other.is_hit());
            if lucky || one.is_held_back() && other.is_held_back() {
                continue;
            }
            compared += 1;
            found.extend(differences(&format!("{what}, {kind}"), one, other));
        }
        if unknown.len() != story.len() {
            found.push(format!("no mail for the address that is {kind}, or for the unknown one"));
        }
    }
    Ok(vec![Row::judged(NAME, compared, u64::try_from(found.len())?, 0).with_note(&found.join("; "))])
}

async fn story(ground: &Ground, email: &str) -> Result<Story> {
    let attacker = &ground.attacker;
    let (source, stranger, mut story) = (attacker.fresh_source(), Account::at(email), vec![]);
    let guess = json!({ "code": "0000" });
    story.push(("activate", patiently(|| attacker.activate(source, &stranger, &guess)).await?));
    story.push(("resend", patiently(|| attacker.resend(source, &stranger)).await?));
    let registered = patiently(|| attacker.register(source, &stranger)).await?;
    let registration = registered.registration();
    story.push(("register", registered));
    if let Some(receipt) = attacker.receipt_when_sent(&registration).await? {
        story.push(("receipt", receipt));
        story.push(("resend one's own", patiently(|| attacker.resend(source, &stranger)).await?));
        attacker.receipt_when_sent(&registration).await?;
        story.push(("guess at one's own", patiently(|| attacker.activate(source, &stranger, &guess)).await?));
    }
    Ok(story)
}
