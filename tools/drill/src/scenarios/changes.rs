//! Password changes: changes the password of the account given by `--account` until the instance refuses. Each change
//! is mailed to the owner, so an attacker with the password and a session could flood the mailbox.

use std::time::Duration;

use anyhow::Result;

use super::{Environment, Row, compare_grants};
use crate::{
    client::{Credentials, retry_overloaded},
    report,
    response::Response,
};

const CHECK: &str = "changes: password changes of one account";

/// Changes beyond what the policy promises. An even number, so that the last one restores the password.
const EXCESS_CHANGES: u64 = 2;
/// So that the scenario ends whatever the policy promises.
const MAX_CHANGES: u64 = 100;

pub(super) async fn run(environment: &Environment) -> Result<Vec<Row>> {
    let client = &environment.client;
    let Some(account) = &environment.arguments.account else {
        return Ok(vec![Row::not_tried(CHECK, "it needs --account EMAIL:PASSWORD")]);
    };
    let source = client.next_source();
    let log_in = retry_overloaded(|| client.log_in(source, account)).await?;
    let Some(token) = log_in.json()["token"].as_str().map(str::to_owned) else {
        let reason = format!("the log-in of the account was rejected: {} {}", log_in.status, log_in.slug());
        return Ok(vec![Row::not_tried(CHECK, &reason)]);
    };
    let started = client.elapsed();
    let promised = environment.policy.password_changes(Duration::ZERO).min(MAX_CHANGES);
    let passwords = [&account.password, &generated_password(), &generated_password()].map(String::clone);
    // Printed before the first change: if the drill is interrupted, the account has one of them.
    report::progress(&format!(
        "changes: the passwords for {} are the given one, '{}' and '{}'",
        account.email, passwords[1], passwords[2]
    ));
    let mut responses = Vec::<Response>::new();
    let mut current = 0;
    for number in 1..=promised + EXCESS_CHANGES {
        let next = next_password(current, number, promised);
        let (old, new) = (&passwords[current], &passwords[next]);
        let response = retry_overloaded(|| client.change_password(source, &token, old, new)).await?;
        current = if is_changed(&response) { next } else { current };
        responses.push(response);
    }
    let granted = responses.iter().filter(|response| is_changed(response)).count();
    let promised = environment.policy.password_changes(client.elapsed() - started);
    let row = compare_grants(CHECK, &responses, u64::try_from(granted)?, promised)?;
    let password = if current == 0 { "the given one".to_owned() } else { format!("'{}'", passwords[current]) };
    let note = format!("{}; the password of {} is now {password}", row.note, account.email);
    Ok(vec![row.with_note(&note)])
}

fn generated_password() -> String {
    Credentials::throwaway().password
}

fn is_changed(response: &Response) -> bool {
    response.status == 204
}

/// The index of the password to change to: the given one (0) by the last change that is promised and by every other one
/// before and after it, otherwise another than the current one.
fn next_password(current: usize, number: u64, promised: u64) -> usize {
    match current {
        1 | 2 if number.abs_diff(promised).is_multiple_of(2) => 0,
        1 => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_promised_and_last_excess_change_restore_the_password() {
        for promised in 2..=10 {
            let mut current = 0;
            for number in 1..=promised + EXCESS_CHANGES {
                let next = next_password(current, number, promised);
                assert_ne!(next, current, "change {number} of {promised}");
                current = next;
                assert!(current == 0 || number != promised && number != promised + EXCESS_CHANGES, "{number}");
            }
        }
    }
}
