//! Asks for another code as fast as it can: who wants to fill a mailbox gets no more than is promised.

use anyhow::Result;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{Ground, Row, judged, mailed};
use crate::answer::Answer;

const NAME: &str = "resend: codes sent again";

/// So many at a time, each few from a network of their own.
const AT_ONCE: usize = 4;

pub(super) async fn play(ground: &Ground) -> Result<Vec<Row>> {
    let attacker = &ground.attacker;
    let begun = attacker.elapsed();
    let victim = match mailed(ground, attacker.fresh_source()).await? {
        Ok(victim) => victim,
        Err(why) => return Ok(vec![Row::not_tried(NAME, &why)]),
    };
    let mut answers = Vec::<Answer>::new();
    while answers.len() < ground.arguments.calls && !attacker.is_over() {
        let source = attacker.fresh_source();
        let storm = stream::iter(0..AT_ONCE).map(|_| attacker.resend(source, &victim.who));
        answers.extend(storm.buffer_unordered(AT_ONCE).try_collect::<Vec<_>>().await?);
    }
    let granted = answers.iter().filter(|answer| answer.is_accepted()).count();
    let promised = ground.promise.resends(attacker.elapsed() - begun);
    Ok(vec![judged(NAME, &answers, u64::try_from(granted)?, promised)?])
}
