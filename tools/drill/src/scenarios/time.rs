//! Account enumeration by time: sends the same requests for unknown and known addresses alternately and compares the
//! durations.

use anyhow::Result;
use serde_json::json;

use super::{Environment, Row};
use crate::{
    client::{Credentials, retry_overloaded},
    rank_test::mann_whitney,
    response::Response,
    rng,
    sources::Source,
};

/// A difference is usable by an attacker if it is significant at this level and large enough to be measured over a
/// network.
const SIGNIFICANCE: f64 = 0.001;
const MIN_DIFFERENCE_MS: f64 = 1.0;

/// With fewer samples on either side, the test is not meaningful.
const MIN_SAMPLES: usize = 10;

/// Addresses per source network, which may try a limited number of passwords.
const ADDRESSES_PER_SOURCE: usize = 5;

/// Durations in milliseconds for unknown and known addresses.
#[derive(Default)]
struct Samples {
    unknown: Vec<f64>,
    known: Vec<f64>,
}

/// Samples by check.
type Measurements = Vec<(&'static str, Samples)>;

/// Measures again if a difference was found, and reports it only if it is found twice: by chance alone, one in a
/// thousand measurements finds one.
pub(super) async fn run(environment: &Environment) -> Result<Vec<Row>> {
    let first = measure(environment).await?;
    if !first.iter().any(|(_, samples)| samples.differ()) {
        return Ok(first.iter().map(|(check, samples)| samples.row(check)).collect());
    }
    let second = measure(environment).await?;
    let mut rows = vec![];
    for ((check, first), (_, second)) in first.iter().zip(&second) {
        let use_second = first.differ() && second.are_enough();
        rows.push(if use_second { second.row(check) } else { first.row(check) });
    }
    Ok(rows)
}

async fn measure(environment: &Environment) -> Result<Measurements> {
    let (registrations, pending) = time_registrations(environment).await?;
    let passwords = time_wrong_passwords(environment, &pending, ADDRESSES_PER_SOURCE).await?;
    let mut measured = vec![
        ("time: registering, pending or unknown", registrations),
        ("time: wrong password, pending or unknown", passwords),
    ];
    if let Some(active) = &environment.arguments.active {
        // Half of the passwords that do not lock the account, because it may be measured twice.
        let networks = environment.policy.unlocked_passwords() / 2 / passwords_per_address(environment);
        let networks = if environment.client.has_many_networks() { usize::try_from(networks)? } else { 1 };
        let passwords = time_wrong_passwords(environment, &vec![active.clone(); networks], 1).await?;
        measured.push(("time: wrong password, active or unknown", passwords));
    }
    Ok(measured)
}

/// Registers each address twice: while it is unknown, and later while it is pending. Also returns the pending
/// addresses.
async fn time_registrations(environment: &Environment) -> Result<(Samples, Vec<String>)> {
    let (mut samples, mut pending) = (Samples::default(), Vec::<String>::new());
    let mut source = warm_source(environment).await?;
    let mut is_limited = false;
    let is_exhausted = |source| environment.client.registrations_left(&environment.policy, source) < 2;
    for _ in 0..=environment.arguments.calls / 4 {
        if is_limited || is_exhausted(source) {
            source = warm_source(environment).await?;
        }
        if environment.client.is_out_of_time()
            || is_exhausted(source)
            || is_limited && !environment.client.has_many_networks()
        {
            break;
        }
        let new = Credentials::throwaway();
        let previous = pending.last().map(|email| Credentials::for_address(email));
        let register = async |credentials: &Credentials| environment.client.register(source, credentials).await;
        is_limited = if let Some(previous) = &previous {
            let pair = send_pair(previous, &new, register).await?;
            samples.add(&pair, 202);
            pair.iter().any(|response| response.status == 429)
        } else {
            // There is no pending address to compare the first one with.
            retry_overloaded(|| register(&new)).await?.status == 429
        };
        pending.push(new.email);
    }
    Ok((samples, pending))
}

/// Tries wrong passwords for each known address, too few to lock it, alternating with as many for unknown addresses.
///
/// The requests come from networks that have requested no code: for those that have, the instance stores less, and the
/// attacker knows which ones have.
async fn time_wrong_passwords(
    environment: &Environment,
    known: &[String],
    addresses_per_source: usize,
) -> Result<Samples> {
    let mut samples = Samples::default();
    let mut source = warm_source(environment).await?;
    for (n, email) in known.iter().enumerate() {
        if n > 0 && n % addresses_per_source == 0 {
            source = warm_source(environment).await?;
        }
        let (known, unknown) = (Credentials::for_address(email), Credentials::throwaway());
        for _ in 0..passwords_per_address(environment) {
            if samples.known.len() >= environment.arguments.calls || environment.client.is_out_of_time() {
                return Ok(samples);
            }
            let guess = json!({ "code": "0000" });
            let activate =
                async |credentials: &Credentials| environment.client.activate(source, credentials, &guess).await;
            samples.add(&send_pair(&known, &unknown, activate).await?, 401);
        }
    }
    Ok(samples)
}

fn passwords_per_address(environment: &Environment) -> u64 {
    environment.policy.unlocked_passwords_per_network().clamp(1, 4)
}

/// A new source with an open connection, so that connecting is not measured.
async fn warm_source(environment: &Environment) -> Result<Source> {
    let source = environment.client.next_source();
    environment.client.activate(source, &Credentials::throwaway(), &json!({ "code": "" })).await?;
    Ok(source)
}

/// Sends a request for the known and one for the unknown address, in random order. Returns the response for the known
/// one first.
async fn send_pair(
    known: &Credentials,
    unknown: &Credentials,
    send: impl AsyncFn(&Credentials) -> Result<Response>,
) -> Result<[Response; 2]> {
    let known_first = rng::boolean();
    let first = retry_overloaded(|| send(if known_first { known } else { unknown })).await?;
    let second = retry_overloaded(|| send(if known_first { unknown } else { known })).await?;
    Ok(if known_first { [first, second] } else { [second, first] })
}

impl Samples {
    /// Adds a pair of responses, unless one of them has an unexpected status: such a response is not comparable.
    fn add(&mut self, pair: &[Response; 2], expected_status: u16) {
        if pair.iter().all(|response| response.status == expected_status) {
            let [known, unknown] = pair.each_ref().map(|response| response.duration.as_secs_f64() * 1_000.0);
            self.known.push(known);
            self.unknown.push(unknown);
        }
    }

    fn are_enough(&self) -> bool {
        self.known.len().min(self.unknown.len()) >= MIN_SAMPLES
    }

    /// Whether an attacker could tell the addresses apart.
    fn differ(&self) -> bool {
        let test = mann_whitney(&self.unknown, &self.known);
        self.are_enough() && test.p_value < SIGNIFICANCE && test.median_difference.abs() >= MIN_DIFFERENCE_MS
    }

    fn row(&self, check: &str) -> Row {
        let sizes = format!("{} and {} calls", self.known.len(), self.unknown.len());
        if !self.are_enough() {
            let reason = format!("{sizes} are too few; limits, overload or the time limit prevented the others");
            return Row::not_tried(check, &reason);
        }
        let test = mann_whitney(&self.unknown, &self.known);
        let attempts = u64::try_from(self.known.len() + self.unknown.len()).unwrap_or(u64::MAX);
        let note = format!("{sizes}, Δmedian {:+.2} ms, p = {:.3}", test.median_difference, test.p_value);
        Row::compared(check, attempts, self.differ().into(), 0).with_note(&note)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Verdict;

    fn shifted(by_ms: f64) -> Verdict {
        let unknown: Vec<f64> = (0..200).map(|n| 20.0 + f64::from(n % 20) / 10.0).collect();
        let known = unknown.iter().map(|ms| ms + by_ms).collect();
        Samples { unknown, known }.row("x").verdict
    }

    #[test]
    fn pair_with_an_unexpected_status_is_not_counted() {
        let mut samples = Samples::default();
        for statuses in [[401, 401], [401, 429], [503, 401]] {
            samples.add(&statuses.map(|status| Response { status, ..Response::default() }), 401);
        }
        assert_eq!((samples.known.len(), samples.unknown.len()), (1, 1));
    }

    #[test]
    fn only_significant_and_large_differences_count() {
        assert_eq!(
            [0.0, 0.9, 1.1, -1.1].map(shifted),
            [Verdict::Kept, Verdict::Kept, Verdict::Broken, Verdict::Broken]
        );
        let few = Samples { unknown: vec![1.0; 9], known: vec![9.0; 200] };
        assert_eq!(few.row("x").verdict, Verdict::NotTried);
    }
}
