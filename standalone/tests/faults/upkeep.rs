//! What operators and machines do to processes that are well: restart them, stop them for a while, set the clock.

use std::{fs, time::Duration};

use tokio::time::{Instant, sleep};

use crate::{
    bounds::{IN_HAND, May, form},
    node::Part,
    scene::Scene,
    servers,
};

/// One after the other is replaced by a new one, and nobody is refused.
#[tokio::test(flavor = "multi_thread")]
async fn three_apis_and_three_workers_are_replaced_one_by_one() {
    let mut scene = Scene::prepare().await;
    scene.people(3, 3).await;
    let fault = async |scene: &mut Scene| {
        let struck = Instant::now();
        for n in 0..3 {
            let fresh = scene.start_one(Part::Api, &[]).await;
            std::mem::replace(&mut scene.apis[n], fresh).stops().await;
            let fresh = scene.start_one(Part::Worker, &[]).await;
            std::mem::replace(&mut scene.workers[n], fresh).stops().await;
        }
        assert_eq!(scene.history.refusals(struck), [0; 0]);
    };
    scene.survives("rolling restart of 3 APIs and 3 workers", May::default(), fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_stands_still_for_a_while() {
    let fault = async |scene: &mut Scene| {
        scene.workers[0].freeze(true);
        sleep(form().outage).await;
        scene.workers[0].freeze(false);
    };
    Scene::start().await.survives("a worker frozen for a while", May::duplicate(IN_HAND), fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_stands_still_for_a_while() {
    let fault = async |scene: &mut Scene| {
        scene.apis[0].freeze(true);
        sleep(form().outage).await;
        scene.apis[0].freeze(false);
    };
    Scene::start().await.survives("an API frozen for a while", May::duplicate(IN_HAND), fault).await;
}

/// On one API's machine it is a day later, then a day earlier. Codes live by the database's clock.
#[tokio::test(flavor = "multi_thread")]
async fn the_clock_of_an_apis_machine_is_stepped() {
    let library = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";
    assert!(fs::exists(library).unwrap(), "libfaketime is needed: apt-get install libfaketime");
    let folder = servers::home("root");
    let clock = folder.path().join("clock");
    fs::write(&clock, "+0").unwrap();
    let mut scene = Scene::prepare().await;
    let settings = [
        ("LD_PRELOAD", library),
        ("FAKETIME_TIMESTAMP_FILE", clock.to_str().unwrap()),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    let api = scene.start_one(Part::Api, &settings).await;
    scene.apis.push(api);
    scene.people(0, 2).await;
    let door = scene.apis[0].door().to_owned();
    let fault = async |_: &mut Scene| {
        for step in ["+1d", "-1d"] {
            fs::write(&clock, step).unwrap();
            sleep(Duration::from_secs(2)).await;
            assert!(is_a_day_off(&door).await, "the clock was not stepped");
        }
        fs::write(&clock, "+0").unwrap();
    };
    scene.survives("the clock of an API's machine a day off", May::default(), fault).await;
}

/// HTTP's date is that of the machine.
async fn is_a_day_off(door: &str) -> bool {
    let answer = reqwest::get(format!("{door}/health")).await.unwrap();
    let date = answer.headers().get("date").map(|date| date.to_str().unwrap().to_owned()).unwrap_or_default();
    let machine = servers::run(std::process::Command::new("date").args(["-u", "+%d %b %Y"]));
    !date.contains(machine.trim())
}
