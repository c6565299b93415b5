//! S-07, I-15: response times do not reveal whether an email address has an account. Compares interleaved calls by a
//! rank test.

use serde_json::json;
use tokio::time::{Duration, Instant};

use support::{client::Client, stack::Stack};

/// Calls for each kind of email address.
const CALLS: usize = 1_000;

/// How many email addresses share the calls: the limits allow only a few calls for each.
const ADDRESSES: usize = 250;

/// A smaller difference cannot be measured over a network.
const NEGLIGIBLE: Duration = Duration::from_millis(1);

/// A hash of some other password, so that accounts can be inserted without hashing.
pub(crate) const OTHER_PASSWORD_HASH: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$c29tZSBzYWx0IHdlIHVzZQ$P4Z1jZkLRmCOqS2lR8P0Uj8kMZ6w2m8cDO6bPuYkZ2U";

/// The Mann-Whitney U as a standard normal deviate: 0 when neither sample tends to be slower.
fn deviate(first: &[Duration], second: &[Duration]) -> f64 {
    let mut all: Vec<_> =
        first.iter().map(|time| (time, true)).chain(second.iter().map(|time| (time, false))).collect();
    all.sort();
    let ranks: usize = all.iter().enumerate().filter(|(_, (_, is_first))| *is_first).map(|(rank, _)| rank + 1).sum();
    let (n, m) = (first.len() as f64, second.len() as f64);
    let u = ranks as f64 - n * (n + 1.0) / 2.0;
    (u - n * m / 2.0) / (n * m * (n + m + 1.0) / 12.0).sqrt()
}

fn median(times: &[Duration]) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort();
    sorted[sorted.len() / 2]
}

/// The difference between the two kinds in standard deviations, and the median of each.
#[derive(Debug)]
struct Measured {
    deviate: f64,
    medians: [Duration; 2],
}

impl Measured {
    /// Whether the difference is both significant and large enough to be exploitable.
    fn differs(&self) -> bool {
        self.deviate.abs() >= 3.3 && self.medians[0].abs_diff(self.medians[1]) >= NEGLIGIBLE
    }
}

/// Fails if two measurements differ in the same direction: one of a thousand runs differs once by chance.
async fn compare<F: Future<Output = u16>>(status: u16, call: impl Fn(&'static str, usize) -> F) {
    let first = measure(status, &call).await;
    if !first.differs() {
        return;
    }
    let second = measure(status, &call).await;
    let is_confirmed = second.differs() && (second.deviate > 0.0) == (first.deviate > 0.0);
    assert!(!is_confirmed, "{first:.1?}, and then {second:.1?}");
}

/// Measures `CALLS` calls of each kind, interleaved; each must return `status`.
async fn measure<F: Future<Output = u16>>(status: u16, call: &impl Fn(&'static str, usize) -> F) -> Measured {
    let mut times = [vec![], vec![]];
    for n in 0..CALLS {
        // Alternates which kind goes first.
        for kind in if n % 2 == 0 { [0, 1] } else { [1, 0] } {
            let started = Instant::now();
            assert_eq!(call(["known", "unknown"][kind], n % ADDRESSES).await, status);
            times[kind].push(started.elapsed());
        }
    }
    Measured { deviate: deviate(&times[0], &times[1]), medians: [median(&times[0]), median(&times[1])] }
}

/// An API without a broker (no request needs it), and accounts for all `known` email addresses.
async fn api_with_accounts() -> (Stack, Client) {
    let stack = Stack::without_broker().await;
    let insert = format!(
        "INSERT INTO users (id, email, password_hash, activated_at, updated_at) \
         SELECT gen_random_uuid(), 'known' || n || '@example.com', '{OTHER_PASSWORD_HASH}', now(), now() \
         FROM generate_series(0, {}) AS n",
        ADDRESSES - 1
    );
    stack.database.execute(&insert, &[]).await;
    let client = stack.start_api(&[("CODES_PER_HOUR", "100"), ("CODES_PER_DAY", "100")]).await.client;
    (stack, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn s_07_registration_time_does_not_reveal_accounts() {
    let (_stack, client) = api_with_accounts().await;
    compare(202, async |kind, n| client.register(&format!("{kind}{n}@example.com")).await.status).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_07_forgot_password_time_does_not_reveal_accounts() {
    let (_stack, client) = api_with_accounts().await;
    compare(202, async |kind, n| client.request_reset(&format!("{kind}{n}@example.com")).await.status).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn s_07_wrong_password_time_does_not_reveal_accounts() {
    let (_stack, client) = api_with_accounts().await;
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
fn rank_test_detects_a_shift() {
    let times =
        |offset: u64| (0..200).map(|n| Duration::from_micros(1_000 + (n * 37) % 500 + offset)).collect::<Vec<_>>();
    assert!(deviate(&times(0), &times(0)).abs() < 0.1);
    assert!(deviate(&times(0), &times(100)) < -3.3 && deviate(&times(100), &times(0)) > 3.3);
}
