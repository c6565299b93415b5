//! S-07, I-15: response times do not reveal whether an email address has an account. Compares interleaved calls by a
//! rank test.

use serde_json::json;
use tokio::time::{Duration, Instant};

use drill::rank_test::{RankTest, mann_whitney};
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

/// How unlikely a difference must be by chance to count: one in a thousand.
const SIGNIFICANCE: f64 = 0.001;

/// Whether a difference is both significant and large enough to be exploitable.
fn is_exploitable(result: &RankTest) -> bool {
    result.p_value < SIGNIFICANCE && result.median_difference.abs() >= NEGLIGIBLE.as_secs_f64()
}

/// Fails if two measurements differ in the same direction: one of a thousand runs differs once by chance.
async fn compare<F: Future<Output = u16>>(status: u16, call: impl Fn(&'static str, usize) -> F) {
    let first = measure(status, &call).await;
    if !is_exploitable(&first) {
        return;
    }
    let second = measure(status, &call).await;
    let is_confirmed = is_exploitable(&second) && second.median_difference * first.median_difference > 0.0;
    assert!(!is_confirmed, "{first:?}, and then {second:?}");
}

/// Measures `CALLS` calls of each kind, interleaved; each must return `status`.
async fn measure<F: Future<Output = u16>>(status: u16, call: &impl Fn(&'static str, usize) -> F) -> RankTest {
    let mut seconds = [vec![], vec![]];
    for n in 0..CALLS {
        // Alternates which kind goes first.
        for kind in if n % 2 == 0 { [0, 1] } else { [1, 0] } {
            let started = Instant::now();
            assert_eq!(call(["known", "unknown"][kind], n % ADDRESSES).await, status);
            seconds[kind].push(started.elapsed().as_secs_f64());
        }
    }
    mann_whitney(&seconds[0], &seconds[1])
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
