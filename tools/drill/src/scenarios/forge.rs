//! Spoofed source addresses: registers one address repeatedly, claiming another network each time. The limit of one
//! network must apply.

use anyhow::Result;

use super::{Environment, Row};
use crate::client::{Credentials, retry_overloaded};

const CHECK: &str = "forge: codes for one address from one network";

pub(super) async fn run(environment: &Environment) -> Result<Vec<Row>> {
    let client = &environment.client;
    let victim = Credentials::throwaway();
    let started = client.elapsed();
    let (mut attempts, mut granted) = (0, 0);
    let promised = |elapsed| environment.policy.codes_per_address_and_network(elapsed);
    while attempts < promised(std::time::Duration::ZERO).min(50) + 2 {
        let response = retry_overloaded(|| client.register(client.next_source(), &victim)).await?;
        attempts += 1;
        granted += u64::from(response.is_accepted());
    }
    let row = Row::compared(CHECK, attempts, granted, promised(client.elapsed() - started));
    let note =
        "the instance believes X-Forwarded-For from the network of the drill; TRUSTED_PROXIES must not contain it";
    Ok(vec![if row.granted > row.promised { row.with_note(note) } else { row }])
}
