//! What was used, by whom, when.

use deadpool_postgres::GenericClient;
use time::OffsetDateTime;
use tokio_postgres::{Error as PgError, types::ToSql};

use super::transaction::Writes;

// A plan is kept for as long as its connection, and one that was made for a small table would read all of a large
// one: with a limit it goes by the index.
macro_rules! look {
    ($subject:literal, $kind:literal) => {
        concat!("(SELECT used_at FROM budgets WHERE subject = $", $subject, " AND kind = $", $kind, " LIMIT 1)")
    };
}

/// Of one, of two, of three: one look for each, by the index, and one row of answer.
const READ: [&str; 3] = [
    concat!("SELECT clock_timestamp(), ", look!(1, 2)),
    concat!("SELECT clock_timestamp(), ", look!(1, 2), ", ", look!(3, 4)),
    concat!("SELECT clock_timestamp(), ", look!(1, 2), ", ", look!(3, 4), ", ", look!(5, 6)),
];
const WRITE: &str = "INSERT INTO budgets (subject, kind, used_at) VALUES ($1, $2, $3) \
    ON CONFLICT (subject, kind) DO UPDATE SET used_at = EXCLUDED.used_at";
const FORGET: &str = "DELETE FROM budgets WHERE ctid = ANY(ARRAY( \
    SELECT ctid FROM budgets WHERE kind = $1 AND COALESCE(used_at[cardinality(used_at)], '-infinity') <= $2 \
    ORDER BY COALESCE(used_at[cardinality(used_at)], '-infinity') LIMIT $3 FOR UPDATE SKIP LOCKED))";

pub(crate) const ALL: &[&str] = &[READ[0], READ[1], READ[2], WRITE, FORGET];

/// What is used.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LimitKind {
    /// The codes of an address: all, and those that one network asked for.
    Codes,
    CodesFrom,
    /// What one network did.
    RegistrationsFrom,
    WrongCodesFrom,
    WrongPasswordsFrom,
    /// When an account was last entered from a network.
    LetIn,
}

impl LimitKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Codes => "codes",
            Self::CodesFrom => "codes-from",
            Self::RegistrationsFrom => "registrations-from",
            Self::WrongCodesFrom => "wrong-codes-from",
            Self::WrongPasswordsFrom => "wrong-passwords-from",
            Self::LetIn => "let-in",
        }
    }
}

/// When each of these was used, oldest first, and what time it is now.
pub(crate) async fn used<const N: usize>(
    client: &impl GenericClient,
    asked: [(&[u8; 32], LimitKind); N],
) -> Result<([Vec<OffsetDateTime>; N], OffsetDateTime), PgError> {
    const { assert!(1 <= N && N <= READ.len()) };
    let asked = asked.map(|(subject, kind)| (subject.as_slice(), kind.name()));
    let values: Vec<_> = asked.iter().flat_map(|(subject, kind)| [subject as &(dyn ToSql + Sync), kind]).collect();
    let row = client.query_one(&client.prepare_cached(READ[N - 1]).await?, &values).await?;
    let used = |place: usize| row.get::<_, Option<_>>(place + 1).unwrap_or_default();
    Ok((std::array::from_fn(used), row.get(0)))
}

/// The caller holds the lock of the subject, or of the address that it is a part of.
pub(crate) fn set<'a>(writes: &mut Writes<'a>, subject: &'a [u8; 32], kind: LimitKind, used: Vec<OffsetDateTime>) {
    writes.push(WRITE, [Box::new(subject.as_slice()), Box::new(kind.name()), Box::new(used)]);
}

/// So many of those that were used last then or before.
pub(crate) fn forget(writes: &mut Writes<'_>, kind: LimitKind, since: OffsetDateTime, at_most: i64) {
    writes.push(FORGET, [Box::new(kind.name()), Box::new(since), Box::new(at_most)]);
}
