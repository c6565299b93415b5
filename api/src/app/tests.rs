//! The shared state for unit tests of what needs no server.

use super::*;
use crate::{
    domain::{outbox_capacity::MaxInFlight, password::recipe::Costs, policy::tests::policy},
    password_hashing::{EngineKind, HashMetrics, HashSettings},
};
use shared::{postgres, secret_key::SecretKey, telemetry::metrics::Registry};
use std::time::Duration;

const SECRET: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";
const COSTS: Costs = Costs { memory_kib: Costs::MIN_MEMORY_KIB, passes: 1 };

/// The state with the default policy and one code secret, `a`. Nothing listens at the address of its database.
pub(crate) fn app() -> App {
    app_with_database("postgres://api@127.0.0.1:1/none")
}

/// The same with another database.
pub(crate) fn app_with_database(url: &str) -> App {
    let registry = Registry::default();
    let metrics = Metrics::new(&registry);
    let hashing =
        HashSettings { engine: EngineKind::Reference, costs: COSTS, threads: 1, max_wait: Duration::from_secs(60) };
    App {
        store: Store::new(postgres::pool(&url.into(), 1).unwrap()),
        health_database: postgres::pool(&url.into(), 1).unwrap(),
        code_secrets: CodeSecrets::parse(&format!("a:{SECRET}")).unwrap(),
        subject_key: SubjectKey(SecretKey::parse(SECRET).unwrap()),
        policy: policy(),
        hash_pool: HashPool::start(hashing, HashMetrics::new(&registry)).unwrap(),
        breached_passwords: BreachedPasswords::new(None),
        rejection_cache: RejectionCache::new(),
        password_checks: PasswordChecks::new(None),
        attempt_queues: AttemptQueues::new().0,
        instance_guesses: InstanceGuesses::default(),
        activation_counts: ActivationCounts::default(),
        relay_wakeup: Arc::default(),
        outbox_positions: Arc::new(ReadPositions::new()),
        delivery: OutboxDelivery {
            deliver: Arc::new(|_| Box::pin(async { Ok(()) })),
            is_up: Arc::new(|| true),
            max_in_flight: Arc::new(|| MaxInFlight::of_each(1)),
            look_at_queue: None,
            drain_timeout: Duration::ZERO,
        },
        public_url: String::new(),
        events: EventWriter { source: String::new(), with_email: false },
        trusted_proxies: TrustedProxies::default(),
        untrusted_proxy: OnceLock::new(),
        subscribers: Arc::new(Subscribers::new(1, metrics.streams.clone())),
        metrics,
    }
}

#[tokio::test]
async fn salt_of_a_first_hash_follows_from_the_address() {
    let app = app();
    let recipe = |address| app.first_recipe(&EmailAddress::parse(address).unwrap());
    assert!(recipe("ada@example.com") == recipe("ada@example.com"));
    assert!(recipe("ada@example.com").salt != recipe("bob@example.com").salt);
    assert_eq!(recipe("ada@example.com").costs, COSTS);
}
