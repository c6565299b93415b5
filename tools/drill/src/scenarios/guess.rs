//! Code guessing: guesses at an address until its code is exhausted, then gets a new code by resend or registration,
//! and so on.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::json;

use super::{Environment, Row};
use crate::{
    client::{Credentials, retry_overloaded},
    rng,
    sources::Source,
};

/// Codes per address, so that the scenario ends even if the instance has no limit.
const MAX_CODES: usize = 20;
/// Guesses at each code beyond what the policy promises: enough to show that the limit is not enforced.
const EXCESS_GUESSES: u64 = 3;

/// Results over all addresses.
#[derive(Default)]
struct Tally {
    by_address_and_length: BTreeMap<(String, u8), GuessCount>,
    /// Comparisons with each code.
    comparisons_by_code: Vec<u64>,
    hits: u64,
}

#[derive(Default)]
struct GuessCount {
    sent: u64,
    compared: u64,
}

/// A code that was mailed, so the attacker does not know it.
struct MailedCode {
    credentials: Credentials,
    registration: String,
    length: u8,
}

pub(super) async fn run(environment: &Environment) -> Result<Vec<Row>> {
    let mut tally = Tally::default();
    let throwaway = std::iter::repeat_with(|| Credentials::throwaway().email);
    let victims = environment.arguments.victim.clone().into_iter().chain(throwaway);
    // The source changes only when its network is exhausted, because the limits per network are checked, too.
    let mut source = environment.client.next_source();
    for email in victims.take(environment.arguments.rounds) {
        attack_address(environment, &mut source, &email, &mut tally).await?;
    }
    Ok(tally.rows(environment))
}

/// Guesses until no new code is granted, a guess is correct, or the time limit is reached.
async fn attack_address(environment: &Environment, source: &mut Source, email: &str, tally: &mut Tally) -> Result<()> {
    let mut code = None;
    for _ in 0..MAX_CODES {
        if environment.client.is_out_of_time() {
            break;
        }
        let previous_hits = tally.hits;
        code = next_code(environment, source, email, code.take()).await?;
        let Some(code) = &code else { break };
        guess(environment, source, code, tally).await?;
        if tally.hits > previous_hits {
            break;
        }
    }
    Ok(())
}

/// Requests another code: by a resend if that is granted, otherwise by a new registration.
async fn next_code(
    environment: &Environment,
    source: &mut Source,
    email: &str,
    previous: Option<MailedCode>,
) -> Result<Option<MailedCode>> {
    if let Some(MailedCode { credentials, registration, .. }) = previous
        && retry_overloaded(|| environment.client.resend(*source, &credentials)).await?.is_accepted()
    {
        return mailed_code(environment, credentials, registration).await;
    }
    let credentials = Credentials::for_address(email);
    for _ in 0..2 {
        let response = retry_overloaded(|| environment.client.register(*source, &credentials)).await?;
        if response.is_accepted() {
            return mailed_code(environment, credentials, response.registration()).await;
        }
        if !response.is_throttled() {
            break;
        }
        *source = environment.client.next_source();
    }
    Ok(None)
}

/// Waits until the code is mailed; the receipt has its length.
async fn mailed_code(
    environment: &Environment,
    credentials: Credentials,
    registration: String,
) -> Result<Option<MailedCode>> {
    let receipt = environment.client.receipt_when_sent(&registration).await?;
    let length = receipt.and_then(|receipt| u8::try_from(receipt.json()["code_length"].as_u64()?).ok());
    Ok(length.map(|length| MailedCode { credentials, registration, length }))
}

/// Guesses at one code until it is exhausted or clearly exceeds its limit.
async fn guess(environment: &Environment, source: &mut Source, code: &MailedCode, tally: &mut Tally) -> Result<()> {
    let (mut compared, mut rejected) = (0, 0);
    while compared < environment.policy.attempts() + EXCESS_GUESSES && rejected < 2 {
        let body = json!({ "code": rng::digits(code.length.into()), "registration": code.registration });
        let response = retry_overloaded(|| environment.client.activate(*source, &code.credentials, &body)).await?;
        let key = (code.credentials.email.clone(), code.length);
        let count = tally.by_address_and_length.entry(key).or_default();
        count.sent += 1;
        if response.is_code_comparison() {
            count.compared += 1;
            compared += 1;
        } else {
            // Either the code or this network is exhausted; a guess from another network shows which.
            rejected += 1;
            *source = if response.is_throttled() { environment.client.next_source() } else { *source };
        }
        if response.is_correct_code() {
            tally.hits += 1;
            break;
        }
    }
    tally.comparisons_by_code.push(compared);
    Ok(())
}

impl Tally {
    fn rows(&self, environment: &Environment) -> Vec<Row> {
        // All guesses, and the most comparisons for one address.
        let mut by_length = BTreeMap::<u8, (u64, u64)>::new();
        for ((_, length), count) in &self.by_address_and_length {
            let (sent, max_compared) = by_length.entry(*length).or_default();
            *sent += count.sent;
            *max_compared = (*max_compared).max(count.compared);
        }
        if by_length.is_empty() {
            return vec![Row::not_tried("guess", "no code was granted, or none was mailed")];
        }
        let sent = by_length.values().map(|&(sent, _)| sent).sum();
        let max_compared = self.comparisons_by_code.iter().copied().max().unwrap_or_default();
        let attempts = environment.policy.attempts();
        let one_code = Row::compared("guess: comparisons for one code", sent, max_compared, attempts);
        let row = |(&length, &(sent, max_compared)): (&u8, &(u64, u64))| {
            let check = format!("guess: … for one address, {length} digits");
            Row::compared(&check, sent, max_compared, environment.policy.comparisons_at(length))
        };
        std::iter::once(one_code.with_hits(self.hits)).chain(by_length.iter().map(row)).collect()
    }
}
