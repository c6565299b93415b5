//! All connections to Postgres, the broker and the mail server are slow, split into single bytes, or break.

use std::time::Duration;

use tokio::time::sleep;

use crate::harness::{
    environment::Environment,
    tolerance::{MAX_IN_FLIGHT, Tolerance, schedule},
};
use support::proxy::ProxyMode;

/// Sets the mode of all three proxies.
fn set_all(environment: &Environment, mode: ProxyMode) {
    for link in [&environment.to_postgres, &environment.to_broker, &environment.to_mail] {
        link.set(mode);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_links_lose_nothing() {
    let fault = async |environment: &mut Environment| {
        set_all(environment, ProxyMode::Delayed(Duration::from_millis(50)));
        sleep(schedule().outage).await;
        set_all(environment, ProxyMode::Open);
    };
    Environment::start().await.assert_survives("every link 50 ms late", Tolerance::none(), fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn single_byte_packets_lose_nothing() {
    let fault = async |environment: &mut Environment| {
        set_all(environment, ProxyMode::Bytewise);
        sleep(schedule().outage).await;
        set_all(environment, ProxyMode::Open);
    };
    Environment::start().await.assert_survives("every link byte by byte", Tolerance::none(), fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn repeatedly_cut_links_lose_nothing() {
    let cuts = schedule().repetitions * 2;
    let fault = async |environment: &mut Environment| {
        for _ in 0..cuts {
            set_all(environment, ProxyMode::Closed);
            sleep(Duration::from_millis(300)).await;
            set_all(environment, ProxyMode::Open);
            sleep(Duration::from_millis(1_200)).await;
        }
    };
    let tolerance = Tolerance::duplicates_up_to(cuts as usize * 2 * MAX_IN_FLIGHT);
    Environment::start().await.assert_survives("every link cut again and again", tolerance, fault).await;
}
