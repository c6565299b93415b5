//! Ways between the parts that are slow, unsteady or narrow, all of them at once.

use std::time::Duration;

use tokio::time::sleep;

use crate::{
    bounds::{IN_HAND, May, form},
    scene::Scene,
};
use support::proxy::Way;

fn set(scene: &Scene, way: Way) {
    for link in [&scene.to_postgres, &scene.to_broker, &scene.to_mail] {
        link.set(way);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_link_is_slow() {
    let fault = async |scene: &mut Scene| {
        set(scene, Way::Delayed(Duration::from_millis(50)));
        sleep(form().outage).await;
        set(scene, Way::Open);
    };
    Scene::start().await.survives("every link 50 ms late", May::nothing(), fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_link_carries_single_bytes() {
    let fault = async |scene: &mut Scene| {
        set(scene, Way::Bytewise);
        sleep(form().outage).await;
        set(scene, Way::Open);
    };
    Scene::start().await.survives("every link byte by byte", May::nothing(), fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_link_breaks_again_and_again() {
    let cuts = form().times * 2;
    let fault = async |scene: &mut Scene| {
        for _ in 0..cuts {
            set(scene, Way::Cut);
            sleep(Duration::from_millis(300)).await;
            set(scene, Way::Open);
            sleep(Duration::from_millis(1_200)).await;
        }
    };
    let may = May::duplicate(cuts as usize * 2 * IN_HAND);
    Scene::start().await.survives("every link cut again and again", may, fault).await;
}
