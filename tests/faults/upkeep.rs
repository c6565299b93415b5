//! What operators and machines do to processes that are well: restart them, stop them for a while, set the clock.

use std::{fs, time::Duration};

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use crate::{
    bounds::{IN_HAND, May, form},
    node::{Node, Part},
    scene::Scene,
    servers,
};
use support::proxy::{Proxy, Way};

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
        assert_eq!(scene.history.hindrances_in_the_end(struck).await, []);
    };
    scene.survives("rolling restart of 3 APIs and 3 workers", May::nothing(), fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_stands_still_for_a_while() {
    let fault = async |scene: &mut Scene| {
        scene.workers[0].freeze(true);
        // Until the broker misses its heartbeat, and gives what it has in hand to the other one.
        sleep(form().outage.max(Duration::from_secs(25))).await;
        scene.workers[0].freeze(false);
    };
    Scene::start().await.survives("a worker frozen for a while", May::duplicate(IN_HAND), fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_stands_still_for_a_while() {
    let fault = async |scene: &mut Scene| {
        scene.apis[0].freeze(true);
        // Until the leases of its relay have ended.
        sleep(form().outage.max(Duration::from_secs(20))).await;
        scene.apis[0].freeze(false);
    };
    Scene::start().await.survives("an API frozen for a while", May::duplicate(IN_HAND), fault).await;
}

/// I-19: whatever is wrong, they end within ten seconds and with 0, or say that they were cut off.
async fn stop_while(name: &str, link: fn(&Scene) -> &Proxy) {
    let fault = async |scene: &mut Scene| {
        link(scene).set(Way::Held);
        sleep(Duration::from_secs(2)).await;
        let nodes: Vec<_> = scene.apis.drain(..).chain(scene.workers.drain(..)).collect();
        join_all(nodes.into_iter().map(Node::stops_or_says_that_it_was_cut_off)).await;
        link(scene).set(Way::Open);
        scene.people(2, 2).await;
    };
    Scene::start().await.survives(name, May::duplicate(2 * IN_HAND), fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_are_told_to_stop_while_postgres_is_silent() {
    stop_while("SIGTERM to all while Postgres is silent", |scene| &scene.to_postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_are_told_to_stop_while_the_broker_is_silent() {
    stop_while("SIGTERM to all while RabbitMQ is silent", |scene| &scene.to_broker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_are_told_to_stop_while_the_mail_server_is_silent() {
    stop_while("SIGTERM to all while the mail server is silent", |scene| &scene.to_mail).await;
}

/// On one API's machine it is a day later, then a day earlier. Codes live by the database's clock.
#[tokio::test(flavor = "multi_thread")]
async fn the_clock_of_an_apis_machine_is_stepped() {
    let libraries = fs::read_dir("/usr/lib").unwrap().flatten();
    let mut libraries = libraries.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    let library = libraries.find(|library| library.exists()).expect("libfaketime: apt-get install libfaketime");
    let folder = servers::home("root");
    let clock = folder.path().join("clock");
    fs::write(&clock, "+0").unwrap();
    let mut scene = Scene::prepare().await;
    let settings = [
        ("LD_PRELOAD", library.to_str().unwrap()),
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
    scene.survives("the clock of an API's machine a day off", May::nothing(), fault).await;
}

/// HTTP's date is that of the machine.
async fn is_a_day_off(door: &str) -> bool {
    let answer = reqwest::get(format!("{door}/health")).await.unwrap();
    let date = answer.headers().get("date").map(|date| date.to_str().unwrap().to_owned()).unwrap_or_default();
    let machine = servers::run(std::process::Command::new("date").env("LC_ALL", "C").args(["-u", "+%d %b %Y"]));
    !date.contains(machine.trim())
}
