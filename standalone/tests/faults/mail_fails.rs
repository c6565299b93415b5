//! A mail server that refuses, stalls, babbles or hangs up, at every step of its dialogue.

use std::time::Duration;

use tokio::time::sleep;

use crate::{
    bounds::{May, form},
    proxy::Way,
    scene::Scene,
    sink::behaviour::{Behaviour, Stage},
};

const STAGES: [Stage; 6] = [Stage::Greeting, Stage::Ehlo, Stage::Mail, Stage::Rcpt, Stage::Data, Stage::Dot];

/// The next connections behave like this, one each.
async fn meets(name: &str, may: May, behaviours: Vec<Behaviour>) {
    meets_for(Duration::ZERO, name, may, behaviours).await;
}

/// The same, and it lasts so long until all have misbehaved.
async fn meets_for(so_long: Duration, name: &str, may: May, behaviours: Vec<Behaviour>) {
    let fault = async |scene: &mut Scene| {
        behaviours.into_iter().for_each(|behaviour| scene.sink.next_connection(behaviour));
        // The connections that workers keep are well: they need new ones.
        for _ in 0..form().times {
            scene.to_mail.set(Way::Cut);
            sleep(Duration::from_millis(200)).await;
            scene.to_mail.set(Way::Open);
            sleep(Duration::from_secs(2)).await;
        }
        sleep(so_long).await;
    };
    Scene::start().await.survives(name, may, fault).await;
}

fn each(behaviour: impl Fn(Stage) -> Behaviour) -> Vec<Behaviour> {
    STAGES.into_iter().map(behaviour).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mail_server_says_4xx_at_each_step() {
    meets("SMTP 4xx at each step", May::default(), each(|at| Behaviour::Reply { at, code: 451 })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mail_server_says_5xx_at_each_step() {
    let may = May { refuse: true, ..May::default() };
    meets("SMTP 5xx at each step", may, each(|at| Behaviour::Reply { at, code: 550 })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mail_server_says_421_at_each_step() {
    let mut behaviours = each(|at| Behaviour::Reply { at, code: 421 });
    behaviours.push(Behaviour::AcceptThen421);
    meets("SMTP 421 at each step, and after a 250", May::default(), behaviours).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mail_server_falls_silent_at_each_step() {
    meets("SMTP silence at each step", May::default(), each(Behaviour::Silence)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mail_server_hangs_up_at_each_step() {
    let mut behaviours = each(Behaviour::Cut);
    behaviours.push(Behaviour::AcceptThenCut);
    meets("SMTP cut at each step, and after a 250", May::default(), behaviours).await;
}

/// The answers of what is over must not be taken for those to the next mail.
#[tokio::test(flavor = "multi_thread")]
async fn the_250_comes_after_the_timeout_and_the_next_mail_is_refused() {
    let late = Behaviour::Slow(Stage::Dot, Duration::from_secs(65));
    let refused = Behaviour::Reply { at: Stage::Rcpt, code: 550 };
    let (may, lasting) = (May { duplicate: 2, refuse: true }, Duration::from_secs(66));
    let name = "SMTP 250 after the timeout, the next mail refused";
    meets_for(lasting, name, may, vec![late, refused, late, refused]).await;
}

/// The mail server has the mail, and the worker does not know.
#[tokio::test(flavor = "multi_thread")]
async fn the_way_breaks_after_the_dot() {
    let fault = async |scene: &mut Scene| {
        for _ in 0..form().times {
            scene.to_mail.set(Way::DeafAfter("\r\n.\r\n"));
            scene.to_mail.heard().await;
            scene.to_mail.set(Way::Open);
        }
    };
    // While it lasts, whatever is at the dot meets it.
    let may = May::duplicate(form().times as usize * 4);
    Scene::start().await.survives("SMTP connection cut after the dot", may, fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mail_server_says_a_byte_a_second() {
    // What the cut meets at the dot was taken.
    let may = May::duplicate(form().times as usize);
    meets("SMTP one byte a second", may, each(|at| Behaviour::Drip(at, Duration::from_secs(1)))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mail_server_never_ends_its_reply() {
    let mut behaviours = each(Behaviour::Endless);
    behaviours.extend(each(Behaviour::EndlessLines));
    meets("SMTP endless reply", May::default(), behaviours).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mail_server_stays_away() {
    let fault = async |scene: &mut Scene| {
        scene.to_mail.set(Way::Cut);
        sleep(form().outage).await;
        scene.to_mail.set(Way::Open);
    };
    Scene::start().await.survives("mail server away", May::default(), fault).await;
}
