//! Tests of the hash pool with real threads.

use super::*;
use crate::domain::password::{Password, computed_hash::ComputedHash};

const CHEAP: Costs = Costs { memory_kib: 8, passes: 1 };

fn pool(threads: usize, max_wait: Duration, costs: Costs) -> HashPool {
    start(HashSettings { engine: EngineKind::Fast, costs, threads, max_wait })
}

fn start(settings: HashSettings) -> HashPool {
    HashPool::start(settings, HashMetrics::new(&shared::telemetry::metrics::Registry::default())).unwrap()
}

fn network() -> Network {
    Network::of(std::net::Ipv4Addr::LOCALHOST.into())
}

fn recipe(costs: Costs) -> Recipe {
    Recipe { costs, salt: [1; 16] }
}

async fn hash_password(pool: &HashPool, password: &str, costs: Costs) -> Result<ComputedHash, Overloaded> {
    pool.reserve(network(), Priority::High)?.hash(Password::parse(password).unwrap(), recipe(costs)).await
}

#[tokio::test]
async fn hash_matches_the_same_password_only() {
    let pool = pool(2, Duration::from_secs(60), CHEAP);
    let (first, second) =
        tokio::join!(hash_password(&pool, "correct horse", CHEAP), hash_password(&pool, "another horse", CHEAP));
    let stored = first.unwrap().to_stored().unwrap();
    assert!(!second.unwrap().matches(&stored));
    assert!(hash_password(&pool, "correct horse", CHEAP).await.unwrap().matches(&stored));
}

#[tokio::test]
async fn hash_with_other_costs_is_verified_too() {
    let old = Costs { memory_kib: 16, passes: 2 };
    let pool = pool(1, Duration::from_secs(60), Costs { memory_kib: 64, passes: 2 });
    let stored = hash_password(&pool, "correct horse", old).await.unwrap().to_stored().unwrap();
    assert!(stored.contains("m=16,t=2,p=1"), "{stored}");
    assert!(hash_password(&pool, "correct horse", old).await.unwrap().matches(&stored));
}

#[tokio::test]
async fn both_engines_compute_the_same_hash() {
    let settings =
        HashSettings { engine: EngineKind::Reference, costs: CHEAP, threads: 1, max_wait: Duration::from_secs(60) };
    let (fast, reference) = (pool(1, settings.max_wait, CHEAP), start(settings));
    let stored = hash_password(&fast, "correct horse", CHEAP).await.unwrap().to_stored().unwrap();
    assert!(hash_password(&reference, "correct horse", CHEAP).await.unwrap().matches(&stored));
}

#[tokio::test]
async fn burst_is_rejected_and_dropped_permits_are_released() {
    let slow = Costs { memory_kib: 19_456, passes: 2 };
    let pool = pool(1, Duration::from_millis(200), slow);
    let permits: Vec<_> = std::iter::from_fn(|| pool.reserve(network(), Priority::Low).ok()).take(2_000).collect();
    assert!((1..1_024).contains(&permits.len()), "{} permits", permits.len());
    assert!(pool.reserve(network(), Priority::High).is_ok(), "high priority does not wait behind low priority");
    drop(permits);
    assert!(pool.reserve(network(), Priority::Low).is_ok());
}

#[tokio::test]
async fn dropped_requests_are_not_hashed() {
    let registry = shared::telemetry::metrics::Registry::default();
    let slow = Costs { memory_kib: 19_456, passes: 2 };
    let max_wait = Duration::from_secs(60);
    let settings = HashSettings { engine: EngineKind::Fast, costs: slow, threads: 1, max_wait };
    let pool = HashPool::start(settings, HashMetrics::new(&registry)).unwrap();
    let hash = |costs| {
        let permit = pool.reserve(network(), Priority::Low).unwrap();
        permit.hash(Password::parse("correct horse").unwrap(), recipe(costs))
    };
    for _ in 0..200 {
        // Polled once, and dropped.
        assert!(futures_util::FutureExt::now_or_never(hash(slow)).is_none());
    }
    hash(CHEAP).await.unwrap();
    let text = registry.text();
    let hashes = text.lines().find_map(|line| line.strip_prefix("vestibule_hash_seconds_count "));
    // A hash that has begun is finished.
    assert!(hashes.unwrap().parse::<u32>().unwrap() < 50, "passwords of dropped requests were hashed: {text}");
}
