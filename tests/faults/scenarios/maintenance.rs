//! Rolling restarts, frozen processes, shutdown while a server is silent, and clock changes.

use std::{fs, time::Duration};

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use crate::harness::{
    environment::Environment,
    servers,
    service_process::{Service, ServiceProcess},
    tolerance::{MAX_IN_FLIGHT, Tolerance, schedule},
};
use support::{
    fake_smtp::behaviour::{Behaviour, Stage},
    proxy::{Proxy, ProxyMode},
};

/// Each process is replaced by a new one, and no request fails.
#[tokio::test(flavor = "multi_thread")]
async fn rolling_restart_fails_no_request() {
    let mut environment = Environment::prepare().await;
    environment.start_processes(3, 3).await;
    let fault = async |environment: &mut Environment| {
        let fault_started = Instant::now();
        replace_all(environment).await;
        assert_eq!(environment.history.failures_after_waiting(fault_started).await, []);
    };
    environment.assert_survives("rolling restart of 3 APIs and 3 workers", Tolerance::none(), fault).await;
}

/// Replaces the processes one after the other by new ones with the current settings.
async fn replace_all(environment: &mut Environment) {
    for n in 0..environment.apis.len().max(environment.workers.len()) {
        if n < environment.workers.len() {
            let replacement = environment.start_process(Service::Worker, &[]).await;
            std::mem::replace(&mut environment.workers[n], replacement).stop().await;
        }
        if n < environment.apis.len() {
            let replacement = environment.start_process(Service::Api, &[]).await;
            std::mem::replace(&mut environment.apis[n], replacement).stop().await;
        }
    }
}

