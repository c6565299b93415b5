//! Ways between the parts that are slow, unsteady or narrow, all of them at once.

use std::time::Duration;

use tokio::time::sleep;

use crate::harness::{
    environment::Environment,
    tolerance::{Allowed, IN_HAND, form},
};
use support::proxy::ProxyMode;

fn set(environment: &Environment, way: ProxyMode) {
    for link in [&environment.to_postgres, &environment.to_broker, &environment.to_mail] {
        link.set(way);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_link_is_slow() {
    let fault = async |environment: &mut Environment| {
        set(environment, ProxyMode::Delayed(Duration::from_millis(50)));
        sleep(form().outage).await;
        set(environment, ProxyMode::Open);
    };
    Environment::start().await.survives("every link 50 ms late", Allowed::nothing(), fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_link_carries_single_bytes() {
    let fault = async |environment: &mut Environment| {
        set(environment, ProxyMode::Bytewise);
        sleep(form().outage).await;
        set(environment, ProxyMode::Open);
    };
    Environment::start().await.survives("every link byte by byte", Allowed::nothing(), fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_link_breaks_again_and_again() {
    let cuts = form().times * 2;
    let fault = async |environment: &mut Environment| {
        for _ in 0..cuts {
            set(environment, ProxyMode::Cut);
            sleep(Duration::from_millis(300)).await;
            set(environment, ProxyMode::Open);
            sleep(Duration::from_millis(1_200)).await;
        }
    };
    let may = Allowed::duplicate(cuts as usize * 2 * IN_HAND);
    Environment::start().await.survives("every link cut again and again", may, fault).await;
}
