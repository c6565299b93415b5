//! Password guessing: tries wrong passwords of a pending registration from many networks until it is locked. A network
//! that has requested codes for the address has no more attempts than another.

use std::time::Duration;

use anyhow::Result;

use super::{
    Environment, Row,
    network_attack::{NetworkAttack, Promise},
    register_victim,
};
use crate::{client::retry_overloaded, response::Response};

const CHECKS: [&str; 2] = ["lockout: wrong passwords for one address", "lockout: … from one network"];

pub(super) async fn run(environment: &Environment) -> Result<Vec<Row>> {
    let client = &environment.client;
    let victim = match register_victim(environment, client.next_source()).await? {
        Ok(victim) => victim.credentials,
        Err(reason) => return Ok(vec![Row::not_tried("lockout", &reason)]),
    };
    let started = client.elapsed();
    let promised = |elapsed: Duration| Promise {
        to_all: environment.policy.wrong_passwords(elapsed),
        to_network: environment.policy.wrong_passwords_per_network(elapsed),
    };
    // One of the networks that request codes tries before the address is locked, the other one after that.
    let (first, last) = (client.next_source(), client.next_source());
    let other = victim.with_other_password();
    let mut code_requests = vec![];
    code_requests.push(retry_overloaded(|| client.register(first, &other)).await?);
    code_requests.push(retry_overloaded(|| client.forgot(last, &victim.email)).await?);

    let send = async |source| client.log_in(source, &victim.with_other_password()).await;
    let mut attack = NetworkAttack::new(environment, Response::is_password_check);
    let promise = promised(Duration::ZERO);
    attack.send_from(first, promise, &send).await?;
    attack.send_from_new_networks(promise, &send).await?;
    attack.send_from(last, promise, &send).await?;

    let mut rows = attack.rows(CHECKS, promised(client.elapsed() - started))?;
    let accepted = code_requests.iter().filter(|response| response.is_accepted()).count();
    for row in rows.iter_mut().filter(|row| !row.is_not_tried()) {
        row.note += &format!("; {accepted} of the networks had requested a code");
    }
    rows.push(refusals_of_other_scopes(environment, &attack.responses)?);
    Ok(rows)
}

/// Refusals must name the account: a client that changes its network because of another scope would fail again.
fn refusals_of_other_scopes(environment: &Environment, responses: &[Response]) -> Result<Row> {
    let check = "lockout: refusals of another scope than account";
    // Earlier scenarios may have used up the wrong passwords of the only network.
    if !environment.client.has_real_networks() {
        return Ok(Row::not_tried(check, "all requests come from one network"));
    }
    let refused: Vec<_> = responses.iter().filter(|response| response.status == 429).collect();
    let others = refused.iter().filter(|response| response.json()["scope"] != "account").count();
    Ok(Row::compared(check, u64::try_from(refused.len())?, u64::try_from(others)?, 0))
}
