//! Mail flooding: requests new codes for one registration as fast as possible.

use anyhow::Result;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{Environment, Row, compare_grants, register_victim};
use crate::response::Response;

const CHECK: &str = "resend: codes sent again";

/// Concurrent requests. Each batch comes from another network.
const BATCH_SIZE: usize = 4;

pub(super) async fn run(environment: &Environment) -> Result<Vec<Row>> {
    let client = &environment.client;
    let started = client.elapsed();
    let victim = match register_victim(environment, client.next_source()).await? {
        Ok(victim) => victim,
        Err(reason) => return Ok(vec![Row::not_tried(CHECK, &reason)]),
    };
    let mut responses = Vec::<Response>::new();
    while responses.len() < environment.arguments.calls && !client.is_out_of_time() {
        let source = client.next_source();
        let batch = stream::iter(0..BATCH_SIZE).map(|_| client.resend(source, &victim.credentials));
        responses.extend(batch.buffer_unordered(BATCH_SIZE).try_collect::<Vec<_>>().await?);
    }
    let granted = responses.iter().filter(|response| response.is_accepted()).count();
    let promised = environment.policy.resends(client.elapsed() - started);
    Ok(vec![compare_grants(CHECK, &responses, u64::try_from(granted)?, promised)?])
}
