//! What is known of an address and a network before a password is hashed: one look at several tables, because
//! whoever is refused must not cost more.

use time::{Duration, OffsetDateTime};

use super::{Connection, Error, budgets::Kind};
use crate::{domain::email::EmailAddress, names::Names};

// The hash is that of the account, else that of the newest registration that may still become one.
const READ: &str = "SELECT clock_timestamp(), \
    (SELECT used_at FROM budgets WHERE subject = $1 AND kind = $2), \
    (SELECT used_at FROM budgets WHERE subject = $3 AND kind = $4), \
    (SELECT used_at FROM budgets WHERE subject = $5 AND kind = $6), \
    COALESCE((SELECT password_hash FROM users WHERE email = $7), \
    (SELECT password_hash FROM registrations WHERE email = $7 AND activated_at IS NULL AND closed_at IS NULL \
    AND created_at > clock_timestamp() - make_interval(secs => $8) ORDER BY created_at DESC LIMIT 1))";

pub(super) const ALL: &[&str] = &[READ];

pub(crate) struct Prospects {
    /// When the address had codes, and when this network asked for them, oldest first.
    pub(crate) codes: Vec<OffsetDateTime>,
    pub(crate) codes_from: Vec<OffsetDateTime>,
    pub(crate) registrations_from: Vec<OffsetDateTime>,
    /// One of the hashes at the address; all of them are of one recipe.
    pub(crate) password_hash: Option<String>,
    pub(crate) now: OffsetDateTime,
}

pub(crate) async fn read(
    connection: &Connection,
    email: &EmailAddress,
    names: &Names,
    open_for: Duration,
) -> Result<Prospects, Error> {
    let (address, here, network) = (names.address.as_slice(), names.here.as_slice(), names.network.as_slice());
    let row = super::row(
        connection,
        READ,
        &[
            &address,
            &Kind::Codes.name(),
            &here,
            &Kind::CodesFrom.name(),
            &network,
            &Kind::RegistrationsFrom.name(),
            &email.as_str(),
            &open_for.as_seconds_f64(),
        ],
    )
    .await?;
    let used = |column: usize| row.as_ref().and_then(|row| row.get::<_, Option<_>>(column)).unwrap_or_default();
    Ok(Prospects {
        codes: used(1),
        codes_from: used(2),
        registrations_from: used(3),
        password_hash: row.as_ref().and_then(|row| row.get(4)),
        now: row.as_ref().map_or(OffsetDateTime::UNIX_EPOCH, |row| row.get(0)),
    })
}
