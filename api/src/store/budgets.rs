//! What was used, by whom, when.

use deadpool_postgres::GenericClient;
use time::OffsetDateTime;
use tokio_postgres::Error;

use super::transaction::Writes;

// One look for each, by the index: a plan is kept for as long as its connection, and one that was made for a small
// table would read all of a large one.
const READ: &str = "SELECT b.used_at, clock_timestamp() \
    FROM unnest($1::bytea[], $2::text[]) WITH ORDINALITY AS asked (subject, kind, place) \
    LEFT JOIN LATERAL (SELECT used_at FROM budgets WHERE subject = asked.subject AND kind = asked.kind LIMIT 1) AS b \
    ON true ORDER BY asked.place";
const WRITE: &str = "INSERT INTO budgets (subject, kind, used_at) VALUES ($1, $2, $3) \
    ON CONFLICT (subject, kind) DO UPDATE SET used_at = EXCLUDED.used_at";

pub(super) const ALL: &[&str] = &[READ, WRITE];

/// What is used.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    /// The codes of an address: all, and those that one network asked for.
    Codes,
    CodesFrom,
    /// What one network did.
    RegistrationsFrom,
    WrongCodesFrom,
    /// When an account was last entered from a network.
    LetIn,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Codes => "codes",
            Self::CodesFrom => "codes-from",
            Self::RegistrationsFrom => "registrations-from",
            Self::WrongCodesFrom => "wrong-codes-from",
            Self::LetIn => "let-in",
        }
    }
}

/// When each of these was used, oldest first, and what time it is now.
pub(crate) async fn used<const N: usize>(
    client: &impl GenericClient,
    asked: [(&[u8; 32], Kind); N],
) -> Result<([Vec<OffsetDateTime>; N], OffsetDateTime), Error> {
    let (subjects, kinds): (Vec<_>, Vec<_>) =
        asked.iter().map(|(subject, kind)| (subject.as_slice(), kind.name())).unzip();
    let rows = super::rows(client, READ, &[&subjects, &kinds]).await?;
    let now = rows.first().map_or(OffsetDateTime::UNIX_EPOCH, |row| row.get(1));
    let used = |place: usize| rows.get(place).and_then(|row| row.get::<_, Option<_>>(0)).unwrap_or_default();
    Ok((std::array::from_fn(used), now))
}

/// The caller holds the lock of the subject, or of the address that it is a part of.
pub(crate) fn set<'a>(writes: &mut Writes<'a>, subject: &'a [u8; 32], kind: Kind, used: Vec<OffsetDateTime>) {
    writes.push(WRITE, [Box::new(subject.as_slice()), Box::new(kind.name()), Box::new(used)]);
}
