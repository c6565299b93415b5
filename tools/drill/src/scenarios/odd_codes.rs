//! Malformed codes, and codes for another user's registration: neither may activate an account or use up attempts.

use anyhow::Result;
use serde_json::{Value, json};

use super::{Environment, PendingRegistration, Row, attempts_left, compare_grants, register_victim};
use crate::{
    client::{Credentials, retry_overloaded},
    response::Response,
};

/// Request bodies without a valid code.
fn malformed_bodies() -> Vec<Value> {
    let arabic = "٠٠٠٠";
    let texts = ["", "  ", arabic, "０００００", "0x00", "+000", "-000", "00 00", "0.00", "000\u{0}", "00000000000"];
    let texts = texts.into_iter().map(|code| json!({ "code": code }));
    let types = [json!(null), json!([]), json!(["0000"]), json!({}), json!(0), json!(true), json!(1e9)];
    texts
        .chain(types.into_iter().map(|code| json!({ "code": code })))
        .chain([json!({}), json!([]), json!(null)])
        .collect()
}

pub(super) async fn run(environment: &Environment) -> Result<Vec<Row>> {
    let victim = match register_victim(environment, environment.client.next_source()).await? {
        Ok(victim) => victim,
        Err(reason) => return Ok(vec![Row::not_tried("odd-codes", &reason)]),
    };
    let malformed = malformed_codes(environment, &victim).await?;
    let foreign = foreign_registration(environment, &victim).await?;
    Ok(vec![malformed, foreign, unusual_codes(environment, &victim).await?])
}

async fn malformed_codes(environment: &Environment, victim: &PendingRegistration) -> Result<Row> {
    let source = environment.client.next_source();
    let mut responses = vec![];
    for mut body in malformed_bodies() {
        if let Some(members) = body.as_object_mut() {
            members.insert("registration".into(), victim.registration.clone().into());
        }
        let activate = || environment.client.activate(source, &victim.credentials, &body);
        responses.push(retry_overloaded(activate).await?);
    }
    let used = used_attempts(environment, victim).await?;
    compare_grants("odd-codes: read as a code", &responses, processed_count(&responses)?.max(used), 0)
}

/// Guesses at the victim's registration with the attacker's own credentials, and with a wrong password of the victim.
async fn foreign_registration(environment: &Environment, victim: &PendingRegistration) -> Result<Row> {
    let source = environment.client.next_source();
    let mut responses = vec![];
    let own = Credentials::throwaway();
    retry_overloaded(|| environment.client.register(source, &own)).await?;
    for credentials in [own, victim.credentials.with_other_password()] {
        for _ in 0..environment.policy.unlocked_passwords_per_network().min(3) {
            let body = json!({ "code": "0000", "registration": victim.registration });
            let activate = || environment.client.activate(source, &credentials, &body);
            responses.push(retry_overloaded(activate).await?);
        }
    }
    let granted = processed_count(&responses)?.max(used_attempts(environment, victim).await?);
    compare_grants("odd-codes: tries at another's registration", &responses, granted, 0)
}

/// Codes with surrounding blanks and codes of another length are valid guesses: if they are compared, they must be
/// counted.
async fn unusual_codes(environment: &Environment, victim: &PendingRegistration) -> Result<Row> {
    let source = environment.client.next_source();
    let mut responses = vec![];
    for code in ["0000 ", "00000"] {
        let body = json!({ "code": code, "registration": victim.registration });
        let activate = || environment.client.activate(source, &victim.credentials, &body);
        responses.push(retry_overloaded(activate).await?);
    }
    let hits = u64::try_from(responses.iter().filter(|response| response.is_correct_code()).count())?;
    let compared = u64::try_from(responses.iter().filter(|response| response.is_code_comparison()).count())?;
    // A correct guess ends the registration, after which no attempts are left to compare.
    let uncounted = if hits > 0 { 0 } else { compared.saturating_sub(used_attempts(environment, victim).await?) };
    Ok(compare_grants("odd-codes: compared and not counted", &responses, uncounted, 0)?.with_hits(hits))
}

/// The attempts that were used since the code was mailed.
async fn used_attempts(environment: &Environment, victim: &PendingRegistration) -> Result<u64> {
    let receipt = environment.client.receipt(&victim.registration).await?;
    Ok(attempts_left(&victim.receipt).saturating_sub(attempts_left(&receipt)))
}

/// The requests that activated an account, compared a code, or caused an error other than overload. A rejection (4xx)
/// or an overloaded instance (503) did not process the code.
fn processed_count(responses: &[Response]) -> Result<u64> {
    let is_rejected =
        |response: &&Response| matches!(response.status, 400..500 | 503) && !response.is_code_comparison();
    Ok(u64::try_from(responses.len() - responses.iter().filter(is_rejected).count())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn success_comparison_and_server_error_count_as_processed() {
        let wrong = r#"{"type":"http://localhost:8000/problems/wrong-code"}"#;
        for (status, text, expected) in [(200, "", 1), (422, wrong, 1), (500, "", 1), (422, "", 0), (503, "", 0)] {
            let response = Response { status, text: text.into(), ..Response::default() };
            assert_eq!(processed_count(&[response]).unwrap(), expected, "{status}");
        }
    }
}
