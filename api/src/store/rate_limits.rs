//! Sliding-window rate limits (table `budgets`): when a subject last used each of them.

use deadpool_postgres::GenericClient;
use time::OffsetDateTime;
use tokio_postgres::{Error as PgError, types::ToSql};

use super::transaction::Writes;

// A plan is kept as long as its connection, and one that was made for a small table would read all of a large one:
// LIMIT makes it use the index.
macro_rules! lookup {
    ($subject:literal, $kind:literal) => {
        concat!("(SELECT used_at FROM budgets WHERE subject = $", $subject, " AND kind = $", $kind, " LIMIT 1)")
    };
}

/// For one, two and three limits: one index lookup for each, and one result row.
const READ: [&str; 3] = [
    concat!("SELECT clock_timestamp(), ", lookup!(1, 2)),
    concat!("SELECT clock_timestamp(), ", lookup!(1, 2), ", ", lookup!(3, 4)),
    concat!("SELECT clock_timestamp(), ", lookup!(1, 2), ", ", lookup!(3, 4), ", ", lookup!(5, 6)),
];
const WRITE: &str = "INSERT INTO budgets (subject, kind, used_at) VALUES ($1, $2, $3) \
    ON CONFLICT (subject, kind) DO UPDATE SET used_at = EXCLUDED.used_at";
// IS TRUE keeps a plan that was made for a small table from reading all rows of the kind by their last use.
const DELETE_EXPIRED: &str = "DELETE FROM budgets WHERE (kind = $1) IS TRUE AND subject = ANY(ARRAY( \
    SELECT subject FROM budgets WHERE kind = $1 AND COALESCE(used_at[cardinality(used_at)], '-infinity') <= $2 \
    ORDER BY COALESCE(used_at[cardinality(used_at)], '-infinity') LIMIT $3 FOR UPDATE SKIP LOCKED))";

/// The statements to prepare on every connection.
pub(crate) const ALL: &[&str] = &[READ[0], READ[1], READ[2], WRITE, DELETE_EXPIRED];

/// What is limited.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LimitKind {
    /// Codes per mailbox.
    Codes,
    /// Codes per mailbox and network.
    CodesPerNetwork,
    /// Registrations per network.
    RegistrationsPerNetwork,
    /// Wrong codes per network, which only older APIs write; newer ones count in `code_attempts`.
    WrongCodesPerNetwork,
    /// Wrong passwords per network.
    WrongPasswordsPerNetwork,
    /// Password changes per account.
    PasswordChanges,
    /// Resets that a known network or an unlocked browser has requested on its own account.
    OwnResets,
    /// Reset codes that were mailed to the account of a muted mailbox.
    MutedResets,
    /// Networks that APIs before `V16` knew: only deleted when they expire.
    FormerKnownNetworks,
    /// Unlock links per email address.
    UnlockLinks,
    /// Unlock links that were mailed, per mailbox and per network.
    UnlockMails,
}

impl LimitKind {
    /// The value of the column `kind`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Codes => "codes",
            Self::CodesPerNetwork => "codes-from",
            Self::RegistrationsPerNetwork => "registrations-from",
            Self::WrongCodesPerNetwork => "wrong-codes-from",
            Self::WrongPasswordsPerNetwork => "wrong-passwords-from",
            Self::PasswordChanges => "password-changes",
            Self::OwnResets => "own-resets",
            Self::MutedResets => "muted-resets",
            Self::FormerKnownNetworks => "let-in",
            Self::UnlockLinks => "unlock-links",
            Self::UnlockMails => "unlock-mails",
        }
    }
}

/// The times at which each of these limits was used, oldest first, and the time of the database.
pub(crate) async fn times_used<const N: usize>(
    client: &impl GenericClient,
    limits: [(&[u8; 32], LimitKind); N],
) -> Result<([Vec<OffsetDateTime>; N], OffsetDateTime), PgError> {
    const { assert!(1 <= N && N <= READ.len()) };
    let keys = limits.map(|(subject, kind)| (subject.as_slice(), kind.name()));
    let values: Vec<_> = keys.iter().flat_map(|(subject, kind)| [subject as &(dyn ToSql + Sync), kind]).collect();
    let row = client.query_one(&client.prepare_cached(READ[N - 1]).await?, &values).await?;
    let used = |index: usize| row.get::<_, Option<_>>(index + 1).unwrap_or_default();
    Ok((std::array::from_fn(used), row.get(0)))
}

/// Writes the times of use. The caller holds the lock of the subject, or of the email address that it belongs to.
pub(crate) fn write<'a>(writes: &mut Writes<'a>, subject: &'a [u8; 32], kind: LimitKind, used: Vec<OffsetDateTime>) {
    writes.push(WRITE, [Box::new(subject.as_slice()), Box::new(kind.name()), Box::new(used)]);
}

/// Deletes up to `limit` rows of this kind whose last use was at `cutoff` or before.
pub(crate) fn delete_expired(writes: &mut Writes<'_>, kind: LimitKind, cutoff: OffsetDateTime, limit: i64) {
    writes.push(DELETE_EXPIRED, [Box::new(kind.name()), Box::new(cutoff), Box::new(limit)]);
}
