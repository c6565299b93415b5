//! Tries every code it is granted at an address: until it is exhausted, then a new code, then a new registration.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::json;

use super::{Ground, Row};
use crate::{
    attacker::{Account, patiently},
    chance,
    sources::Source,
};

/// So many codes of an address, and guesses at each beyond what is promised: enough to show that a promise is
/// broken, and an end.
const CODES: usize = 20;
const TOO_MANY: u64 = 3;

#[derive(Default)]
struct Tally {
    /// By address and length: sent and compared.
    lengths: BTreeMap<(String, u8), (u64, u64)>,
    /// Compared with each code.
    codes: Vec<u64>,
    hits: u64,
}

/// A code that lies in a mailbox of somebody else.
struct Held {
    who: Account,
    registration: String,
    length: u8,
}

pub(super) async fn play(ground: &Ground) -> Result<Vec<Row>> {
    let mut tally = Tally::default();
    let throw_away = std::iter::repeat_with(|| Account::throw_away().email);
    let victims = ground.arguments.victim.clone().into_iter().chain(throw_away);
    // It is changed only when it has had its share: shares of one network are held against the promise, too.
    let mut source = ground.attacker.fresh_source();
    for email in victims.take(ground.arguments.rounds) {
        attack(ground, &mut source, &email, &mut tally).await?;
    }
    Ok(tally.rows(ground))
}

async fn attack(ground: &Ground, source: &mut Source, email: &str, tally: &mut Tally) -> Result<()> {
    let mut held = None;
    for _ in 0..CODES {
        if ground.attacker.is_over() {
            break;
        }
        let hits = tally.hits;
        held = next_code(ground, source, email, held.take()).await?;
        let Some(held) = &held else { break };
        guess(ground, source, held, tally).await?;
        if tally.hits > hits {
            break;
        }
    }
    Ok(())
}

/// A code sent again, if that is allowed, else that of a new registration.
async fn next_code(ground: &Ground, source: &mut Source, email: &str, held: Option<Held>) -> Result<Option<Held>> {
    if let Some(Held { who, registration, .. }) = held
        && patiently(|| ground.attacker.resend(*source, &who)).await?.is_accepted()
    {
        return sent(ground, who, registration).await;
    }
    let who = Account::at(email);
    for _ in 0..2 {
        let answer = patiently(|| ground.attacker.register(*source, &who)).await?;
        if answer.is_accepted() {
            return sent(ground, who, answer.registration()).await;
        }
        if !answer.is_held_back() {
            break;
        }
        *source = ground.attacker.fresh_source();
    }
    Ok(None)
}

async fn sent(ground: &Ground, who: Account, registration: String) -> Result<Option<Held>> {
    let receipt = ground.attacker.receipt_when_sent(&registration).await?;
    let length = receipt.and_then(|receipt| u8::try_from(receipt.json()["code_length"].as_u64()?).ok());
    Ok(length.map(|length| Held { who, registration, length }))
}

async fn guess(ground: &Ground, source: &mut Source, held: &Held, tally: &mut Tally) -> Result<()> {
    let (mut compared, mut refused) = (0, 0);
    while compared < ground.promise.attempts() + TOO_MANY && refused < 2 {
        let body = json!({ "code": chance::digits(held.length.into()), "registration": held.registration });
        let answer = patiently(|| ground.attacker.activate(*source, &held.who, &body)).await?;
        let (attempts, all) = tally.lengths.entry((held.who.email.clone(), held.length)).or_default();
        *attempts += 1;
        if answer.is_comparison() {
            *all += 1;
            compared += 1;
        } else {
            // Exhausted, or this network is: another one tells.
            refused += 1;
            *source = if answer.is_held_back() { ground.attacker.fresh_source() } else { *source };
        }
        if answer.is_hit() {
            tally.hits += 1;
            break;
        }
    }
    tally.codes.push(compared);
    Ok(())
}

impl Tally {
    fn rows(&self, ground: &Ground) -> Vec<Row> {
        let mut by_length = BTreeMap::<u8, (u64, u64)>::new();
        for ((_, length), (attempts, compared)) in &self.lengths {
            let (all, most) = by_length.entry(*length).or_default();
            *all += attempts;
            *most = (*most).max(*compared);
        }
        if by_length.is_empty() {
            return vec![Row::not_tried("guess", "no code was granted, or none was mailed")];
        }
        let attempts = by_length.values().map(|&(attempts, _)| attempts).sum();
        let most = self.codes.iter().copied().max().unwrap_or_default();
        let one_code = Row::judged("guess: comparisons for one code", attempts, most, ground.promise.attempts());
        let row = |(length, (attempts, most)): (&u8, &(u64, u64))| {
            let what = format!("guess: … for one address, {length} digits");
            Row::judged(&what, *attempts, *most, ground.promise.comparisons_at(*length))
        };
        std::iter::once(one_code.with_hits(self.hits)).chain(by_length.iter().map(row)).collect()
    }
}
