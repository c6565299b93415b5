//! Asks the same of unknown and known addresses in turn, and compares how long the answers take.

use anyhow::Result;
use serde_json::json;

use super::{Ground, Row};
use crate::{
    answer::Answer,
    attacker::{Account, patiently},
    chance, ranks,
    sources::Source,
};

/// A difference that somebody can use: seen beyond doubt, and large enough to be seen across a network.
const P: f64 = 0.001;
const DELTA_MS: f64 = 1.0;

/// Fewer on either side say nothing.
const FEWEST: usize = 10;

/// So many addresses are asked about from one network: it may try only so many passwords.
const FROM_ONE_SOURCE: usize = 5;

/// Milliseconds for addresses that are unknown and known.
#[derive(Default)]
struct Samples {
    unknown: Vec<f64>,
    known: Vec<f64>,
}

/// By what was asked.
type Measured = Vec<(&'static str, Samples)>;

/// A difference counts when it is seen twice: in a thousand drills one is seen once by chance.
pub(super) async fn play(ground: &Ground) -> Result<Vec<Row>> {
    let first = measure(ground).await?;
    if !first.iter().any(|(_, samples)| samples.differ()) {
        return Ok(first.iter().map(|(what, samples)| samples.row(what)).collect());
    }
    let again = measure(ground).await?;
    let judge = |((what, first), (_, again)): (&(&str, Samples), &(&str, Samples))| {
        let second = first.differ() && again.are_enough();
        if second { again.row(what) } else { first.row(what) }
    };
    Ok(first.iter().zip(&again).map(judge).collect())
}

async fn measure(ground: &Ground) -> Result<Measured> {
    let (registering, pending) = register(ground).await?;
    let passwords = guess_passwords(ground, &pending, FROM_ONE_SOURCE).await?;
    let mut measured = vec![
        ("time: registering, pending or unknown", registering),
        ("time: wrong password, pending or unknown", passwords),
    ];
    if let Some(active) = &ground.arguments.active {
        // Half of what locks nothing: it may be measured twice.
        let networks = ground.promise.harmless_passwords().1 / 2 / tries(ground);
        let networks = if ground.attacker.has_many_sources() { usize::try_from(networks)? } else { 1 };
        let passwords = guess_passwords(ground, &vec![active.clone(); networks], 1).await?;
        measured.push(("time: wrong password, active or unknown", passwords));
    }
    Ok(measured)
}

/// Each address is registered twice: when nobody knows it, and later again. Returns those that are pending now.
async fn register(ground: &Ground) -> Result<(Samples, Vec<String>)> {
    let (mut samples, mut pending) = (Samples::default(), Vec::<String>::new());
    let mut source = warm(ground).await?;
    let (mut refused, is_full) = (false, |source| ground.attacker.registrations_left(&ground.promise, source) < 2);
    for _ in 0..=ground.arguments.calls / 4 {
        if refused || is_full(source) {
            source = warm(ground).await?;
        }
        if ground.attacker.is_over() || is_full(source) || refused && !ground.attacker.has_many_sources() {
            break;
        }
        let (new, old) = (Account::throw_away(), pending.last().map(|email| Account::at(email)));
        let register = async |who: &Account| ground.attacker.register(source, who).await;
        refused = if let Some(old) = &old {
            let pair = both(old, &new, register).await?;
            samples.note(&pair, 202);
            pair.iter().any(|answer| answer.status == 429)
        } else {
            // The first one of all has nobody to be compared with.
            patiently(|| register(&new)).await?.status == 429
        };
        pending.push(new.email);
    }
    Ok((samples, pending))
}

/// A few wrong passwords for each, too few to lock it, in turn with as many for addresses that nobody has. They come
/// from where nobody asked for a code: of those who did less is written down, and they know that they did.
async fn guess_passwords(ground: &Ground, known: &[String], from_one_source: usize) -> Result<Samples> {
    let (mut samples, mut source) = (Samples::default(), warm(ground).await?);
    for (n, email) in known.iter().enumerate() {
        if n > 0 && n % from_one_source == 0 {
            source = warm(ground).await?;
        }
        let (known, unknown) = (Account::at(email), Account::throw_away());
        for _ in 0..tries(ground) {
            if samples.known.len() >= ground.arguments.calls || ground.attacker.is_over() {
                return Ok(samples);
            }
            let guess = json!({ "code": "0000" });
            let ask = async |who: &Account| ground.attacker.activate(source, who, &guess).await;
            samples.note(&both(&known, &unknown, ask).await?, 401);
        }
    }
    Ok(samples)
}

fn tries(ground: &Ground) -> u64 {
    ground.promise.harmless_passwords().0.clamp(1, 4)
}

/// A source whose connection stands.
async fn warm(ground: &Ground) -> Result<Source> {
    let source = ground.attacker.fresh_source();
    ground.attacker.activate(source, &Account::throw_away(), &json!({ "code": "" })).await?;
    Ok(source)
}

/// The answer for who is known, and that for who is not, asked for in any order.
async fn both(
    known: &Account,
    unknown: &Account,
    ask: impl AsyncFn(&Account) -> Result<Answer>,
) -> Result<[Answer; 2]> {
    let known_first = chance::coin();
    let first = patiently(|| ask(if known_first { known } else { unknown })).await?;
    let second = patiently(|| ask(if known_first { unknown } else { known })).await?;
    Ok(if known_first { [first, second] } else { [second, first] })
}

impl Samples {
    /// Other answers are not what is measured, nor is one that has lost its counterpart.
    fn note(&mut self, pair: &[Answer; 2], expected: u16) {
        if pair.iter().all(|answer| answer.status == expected) {
            let [known, unknown] = pair.each_ref().map(|answer| answer.took.as_secs_f64() * 1_000.0);
            self.known.push(known);
            self.unknown.push(unknown);
        }
    }

    fn are_enough(&self) -> bool {
        self.known.len().min(self.unknown.len()) >= FEWEST
    }

    fn differ(&self) -> bool {
        let compared = ranks::compare(&self.unknown, &self.known);
        self.are_enough() && compared.p < P && compared.delta.abs() >= DELTA_MS
    }

    fn row(&self, what: &str) -> Row {
        let sizes = format!("{} and {} calls", self.known.len(), self.unknown.len());
        if !self.are_enough() {
            let why = format!("{sizes} are too few: limits, an overload or the time held the rest");
            return Row::not_tried(what, &why);
        }
        let compared = ranks::compare(&self.unknown, &self.known);
        let attempts = u64::try_from(self.known.len() + self.unknown.len()).unwrap_or(u64::MAX);
        let note = format!("{sizes}, Δmedian {:+.2} ms, p = {:.3}", compared.delta, compared.p);
        Row::judged(what, attempts, self.differ().into(), 0).with_note(&note)
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
    fn an_answer_without_its_counterpart_is_not_counted() {
        let mut samples = Samples::default();
        for statuses in [[401, 401], [401, 429], [503, 401]] {
            samples.note(&statuses.map(|status| Answer { status, ..Answer::default() }), 401);
        }
        assert_eq!((samples.known.len(), samples.unknown.len()), (1, 1));
    }

    #[test]
    fn a_difference_is_one_that_is_certain_and_large_enough() {
        assert_eq!(
            [0.0, 0.9, 1.1, -1.1].map(shifted),
            [Verdict::Kept, Verdict::Kept, Verdict::Broken, Verdict::Broken]
        );
        let few = Samples { unknown: vec![1.0; 9], known: vec![9.0; 200] };
        assert_eq!(few.row("x").verdict, Verdict::NotTried);
    }
}
