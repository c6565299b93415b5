//! S-07: whether the time of an answer tells anything, by a rank test over interleaved calls.

use serde_json::json;
use tokio::time::{Duration, Instant};

use support::{client::Client, stack::Stack};

/// Calls of each kind.
const CALLS: usize = 1_000;

/// How many addresses share them: each may be asked about a few times only.
const ADDRESSES: usize = 250;

/// Below this, nobody can tell over a network.
const NOTHING: Duration = Duration::from_millis(1);

/// Everybody's hash of another password, so that accounts need not be made one by one.
pub(crate) const HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c29tZSBzYWx0IHdlIHVzZQ$P4Z1jZkLRmCOqS2lR8P0Uj8kMZ6w2m8cDO6bPuYkZ2U";

/// Mann and Whitney's U as a normal deviate: 0 when neither kind tends to be slower.
fn deviate(one: &[Duration], other: &[Duration]) -> f64 {
    let mut all: Vec<_> = one.iter().map(|time| (time, true)).chain(other.iter().map(|time| (time, false))).collect();
    all.sort();
    let ranks: usize = all.iter().enumerate().filter(|(_, (_, first))| *first).map(|(rank, _)| rank + 1).sum();
    let (n, m) = (one.len() as f64, other.len() as f64);
    let u = ranks as f64 - n * (n + 1.0) / 2.0;
    (u - n * m / 2.0) / (n * m * (n + m + 1.0) / 12.0).sqrt()
}

fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort();
    sorted[sorted.len() / 2]
}

/// How far the times of the two kinds are apart, in standard deviations, and their medians.
#[derive(Debug)]
struct Measured {
    deviate: f64,
    medians: [Duration; 2],
}

impl Measured {
    /// A difference is one that is both certain and large enough to be of use.
    fn differs(&self) -> bool {
        self.deviate.abs() >= 3.3 && self.medians[0].abs_diff(self.medians[1]) >= NOTHING
    }
}

/// A difference counts when it is seen twice, in the same direction: in a thousand runs one is seen once by random_id.
async fn compare<F: Future<Output = u16>>(status: u16, call: impl Fn(&'static str, usize) -> F) {
    let first = measure(status, &call).await;
    if !first.differs() {
        return;
    }
    let again = measure(status, &call).await;
    let is_the_same = again.differs() && (again.deviate > 0.0) == (first.deviate > 0.0);
    assert!(!is_the_same, "{first:.1?}, and then {again:.1?}");
}

async fn measure<F: Future<Output = u16>>(status: u16, call: &impl Fn(&'static str, usize) -> F) -> Measured {
    let mut times = [vec![], vec![]];
    for n in 0..CALLS {
        // Each kind goes first as often as the other.
        for kind in if n % 2 == 0 { [0, 1] } else { [1, 0] } {
            let begun = Instant::now();
            assert_eq!(call(["known", "unknown"][kind], n % ADDRESSES).await, status);
            times[kind].push(begun.elapsed());
        }
    }
    Measured { deviate: deviate(&times[0], &times[1]), medians: [median(&times[0]), median(&times[1])] }
}

/// An API without its broker, which has no part in this, and accounts at all `known` addresses.
async fn service() -> (Stack, Client) {
    let stack = Stack::without_broker().await;
    let insert = format!(
        "INSERT INTO users (id, email, password_hash, activated_at, updated_at) \
         SELECT gen_random_uuid(), 'known' || n || '@example.com', '{HASH}', now(), now() \
         FROM generate_series(0, {}) AS n",
        ADDRESSES - 1
    );
    stack.database.execute(&insert, &[]).await;
    let client = stack.start_api(&[("CODES_PER_HOUR", "100"), ("CODES_PER_DAY", "100")]).await.client;
    (stack, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn s_07_registering_takes_as_long_for_an_account_as_for_nobody() {
    let (_stack, client) = service().await;
    compare(202, async |kind, n| client.register(&format!("{kind}{n}@example.com")).await.status).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_07_forgetting_takes_as_long_for_an_account_as_for_nobody() {
    let (_stack, client) = service().await;
    compare(202, async |kind, n| client.forgot(&format!("{kind}{n}@example.com")).await.status).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_07_a_wrong_password_takes_as_long_for_an_account_as_for_nobody() {
    let (_stack, client) = service().await;
    let body = json!({ "code": "0000" });
    compare(401, async |kind, n| {
        let email = format!("{kind}{n}@example.com");
        match n % 2 {
            0 => client.activate_with(&email, "not the password", &body).await.status,
            _ => client.login(&email, "not the password").await.status,
        }
    })
    .await;
}

#[test]
fn the_rank_test_finds_what_is_there() {
    let times =
        |offset: u64| (0..200).map(|n| Duration::from_micros(1_000 + (n * 37) % 500 + offset)).collect::<Vec<_>>();
    assert!(deviate(&times(0), &times(0)).abs() < 0.1);
    assert!(deviate(&times(0), &times(100)) < -3.3 && deviate(&times(100), &times(0)) > 3.3);
}
