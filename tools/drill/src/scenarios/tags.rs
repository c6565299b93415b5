//! Mail flooding of one mailbox: registers and requests resets for its address with ever new tags (`user+tag@…`), from
//! many networks. All of them share the codes of the mailbox.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use anyhow::Result;

use super::{
    Environment, Row,
    network_attack::{NetworkAttack, Promise},
};
use crate::{client::Credentials, response::Response};

pub(super) async fn run(environment: &Environment) -> Result<Vec<Row>> {
    let client = &environment.client;
    let started = client.elapsed();
    let promised = |elapsed: Duration| Promise {
        to_all: environment.policy.codes_per_address(elapsed),
        to_network: environment.policy.codes_per_address_and_network(elapsed),
    };
    let mailbox = Credentials::throwaway().email;
    let tags = AtomicUsize::new(0);
    let send = async |source| {
        let tag = tags.fetch_add(1, Ordering::Relaxed);
        let email = mailbox.replace('@', &format!("+{tag}@"));
        if tag.is_multiple_of(2) {
            client.register(source, &Credentials::for_address(&email)).await
        } else {
            client.forgot(source, &email).await
        }
    };
    let mut attack = NetworkAttack::new(environment, Response::is_accepted);
    let promise = promised(Duration::ZERO);
    attack.send_from(client.next_source(), promise, &send).await?;
    attack.send_from_new_networks(promise, &send).await?;
    attack.rows(["tags: codes for one mailbox", "tags: … from one network"], promised(client.elapsed() - started))
}
