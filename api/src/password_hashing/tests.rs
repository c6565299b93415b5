//! Every password gets its own answer, and none is hashed for nobody.

use super::*;
use crate::domain::password::{Password, proof::Proof};

const CHEAP: Costs = Costs { memory_kib: 8, passes: 1 };

fn pool(threads: usize, max_wait: Duration, costs: Costs) -> HashPool {
    start(HashSettings { engine: EngineKind::Fast, costs, threads, max_wait })
}

fn start(settings: HashSettings) -> HashPool {
    HashPool::start(settings, HashMetrics::new(&shared::telemetry::metrics::Registry::default())).unwrap()
}

fn recipe(costs: Costs) -> Recipe {
    Recipe { costs, salt: [1; 16] }
}

async fn prove(pool: &HashPool, password: &str, costs: Costs) -> Result<Proof, Overloaded> {
    pool.admit(Priority::Entering)?.prove(Password::given(password).unwrap(), recipe(costs)).await
}

#[tokio::test]
async fn a_password_is_proved_by_the_same_password_only() {
    let pool = pool(2, Duration::from_secs(60), CHEAP);
    let (one, other) = tokio::join!(prove(&pool, "correct horse", CHEAP), prove(&pool, "another horse", CHEAP));
    let stored = one.unwrap().to_stored().unwrap();
    assert!(!other.unwrap().matches(&stored));
    assert!(prove(&pool, "correct horse", CHEAP).await.unwrap().matches(&stored));
}

#[tokio::test]
async fn a_hash_of_other_costs_is_proved_too() {
    let old = Costs { memory_kib: 16, passes: 2 };
    let pool = pool(1, Duration::from_secs(60), Costs { memory_kib: 64, passes: 2 });
    let stored = prove(&pool, "correct horse", old).await.unwrap().to_stored().unwrap();
    assert!(stored.contains("m=16,t=2,p=1"), "{stored}");
    assert!(prove(&pool, "correct horse", old).await.unwrap().matches(&stored));
}

#[tokio::test]
async fn both_engines_make_the_same_of_a_password() {
    let settings =
        HashSettings { engine: EngineKind::Reference, costs: CHEAP, threads: 1, max_wait: Duration::from_secs(60) };
    let (fast, reference) = (pool(1, settings.max_wait, CHEAP), start(settings));
    let stored = prove(&fast, "correct horse", CHEAP).await.unwrap().to_stored().unwrap();
    assert!(prove(&reference, "correct horse", CHEAP).await.unwrap().matches(&stored));
}

#[tokio::test]
async fn a_burst_is_refused_at_the_door_and_the_places_come_back() {
    let slow = Costs { memory_kib: 19_456, passes: 2 };
    let pool = pool(1, Duration::from_millis(200), slow);
    let places: Vec<_> = std::iter::from_fn(|| pool.admit(Priority::RegisterRequest).ok()).take(2_000).collect();
    assert!((1..1_024).contains(&places.len()), "{} places", places.len());
    assert!(pool.admit(Priority::Entering).is_ok(), "who enters does not wait behind those who register");
    drop(places);
    assert!(pool.admit(Priority::RegisterRequest).is_ok());
}

#[tokio::test]
async fn who_has_gone_costs_no_hash() {
    let pool = pool(1, Duration::from_secs(60), Costs { memory_kib: 19_456, passes: 2 });
    // Before the cheap one below, which takes part in it.
    let one = pool.shared.queue().pace();
    for _ in 0..200 {
        let place = pool.admit(Priority::RegisterRequest).unwrap();
        let wish = place.prove(Password::given("correct horse").unwrap(), recipe(pool.costs()));
        // Asked for once, and dropped.
        assert!(futures_util::FutureExt::now_or_never(wish).is_none());
    }
    let begun = now();
    prove(&pool, "correct horse", CHEAP).await.unwrap();
    let took = now() - begun;
    assert!(took < one * 100, "200 passwords of clients that had gone were hashed: {took:?} at {one:?} each");
}
