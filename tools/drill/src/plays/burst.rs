//! Guesses at one code, then registers one address, all at once: counts must not be late.

use anyhow::Result;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::json;

use super::{Ground, Row, judged, mailed};
use crate::{
    answer::Answer,
    attacker::{Account, patiently},
    chance,
    sources::Source,
};

/// More from one network would lock the address for it before anything is compared.
const FROM_ONE_SOURCE: usize = 4;

pub(super) async fn play(ground: &Ground) -> Result<Vec<Row>> {
    Ok(vec![guesses(ground).await?, registrations(ground).await?])
}

async fn guesses(ground: &Ground) -> Result<Row> {
    let what = "burst: comparisons for one code";
    let victim = match mailed(ground, ground.attacker.fresh_source()).await? {
        Ok(victim) => victim,
        Err(why) => return Ok(Row::not_tried(what, &why)),
    };
    let length = victim.receipt.json()["code_length"].as_u64().unwrap_or(4);
    let length = usize::try_from(length)?;
    let answers = at_once(ground, async |source| {
        let body = json!({ "code": chance::digits(length), "registration": victim.registration });
        ground.attacker.activate(source, &victim.who, &body).await
    })
    .await?;
    let hits = answers.iter().filter(|answer| answer.is_hit()).count();
    let row = row(what, &answers, Answer::is_comparison, ground.promise.attempts())?;
    Ok(row.with_hits(u64::try_from(hits)?))
}

async fn registrations(ground: &Ground) -> Result<Row> {
    let (victim, begun) = (Account::throw_away(), ground.attacker.elapsed());
    let answers = at_once(ground, async |source| ground.attacker.register(source, &victim).await).await?;
    let promised = ground.promise.codes_per_address(ground.attacker.elapsed() - begun);
    row("burst: mails to one address", &answers, Answer::is_accepted, promised)
}

fn row(what: &str, answers: &[Answer], granted: impl Fn(&Answer) -> bool, promised: u64) -> Result<Row> {
    judged(what, answers, u64::try_from(answers.iter().filter(|answer| granted(answer)).count())?, promised)
}

async fn at_once(ground: &Ground, call: impl AsyncFn(Source) -> Result<Answer>) -> Result<Vec<Answer>> {
    let (calls, call) = (ground.arguments.calls, &call);
    let mut sources = vec![];
    for n in 0..calls {
        let source = if n % FROM_ONE_SOURCE == 0 { None } else { sources.last().copied() };
        sources.push(source.unwrap_or_else(|| ground.attacker.fresh_source()));
    }
    stream::iter(sources).map(|source| patiently(move || call(source))).buffer_unordered(calls).try_collect().await
}
