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
    let pool = pool(1, Duration::from_secs(60), Costs { memory_kib: 19_456, passes: 2 });
    // Read before the cheap hash below, which changes the average.
    let hash_time = pool.shared.queue().hash_time();
    for _ in 0..200 {
        let permit = pool.reserve(network(), Priority::Low).unwrap();
        let hashing = permit.hash(Password::parse("correct horse").unwrap(), recipe(pool.costs()));
        // Polled once, and dropped.
        assert!(futures_util::FutureExt::now_or_never(hashing).is_none());
    }
    let started_at = now();
    hash_password(&pool, "correct horse", CHEAP).await.unwrap();
    let took = now() - started_at;
    assert!(took < hash_time * 100, "200 passwords of dropped requests were hashed: {took:?} at {hash_time:?} each");
}
