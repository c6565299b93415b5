//! Race conditions: guesses one code, then registers one address, with concurrent requests. No limit may be exceeded.

use anyhow::Result;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::json;

use super::{Environment, Row, compare_grants, register_victim};
use crate::{
    client::{Credentials, retry_overloaded},
    response::Response,
    rng,
    sources::Source,
};

/// More requests from one network would wait for each other, because each may turn out to be a wrong password.
const REQUESTS_PER_SOURCE: usize = 4;

pub(super) async fn run(environment: &Environment) -> Result<Vec<Row>> {
    Ok(vec![guesses(environment).await?, registrations(environment).await?])
}

async fn guesses(environment: &Environment) -> Result<Row> {
    let check = "burst: comparisons for one code";
    let victim = match register_victim(environment, environment.client.next_source()).await? {
        Ok(victim) => victim,
        Err(reason) => return Ok(Row::not_tried(check, &reason)),
    };
    let length = victim.receipt.json()["code_length"].as_u64().unwrap_or(4);
    let length = usize::try_from(length)?;
    let responses = send_concurrently(environment, async |source| {
        let body = json!({ "code": rng::digits(length), "registration": victim.registration });
        environment.client.activate(source, &victim.credentials, &body).await
    })
    .await?;
    let hits = responses.iter().filter(|response| response.is_correct_code()).count();
    let row = row(check, &responses, Response::is_code_comparison, environment.policy.attempts())?;
    Ok(row.with_hits(u64::try_from(hits)?))
}

async fn registrations(environment: &Environment) -> Result<Row> {
    let victim = Credentials::throwaway();
    let started = environment.client.elapsed();
    let responses =
        send_concurrently(environment, async |source| environment.client.register(source, &victim).await).await?;
    let promised = environment.policy.codes_per_address(environment.client.elapsed() - started);
    row("burst: mails to one address", &responses, Response::is_accepted, promised)
}

fn row(check: &str, responses: &[Response], is_granted: impl Fn(&Response) -> bool, promised: u64) -> Result<Row> {
    let granted = responses.iter().filter(|response| is_granted(response)).count();
    compare_grants(check, responses, u64::try_from(granted)?, promised)
}

async fn send_concurrently(
    environment: &Environment,
    send: impl AsyncFn(Source) -> Result<Response>,
) -> Result<Vec<Response>> {
    let (calls, send) = (environment.arguments.calls, &send);
    let mut sources = vec![];
    for n in 0..calls {
        let source = if n % REQUESTS_PER_SOURCE == 0 { None } else { sources.last().copied() };
        sources.push(source.unwrap_or_else(|| environment.client.next_source()));
    }
    let responses = stream::iter(sources).map(|source| retry_overloaded(move || send(source)));
    responses.buffer_unordered(calls).try_collect().await
}
