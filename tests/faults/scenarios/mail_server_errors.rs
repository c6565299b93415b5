//! A mail server that refuses, stalls, babbles or hangs up, at every step of its dialogue.

use std::time::Duration;

use tokio::time::sleep;

use crate::harness::{
    environment::Environment,
    tolerance::{Allowed, form},
};
use support::{
    fake_smtp::behaviour::{Behaviour, Stage},
    proxy::ProxyMode,
};

const STAGES: [Stage; 6] = [Stage::Greeting, Stage::Ehlo, Stage::Mail, Stage::Rcpt, Stage::Data, Stage::Dot];

/// The next connections behave like this, one each, and so again in each round.
async fn meets(name: &str, rounds: u32, may: Allowed, behaviours: Vec<Behaviour>) {
    meets_for(Duration::ZERO, name, rounds, may, behaviours).await;
}

/// The same, and it lasts so long until all of a round have misbehaved.
async fn meets_for(so_long: Duration, name: &str, rounds: u32, may: Allowed, behaviours: Vec<Behaviour>) {
    let fault = async |environment: &mut Environment| {
        for _ in 0..rounds {
            behaviours.iter().for_each(|behaviour| environment.mail_server.next_connection(*behaviour));
            // The connections that workers keep are well: they need new ones.
            environment.to_mail.set(ProxyMode::Cut);
            sleep(Duration::from_millis(200)).await;
            environment.to_mail.set(ProxyMode::Open);
            environment.mail_server.next_connections_came().await;
            // Who has come gets as far as where it goes wrong.
            sleep(so_long + Duration::from_secs(2)).await;
        }
    };
    Environment::start().await.survives(name, may, fault).await;
}

/// What the cut before each round meets at the dot may have been taken.
fn some(rounds: u32) -> Allowed {
    Allowed::duplicate(rounds as usize * 2)
}

fn each(behaviour: impl Fn(Stage) -> Behaviour) -> Vec<Behaviour> {
    STAGES.into_iter().map(behaviour).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mail_server_says_4xx_at_each_step() {
    let rounds = form().times;
    meets("SMTP 4xx at each step", rounds, some(rounds), each(|at| Behaviour::Reply { at, code: 451 })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mail_server_says_5xx_at_each_step() {
    let rounds = form().times;
    // Before MAIL it is about us, and they are tried again; from then on it is about the mail.
    let may = Allowed { refuse: rounds as usize * 4, ..some(rounds) };
    meets("SMTP 5xx at each step", rounds, may, each(|at| Behaviour::Reply { at, code: 550 })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mail_server_says_421_at_each_step() {
    let rounds = form().times;
    let mut behaviours = each(|at| Behaviour::Reply { at, code: 421 });
    behaviours.push(Behaviour::AcceptThen421);
    meets("SMTP 421 at each step, and after a 250", rounds, some(rounds), behaviours).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mail_server_hangs_up_at_each_step() {
    let rounds = form().times;
    let mut behaviours = each(Behaviour::Cut);
    behaviours.push(Behaviour::AcceptThenCut);
    meets("SMTP cut at each step, and after a 250", rounds, some(rounds), behaviours).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mail_server_never_ends_its_reply() {
    let rounds = form().times;
    let mut behaviours = each(Behaviour::Endless);
    behaviours.extend(each(Behaviour::EndlessLines));
    meets("SMTP endless reply", rounds, some(rounds), behaviours).await;
}

/// It ends with the worker's timeout, a minute after the dot.
#[tokio::test(flavor = "multi_thread")]
async fn the_mail_server_falls_silent_at_each_step() {
    meets("SMTP silence at each step", 1, some(1), each(Behaviour::Silence)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mail_server_says_a_byte_a_second() {
    meets("SMTP one byte a second", 1, some(1), each(|at| Behaviour::Drip(at, Duration::from_secs(1)))).await;
}

/// The answers of what is over must not be taken for those to the next mail.
#[tokio::test(flavor = "multi_thread")]
async fn the_250_comes_after_the_timeout_and_the_next_mail_is_refused() {
    let late = Behaviour::Slow(Stage::Dot, Duration::from_secs(65));
    let refused = Behaviour::Reply { at: Stage::Rcpt, code: 550 };
    // Both late ones are taken once more before, unless the cut, or the refusal, meets one of them.
    let (may, lasting) = (Allowed { duplicate: 1..=4, refuse: 2, ..Allowed::nothing() }, Duration::from_secs(66));
    let name = "SMTP 250 after the timeout, the next mail refused";
    meets_for(lasting, name, 1, may, vec![late, refused, late, refused]).await;
}

/// The mail server has the mail, and the worker does not know.
#[tokio::test(flavor = "multi_thread")]
async fn the_way_breaks_after_the_dot() {
    let times = form().times as usize;
    let fault = async |environment: &mut Environment| {
        for _ in 0..times {
            environment.to_mail.set(ProxyMode::DeafAfter("\r\n.\r\n"));
            environment.to_mail.heard().await;
            environment.to_mail.set(ProxyMode::Open);
        }
    };
    // While it lasts, whatever is at the dot meets it.
    let may = Allowed { duplicate: times..=times * 4, ..Allowed::nothing() };
    Environment::start().await.survives("SMTP connection cut after the dot", may, fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mail_server_stays_away() {
    let fault = async |environment: &mut Environment| {
        environment.to_mail.set(ProxyMode::Cut);
        sleep(form().outage).await;
        environment.to_mail.set(ProxyMode::Open);
    };
    Environment::start().await.survives("mail server away", some(1), fault).await;
}
