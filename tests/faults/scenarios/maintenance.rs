//! What operators and machines do to processes that are well: restart them, stop them for a while, set the clock.

use std::{fs, time::Duration};

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use crate::harness::{
    environment::Environment,
    servers,
    service_process::{Node, Part},
    tolerance::{Allowed, IN_HAND, form},
};
use support::proxy::{Proxy, ProxyMode};

/// One after the other is replaced by a new one, and nobody is refused.
#[tokio::test(flavor = "multi_thread")]
async fn three_apis_and_three_workers_are_replaced_one_by_one() {
    let mut environment = Environment::prepare().await;
    environment.people(3, 3).await;
    let fault = async |environment: &mut Environment| {
        let struck = Instant::now();
        for n in 0..3 {
            let fresh = environment.start_one(Part::Api, &[]).await;
            std::mem::replace(&mut environment.apis[n], fresh).stops().await;
            let fresh = environment.start_one(Part::Worker, &[]).await;
            std::mem::replace(&mut environment.workers[n], fresh).stops().await;
        }
        assert_eq!(environment.history.hindrances_in_the_end(struck).await, []);
    };
    environment.survives("rolling restart of 3 APIs and 3 workers", Allowed::nothing(), fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_stands_still_for_a_while() {
    let fault = async |environment: &mut Environment| {
        environment.workers[0].freeze(true);
        // Until the broker misses its heartbeat, and gives what it has in hand to the other one.
        sleep(form().outage.max(Duration::from_secs(25))).await;
        environment.workers[0].freeze(false);
    };
    Environment::start().await.survives("a worker frozen for a while", Allowed::duplicate(IN_HAND), fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_stands_still_for_a_while() {
    let fault = async |environment: &mut Environment| {
        environment.apis[0].freeze(true);
        // Until the leases of its relay have ended.
        sleep(form().outage.max(Duration::from_secs(20))).await;
        environment.apis[0].freeze(false);
    };
    Environment::start().await.survives("an API frozen for a while", Allowed::duplicate(IN_HAND), fault).await;
}

/// I-19: whatever is wrong, they end within ten seconds and with 0, or say that they were cut off.
async fn stop_while(name: &str, link: fn(&Environment) -> &Proxy) {
    let fault = async |environment: &mut Environment| {
        link(environment).set(ProxyMode::Held);
        sleep(Duration::from_secs(2)).await;
        let nodes: Vec<_> = environment.apis.drain(..).chain(environment.workers.drain(..)).collect();
        join_all(nodes.into_iter().map(Node::stops_or_says_that_it_was_cut_off)).await;
        link(environment).set(ProxyMode::Open);
        environment.people(2, 2).await;
    };
    Environment::start().await.survives(name, Allowed::duplicate(2 * IN_HAND), fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_are_told_to_stop_while_postgres_is_silent() {
    stop_while("SIGTERM to all while Postgres is silent", |environment| &environment.to_postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_are_told_to_stop_while_the_broker_is_silent() {
    stop_while("SIGTERM to all while RabbitMQ is silent", |environment| &environment.to_broker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_are_told_to_stop_while_the_mail_server_is_silent() {
    stop_while("SIGTERM to all while the mail server is silent", |environment| &environment.to_mail).await;
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
    let mut environment = Environment::prepare().await;
    let settings = [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("FAKETIME_TIMESTAMP_FILE", clock.to_str().unwrap()),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    let api = environment.start_one(Part::Api, &settings).await;
    environment.apis.push(api);
    environment.people(0, 2).await;
    let door = environment.apis[0].door().to_owned();
    let fault = async |_: &mut Environment| {
        for step in ["+1d", "-1d"] {
            fs::write(&clock, step).unwrap();
            sleep(Duration::from_secs(2)).await;
            assert!(is_a_day_off(&door).await, "the clock was not stepped");
        }
        fs::write(&clock, "+0").unwrap();
    };
    environment.survives("the clock of an API's machine a day off", Allowed::nothing(), fault).await;
}

/// HTTP's date is that of the machine.
async fn is_a_day_off(door: &str) -> bool {
    let answer = reqwest::get(format!("{door}/health")).await.unwrap();
    let date = answer.headers().get("date").map(|date| date.to_str().unwrap().to_owned()).unwrap_or_default();
    let machine = servers::run(std::process::Command::new("date").env("LC_ALL", "C").args(["-u", "+%d %b %Y"]));
    !date.contains(machine.trim())
}
