//! One transaction's share of what is over: some rows of every kind.

use std::collections::BTreeMap;

use shared::telemetry::metrics::Family;
use time::OffsetDateTime;

use super::Cleanup;
use crate::{
    error::Error,
    store::{
        Connection, cleanup_lock, deliveries, guesses, lockouts, mail_suppressions, password_changes,
        rate_limits::{self, LimitKind},
        registrations::over,
        resets, sessions,
        transaction::{Commit, Transaction, Writes},
    },
};

/// What was removed, by table.
#[derive(Default)]
pub(crate) struct Removed {
    tables: BTreeMap<&'static str, u64>,
    /// Of some kind there were as many as are taken at once.
    pub(crate) may_be_more: bool,
}

/// Takes nothing while another process is at it: that one will come to all of it. What comes back with a crash of
/// Postgres is removed once more.
pub(crate) async fn remove(work: &Cleanup, rows: u16, connection: &Connection) -> Result<Removed, Error> {
    let (transaction, turn) = Transaction::begin(connection, Commit::Soon, &[], cleanup_lock::take(connection)).await?;
    let Some(now) = turn else { return Ok(Removed::default()) };
    let mut tables = vec![];
    let mut writes = Writes::default();
    forget(work, (now, rows.into()), &mut writes, &mut tables);
    let counts = transaction.commit(writes).await?;
    let mut removed = Removed::default();
    for (table, count) in tables.into_iter().zip(counts) {
        *removed.tables.entry(table).or_default() += count;
        removed.may_be_more |= count >= rows.into();
    }
    Ok(removed)
}

/// Each statement, and the table it is about.
fn forget(work: &Cleanup, (now, rows): (OffsetDateTime, i64), writes: &mut Writes<'_>, tables: &mut Vec<&'static str>) {
    let over = work.retention.cutoffs(&work.policy, now);
    over::forget_pending(writes, over.pending, rows);
    over::forget_ended(writes, over.ended, rows);
    tables.extend(["registrations", "registrations"]);
    deliveries::forget(writes, over.deliveries, rows);
    resets::forget(writes, over.resets, rows);
    password_changes::forget(writes, over.password_changes, rows);
    tables.extend(["deliveries", "resets", "password_changes"]);
    for (kind, since) in [
        (LimitKind::Codes, over.codes),
        (LimitKind::CodesFrom, over.codes_from),
        (LimitKind::RegistrationsFrom, over.registrations_from),
        (LimitKind::WrongCodesFrom, over.wrong_codes_from),
        (LimitKind::WrongPasswordsFrom, over.wrong_passwords_from),
        (LimitKind::LetIn, over.let_in),
    ] {
        rate_limits::forget(writes, kind, since, rows);
        tables.push("budgets");
    }
    guesses::forget(writes, over.guesses, rows);
    guesses::forget_hours(writes, over.hours, rows);
    tables.extend(["guesses", "guesses_by_hour"]);
    lockouts::forget_quiet(writes, over.lockouts, rows);
    tables.push("lockouts");
    // No rule looks at one that has expired, or run out.
    sessions::forget(writes, now, rows);
    mail_suppressions::forget(writes, now, rows);
    tables.extend(["sessions", "mutes"]);
}

impl Removed {
    pub(crate) fn add(&mut self, other: Self) {
        for (table, rows) in other.tables {
            *self.tables.entry(table).or_default() += rows;
        }
        self.may_be_more = other.may_be_more;
    }

    pub(crate) fn count(&self, rows: &Family<1>) {
        self.tables.iter().for_each(|(table, count)| rows.of([table]).add(i64::try_from(*count).unwrap_or(0)));
    }

    /// Like `12 registrations, 3 budgets`; empty if nothing was.
    pub(crate) fn told(&self) -> String {
        let some = self.tables.iter().filter(|&(_, &rows)| rows > 0);
        some.map(|(table, rows)| format!("{rows} {table}")).collect::<Vec<_>>().join(", ")
    }
}
