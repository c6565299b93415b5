//! A flood of log-ins with the right password of a pending registration, which no limit on wrong passwords counts. It
//! must not occupy the hash threads for longer than promised, nor have registrations of another network refused.

use std::{
    future::ready,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use anyhow::Result;
use futures_util::{StreamExt, TryStreamExt, future::try_join, stream};

use super::{Environment, Row, compare_grants};
use crate::{
    client::{Credentials, retry_overloaded},
    response::{Response, summary},
    sources::Source,
};

const LOG_INS: &str = "flood: passwords verified for one network";
const SIGN_UPS: &str = "flood: sign-ups of another network refused";

const CONNECTIONS: usize = 16;
/// The API verifies few passwords of one address at the same time.
const ADDRESSES: usize = 4;
/// Log-ins beyond what the policy promises.
const EXCESS_LOG_INS: u64 = 20;
/// How long a connection pauses after an overload: short enough to keep the hash queue full.
const OVERLOAD_PAUSE: Duration = Duration::from_millis(50);
/// So that the flood ends whatever the instance responds.
const MAX_LOG_INS: usize = 5_000;
const MAX_SIGN_UPS: usize = 40;

pub(super) async fn run(environment: &Environment) -> Result<Vec<Row>> {
    let client = &environment.client;
    if !client.has_real_networks() {
        let reason = "all requests come from one network";
        return Ok(vec![Row::not_tried(LOG_INS, reason), Row::not_tried(SIGN_UPS, reason)]);
    }
    let source = client.next_source();
    let mut pending = vec![];
    for _ in 0..ADDRESSES {
        let credentials = Credentials::throwaway();
        let response = retry_overloaded(|| client.register(source, &credentials)).await?;
        if !response.is_accepted() {
            let reason = format!("the registration was rejected: {} {}", response.status, response.slug());
            return Ok(vec![Row::not_tried("flood", &reason)]);
        }
        pending.push(credentials);
    }
    let started = client.elapsed();
    let promised = |elapsed| environment.policy.password_checks(environment.arguments.processes, elapsed);
    let log_ins = promised(Duration::ZERO).unwrap_or_default() + EXCESS_LOG_INS;
    let is_over = AtomicBool::new(false);
    let flood = async {
        let responses = log_in_repeatedly(environment, source, &pending, log_ins).await;
        is_over.store(true, Ordering::Relaxed);
        responses
    };
    let (log_ins, sign_ups) = try_join(flood, sign_up_until(environment, &is_over)).await?;
    let log_ins = match promised(client.elapsed() - started) {
        Some(promised) => log_in_row(environment, &log_ins, promised)?,
        None => Row::not_tried(LOG_INS, "the policy has no such limit"),
    };
    let refused = sign_ups.iter().filter(|response| response.status == 503).count();
    let attempts = u64::try_from(sign_ups.len())?;
    let sign_ups = Row::compared(SIGN_UPS, attempts, u64::try_from(refused)?, 0).with_note(&summary(&sign_ups));
    Ok(vec![log_ins, sign_ups])
}

/// Logs in on all connections, until so many log-ins were answered other than with an overload.
async fn log_in_repeatedly(
    environment: &Environment,
    source: Source,
    pending: &[Credentials],
    log_ins: u64,
) -> Result<Vec<Response>> {
    let client = &environment.client;
    let answered = AtomicU64::new(0);
    let answered = &answered;
    let requests = stream::iter(pending.iter().cycle().take(MAX_LOG_INS))
        .take_while(|_| ready(answered.load(Ordering::Relaxed) < log_ins && !client.is_out_of_time()))
        .map(|credentials| async move {
            let response = client.log_in(source, credentials).await?;
            if response.status == 503 {
                tokio::time::sleep(OVERLOAD_PAUSE).await;
            } else {
                answered.fetch_add(1, Ordering::Relaxed);
            }
            Ok(response)
        });
    requests.buffer_unordered(CONNECTIONS).try_collect().await
}

/// Registers new addresses from another network until the flood has ended or the network has used up its registrations.
async fn sign_up_until(environment: &Environment, is_over: &AtomicBool) -> Result<Vec<Response>> {
    let client = &environment.client;
    let source = client.next_source();
    let mut responses = vec![];
    while !is_over.load(Ordering::Relaxed) && responses.len() < MAX_SIGN_UPS {
        let response = client.register(source, &Credentials::throwaway()).await?;
        let is_limited = response.status == 429;
        responses.push(response);
        if is_limited {
            break;
        }
    }
    Ok(responses)
}

fn log_in_row(environment: &Environment, responses: &[Response], promised: u64) -> Result<Row> {
    let verified = responses.iter().filter(|response| response.is_password_check()).count();
    let row = compare_grants(LOG_INS, responses, u64::try_from(verified)?, promised)?;
    let processes = match environment.arguments.processes {
        1 => "if one API process serves the URL; otherwise, give --processes".to_owned(),
        count => format!("if {count} API processes serve the URL"),
    };
    let note = format!("{}; so many are promised {processes}", row.note);
    Ok(row.with_note(&note))
}