/// The only code secret is replaced by another one in the steps of docs/RUNBOOK.md, and no request fails: the new secret
/// is known to all processes before the first of them uses it, and the old one is removed when its codes are used up.
#[tokio::test(flavor = "multi_thread")]
async fn rotated_code_secret_fails_no_request() {
    let fault = async |environment: &mut Environment| {
        let fault_started = Instant::now();
        let old = environment.variables(&[])["CODE_SECRETS"].clone();
        let new = "new:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
        for ring in [format!("{old},{new}"), format!("{new},{old}")] {
            environment.set("CODE_SECRETS", &ring);
            replace_all(environment).await;
        }
        // Users who are done need no code any more. An operator waits until the codes have expired.
        let old_is_unused = Instant::now();
        let is_finished = async || environment.history.is_finished_before(old_is_unused);
        servers::wait_until("the users with codes of the old secret are done", is_finished).await;
        environment.set("CODE_SECRETS", new);
        replace_all(environment).await;
        assert_eq!(environment.history.failures_after_waiting(fault_started).await, []);
    };
    Environment::start().await.assert_survives("a code secret rotated", Tolerance::none(), fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frozen_worker_loses_nothing() {
    let fault = async |environment: &mut Environment| {
        environment.workers[0].freeze(true);
        // Until the broker misses heartbeats, and redelivers the messages to the other worker.
        sleep(schedule().outage.max(Duration::from_secs(25))).await;
        environment.workers[0].freeze(false);
    };
    Environment::start()
        .await
        .assert_survives("a worker frozen for a while", Tolerance::duplicates_up_to(MAX_IN_FLIGHT), fault)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frozen_api_loses_nothing() {
    let fault = async |environment: &mut Environment| {
        environment.apis[0].freeze(true);
        // Until the leases of its relay have expired.
        sleep(schedule().outage.max(Duration::from_secs(20))).await;
        environment.apis[0].freeze(false);
    };
    Environment::start()
        .await
        .assert_survives("an API frozen for a while", Tolerance::duplicates_up_to(MAX_IN_FLIGHT), fault)
        .await;
}

/// I-06, I-19: each worker is replaced while the mail server needs 20 s for its answer to a mail. A deployment is no fault:
/// no mail is sent twice.
#[tokio::test(flavor = "multi_thread")]
async fn rolling_restart_with_slow_mail_server_repeats_no_mail() {
    let mut environment = Environment::prepare().await;
    // Enough connections that mails are late, and do not pile up.
    environment.set("WORKER_CONCURRENCY", "128");
    environment.start_processes(2, 3).await;
    let fault = async |environment: &mut Environment| {
        environment.mail_server.script_after(0, Behaviour::Slow(Stage::Dot, Duration::from_secs(20)));
        // Until each connection of the workers has a mail that is slow.
        sleep(Duration::from_secs(5)).await;
        for n in 0..environment.workers.len() {
            let replacement = environment.start_process(Service::Worker, &[]).await;
            std::mem::replace(&mut environment.workers[n], replacement).stop().await;
        }
        environment.mail_server.script_after(usize::MAX, Behaviour::Cut(Stage::Dot));
    };
    let name = "rolling restart of 3 workers, 20 s for each mail";
    environment.assert_survives(name, Tolerance::none(), fault).await;
}

/// I-19: all processes get SIGTERM while a link is silent. Each exits within ten seconds, with 0 or a logged timeout.
async fn stop_all_while_silent(name: &str, link: fn(&Environment) -> &Proxy) {
    let fault = async |environment: &mut Environment| {
        link(environment).set(ProxyMode::Stalled);
        sleep(Duration::from_secs(2)).await;
        let processes: Vec<_> = environment.apis.drain(..).chain(environment.workers.drain(..)).collect();
        join_all(processes.into_iter().map(ServiceProcess::stop_or_log_timeout)).await;
        link(environment).set(ProxyMode::Open);
        environment.start_processes(2, 2).await;
    };
    let mut environment = Environment::prepare().await;
    environment.set("DRAIN_SECONDS", "10");
    environment.start_processes(2, 2).await;
    environment.assert_survives(name, Tolerance::duplicates_up_to(2 * MAX_IN_FLIGHT), fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_while_postgres_is_silent_loses_nothing() {
    stop_all_while_silent("SIGTERM to all while Postgres is silent", |environment| &environment.to_postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_while_broker_is_silent_loses_nothing() {
    stop_all_while_silent("SIGTERM to all while RabbitMQ is silent", |environment| &environment.to_broker).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_while_mail_server_is_silent_loses_nothing() {
    stop_all_while_silent("SIGTERM to all while the mail server is silent", |environment| &environment.to_mail).await;
}

/// The clock of an API jumps a day ahead, then a day back. Codes expire by the clock of the database.
#[tokio::test(flavor = "multi_thread")]
async fn api_clock_off_by_a_day_loses_nothing() {
    let libraries = fs::read_dir("/usr/lib").unwrap().flatten();
    let mut libraries = libraries.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
    let library = libraries.find(|library| library.exists()).expect("libfaketime: apt-get install libfaketime");
    let folder = servers::temporary_home("root");
    let clock = folder.path().join("clock");
    fs::write(&clock, "+0").unwrap();
    let mut environment = Environment::prepare().await;
    let settings = [
        ("LD_PRELOAD", library.to_str().unwrap()),
        ("FAKETIME_TIMESTAMP_FILE", clock.to_str().unwrap()),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
    ];
    let api = environment.start_process(Service::Api, &settings).await;
    environment.apis.push(api);
    environment.start_processes(0, 2).await;
    let api_url = environment.apis[0].api_url().to_owned();
    let fault = async |_: &mut Environment| {
        for step in ["+1d", "-1d"] {
            fs::write(&clock, step).unwrap();
            sleep(Duration::from_secs(2)).await;
            assert!(is_a_day_off(&api_url).await, "the clock was not stepped");
        }
        fs::write(&clock, "+0").unwrap();
    };
    environment.assert_survives("the clock of an API's machine a day off", Tolerance::none(), fault).await;
}

/// Whether the `Date` header of the API differs from the date of this machine.
async fn is_a_day_off(api_url: &str) -> bool {
    let response = reqwest::get(format!("{api_url}/health")).await.unwrap();
    let date = response.headers().get("date").map(|date| date.to_str().unwrap().to_owned()).unwrap_or_default();
    let today = servers::run(std::process::Command::new("date").env("LC_ALL", "C").args(["-u", "+%d %b %Y"]));
    !date.contains(today.trim())
}
