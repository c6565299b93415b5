//! The mail server rejects, stalls, sends endless replies or disconnects, at every step of the SMTP dialogue.

use std::time::Duration;

use tokio::time::sleep;

use crate::harness::{
    environment::Environment,
    tolerance::{Tolerance, schedule},
};
use support::{
    fake_smtp::behaviour::{Behaviour, Stage},
    proxy::ProxyMode,
};

const STAGES: [Stage; 6] = [Stage::Greeting, Stage::Ehlo, Stage::Mail, Stage::Rcpt, Stage::Data, Stage::Dot];

/// In each round, the next connections behave like this, one behaviour each.
async fn misbehave(name: &str, rounds: u32, tolerance: Tolerance, behaviours: Vec<Behaviour>) {
    misbehave_for(Duration::ZERO, name, rounds, tolerance, behaviours).await;
}

/// The same, where the behaviours of a round take this time.
async fn misbehave_for(duration: Duration, name: &str, rounds: u32, tolerance: Tolerance, behaviours: Vec<Behaviour>) {
    let fault = async |environment: &mut Environment| {
        for _ in 0..rounds {
            behaviours.iter().for_each(|behaviour| environment.mail_server.next_connection(*behaviour));
            // Close the pooled connections of the workers, so that they open new ones.
            environment.to_mail.set(ProxyMode::Closed);
            sleep(Duration::from_millis(200)).await;
            environment.to_mail.set(ProxyMode::Open);
            environment.mail_server.wait_for_next_connections().await;
            // The new connections reach the step at which the mail server misbehaves.
            sleep(duration + Duration::from_secs(2)).await;
        }
    };
    Environment::start().await.assert_survives(name, tolerance, fault).await;
}

/// Mails that are at the dot when the connections are cut before a round may have been accepted.
fn duplicates_at_cut(rounds: u32) -> Tolerance {
    Tolerance::duplicates_up_to(rounds as usize * 2)
}

/// One behaviour for each stage of the dialogue.
fn at_each_stage(behaviour: impl Fn(Stage) -> Behaviour) -> Vec<Behaviour> {
    STAGES.into_iter().map(behaviour).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn smtp_4xx_at_each_step_loses_nothing() {
    let rounds = schedule().repetitions;
    misbehave(
        "SMTP 4xx at each step",
        rounds,
        duplicates_at_cut(rounds),
        at_each_stage(|at| Behaviour::Reply { at, code: 451 }),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn smtp_5xx_at_each_step_is_recorded() {
    let rounds = schedule().repetitions;
    // Before MAIL, a 5xx rejects the client, and the mail is retried; from MAIL on, it rejects the mail.
    let tolerance = Tolerance { undelivered: rounds as usize * 4, ..duplicates_at_cut(rounds) };
    misbehave("SMTP 5xx at each step", rounds, tolerance, at_each_stage(|at| Behaviour::Reply { at, code: 550 })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn smtp_421_at_each_step_loses_nothing() {
    let rounds = schedule().repetitions;
    let mut behaviours = at_each_stage(|at| Behaviour::Reply { at, code: 421 });
    behaviours.push(Behaviour::AcceptThen421);
    misbehave("SMTP 421 at each step, and after a 250", rounds, duplicates_at_cut(rounds), behaviours).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn smtp_disconnect_at_each_step_loses_nothing() {
    let rounds = schedule().repetitions;
    let mut behaviours = at_each_stage(Behaviour::Cut);
    behaviours.push(Behaviour::AcceptThenCut);
    misbehave("SMTP cut at each step, and after a 250", rounds, duplicates_at_cut(rounds), behaviours).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_smtp_replies_lose_nothing() {
    let rounds = schedule().repetitions;
    let mut behaviours = at_each_stage(Behaviour::Endless);
    behaviours.extend(at_each_stage(Behaviour::EndlessLines));
    misbehave("SMTP endless reply", rounds, duplicates_at_cut(rounds), behaviours).await;
}

/// It ends with the timeout of the worker, a minute after the dot.
#[tokio::test(flavor = "multi_thread")]
async fn smtp_silence_at_each_step_loses_nothing() {
    misbehave("SMTP silence at each step", 1, duplicates_at_cut(1), at_each_stage(Behaviour::Silence)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn smtp_one_byte_per_second_loses_nothing() {
    misbehave(
        "SMTP one byte a second",
        1,
        duplicates_at_cut(1),
        at_each_stage(|at| Behaviour::Drip(at, Duration::from_secs(1))),
    )
    .await;
}

/// A late reply to a mail that timed out must not be taken for the reply to the next mail.
#[tokio::test(flavor = "multi_thread")]
async fn late_250_is_not_attributed_to_next_mail() {
    let late = Behaviour::Slow(Stage::Dot, Duration::from_secs(65));
    let rejected = Behaviour::Reply { at: Stage::Rcpt, code: 550 };
    // Both late mails are accepted twice, unless the cut or a rejection affects one of them.
    let tolerance = Tolerance { duplicates: 1..=4, undelivered: 2, ..Tolerance::none() };
    let name = "SMTP 250 after the timeout, the next mail refused";
    misbehave_for(Duration::from_secs(66), name, 1, tolerance, vec![late, rejected, late, rejected]).await;
}

/// The mail server has accepted the mail, and the worker does not get the reply.
#[tokio::test(flavor = "multi_thread")]
async fn smtp_connection_lost_after_dot_loses_nothing() {
    let repetitions = schedule().repetitions as usize;
    let fault = async |environment: &mut Environment| {
        for _ in 0..repetitions {
            environment.to_mail.set(ProxyMode::CloseAfterRequest("\r\n.\r\n"));
            environment.to_mail.wait_for_match().await;
            environment.to_mail.set(ProxyMode::Open);
        }
    };
    // Other mails that are at the dot meanwhile are affected, too.
    let tolerance = Tolerance { duplicates: repetitions..=repetitions * 4, ..Tolerance::none() };
    Environment::start().await.assert_survives("SMTP connection cut after the dot", tolerance, fault).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unreachable_mail_server_loses_nothing() {
    let fault = async |environment: &mut Environment| {
        environment.to_mail.set(ProxyMode::Closed);
        sleep(schedule().outage).await;
        environment.to_mail.set(ProxyMode::Open);
    };
    Environment::start().await.assert_survives("mail server away", duplicates_at_cut(1), fault).await;
}
