//! Gives codes that are none, and guesses at somebody else's registration: neither may open or use up anything.

use anyhow::Result;
use serde_json::{Value, json};

use super::{Ground, Mailed, Row, attempts_left, judged, mailed};
use crate::{
    answer::Answer,
    attacker::{Account, patiently},
};

/// None of these can be read as digits.
fn odd() -> Vec<Value> {
    let arabic = "٠٠٠٠";
    let texts = ["", "  ", arabic, "０００００", "0x00", "+000", "-000", "00 00", "0.00", "000\u{0}", "00000000000"];
    let texts = texts.into_iter().map(|code| json!({ "code": code }));
    let kinds = [json!(null), json!([]), json!(["0000"]), json!({}), json!(0), json!(true), json!(1e9)];
    texts
        .chain(kinds.into_iter().map(|code| json!({ "code": code })))
        .chain([json!({}), json!([]), json!(null)])
        .collect()
}

pub(super) async fn play(ground: &Ground) -> Result<Vec<Row>> {
    let victim = match mailed(ground, ground.attacker.fresh_source()).await? {
        Ok(victim) => victim,
        Err(why) => return Ok(vec![Row::not_tried("odd-codes", &why)]),
    };
    let (unreadable, foreign) = (unreadable(ground, &victim).await?, foreign(ground, &victim).await?);
    Ok(vec![unreadable, foreign, readable(ground, &victim).await?])
}

async fn unreadable(ground: &Ground, victim: &Mailed) -> Result<Row> {
    let (source, mut answers) = (ground.attacker.fresh_source(), vec![]);
    for mut body in odd() {
        if let Some(members) = body.as_object_mut() {
            members.insert("registration".into(), victim.registration.clone().into());
        }
        answers.push(patiently(|| ground.attacker.activate(source, &victim.who, &body)).await?);
    }
    let used = used_up(ground, victim).await?;
    judged("odd-codes: read as a code", &answers, looked_at(&answers)?.max(used), 0)
}

/// With a password of one's own, and with a wrong one, for a registration of somebody else.
async fn foreign(ground: &Ground, victim: &Mailed) -> Result<Row> {
    let (source, mut answers) = (ground.attacker.fresh_source(), vec![]);
    let own = Account::throw_away();
    patiently(|| ground.attacker.register(source, &own)).await?;
    for who in [own, victim.who.with_other_password()] {
        for _ in 0..ground.promise.harmless_passwords().0.min(3) {
            let body = json!({ "code": "0000", "registration": victim.registration });
            answers.push(patiently(|| ground.attacker.activate(source, &who, &body)).await?);
        }
    }
    let granted = looked_at(&answers)?.max(used_up(ground, victim).await?);
    judged("odd-codes: tries at another's registration", &answers, granted, 0)
}

/// Blanks are forgiven, and a code may have another length: what is compared must be counted.
async fn readable(ground: &Ground, victim: &Mailed) -> Result<Row> {
    let (source, mut answers) = (ground.attacker.fresh_source(), vec![]);
    for code in ["0000 ", "00000"] {
        let body = json!({ "code": code, "registration": victim.registration });
        answers.push(patiently(|| ground.attacker.activate(source, &victim.who, &body)).await?);
    }
    let hits = u64::try_from(answers.iter().filter(|answer| answer.is_hit()).count())?;
    let compared = u64::try_from(answers.iter().filter(|answer| answer.is_comparison()).count())?;
    // After a hit there is nothing to count any more.
    let uncounted = if hits > 0 { 0 } else { compared.saturating_sub(used_up(ground, victim).await?) };
    Ok(judged("odd-codes: compared and not counted", &answers, uncounted, 0)?.with_hits(hits))
}

async fn used_up(ground: &Ground, victim: &Mailed) -> Result<u64> {
    let receipt = ground.attacker.receipt(&victim.registration).await?;
    Ok(attempts_left(&victim.receipt).saturating_sub(attempts_left(&receipt)))
}

/// Those that opened something, compared a code, or broke something; who was too busy looked at nothing.
fn looked_at(answers: &[Answer]) -> Result<u64> {
    let refused = |answer: &&Answer| matches!(answer.status, 400..500 | 503) && !answer.is_comparison();
    Ok(u64::try_from(answers.len() - answers.iter().filter(refused).count())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_looked_at_by_whoever_compares_it_opens_or_breaks() {
        let wrong = r#"{"type":"http://localhost:8000/problems/wrong-code"}"#;
        for (status, text, expected) in [(200, "", 1), (422, wrong, 1), (500, "", 1), (422, "", 0), (503, "", 0)] {
            let answer = Answer { status, text: text.into(), ..Answer::default() };
            assert_eq!(looked_at(&[answer]).unwrap(), expected, "{status}");
        }
    }
}
