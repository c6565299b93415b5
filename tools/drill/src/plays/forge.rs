//! Registers one address again and again, in the name of another network each time: one network's share must do.

use anyhow::Result;

use super::{Ground, Row};
use crate::attacker::{Account, patiently};

const NAME: &str = "forge: codes for one address from one network";

pub(super) async fn play(ground: &Ground) -> Result<Vec<Row>> {
    let (victim, begun) = (Account::throw_away(), ground.attacker.elapsed());
    let (mut attempts, mut granted) = (0, 0);
    let promised = |elapsed| ground.promise.codes_per_address_and_network(elapsed);
    while attempts < promised(std::time::Duration::ZERO).min(50) + 2 {
        let answer = patiently(|| ground.attacker.register(ground.attacker.fresh_source(), &victim)).await?;
        attempts += 1;
        granted += u64::from(answer.is_accepted());
    }
    let row = Row::judged(NAME, attempts, granted, promised(ground.attacker.elapsed() - begun));
    let believed = "X-Forwarded-For is believed: TRUSTED_PROXIES names the network that the drill comes from";
    Ok(vec![if row.granted > row.promised { row.with_note(believed) } else { row }])
}
