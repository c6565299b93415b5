//! Another code for a registration whose password is proved.

use futures_util::future::try_join3;

use crate::{
    app::App,
    auth::{
        credentials::{self, Credentials, Proved, Purpose},
        password_attempt::{self, AttemptOutcome},
        subject_keys::SubjectKeys,
    },
    domain::policy::CodePurpose,
    error::Error,
    password_hashing::Priority,
    registration::{
        issue_code::{self, CodeRequest, Facts},
        receipt::{self, Receipt},
    },
    store::{
        codes,
        registrations::{self, Registration},
        transaction::{Commit, Transaction, Writes},
    },
};

pub(crate) async fn resend(app: &App, credentials: &Credentials) -> Result<Receipt, Error> {
    // Before anything else: an overload must cost nothing.
    let place = app.hashes.admit(Priority::Entering)?;
    let keys = app.keys(&credentials.email, credentials.network);
    let proved = credentials::prove(app, credentials, &keys, Purpose::Code, place).await?;
    let granted = grant(app, credentials, &keys, &proved).await;
    password_attempt::settle_after(app, &keys, &proved.attempt, &granted).await;
    granted
}

async fn grant(app: &App, credentials: &Credentials, keys: &SubjectKeys, proved: &Proved) -> Result<Receipt, Error> {
    // Newest first: that is the one which is meant when none was named.
    let newest = proved.registrations.first().ok_or(Error::Unauthenticated)?;
    let (wanted, guessed) = (CodePurpose::Resend, &keys.address);
    let order = CodeRequest { email: &credentials.email, keys, wanted, guessed, traceparent: &credentials.traceparent };

    let connection = app.store.connection().await?;
    let reading = try_join3(
        registrations::by_id(&connection, newest.id),
        issue_code::read(&connection, &order),
        password_attempt::failed(&connection, keys),
    );
    let (transaction, (current, facts, failed)) =
        Transaction::begin(&connection, Commit::Durable, &password_attempt::locks(keys), reading).await?;
    let granted =
        judge(app, current, &facts, &order).map(|current| (issue_code::make(app, &facts, wanted, current.id), current));
    let mut writes = Writes::default();
    // Granted or not, the password was right.
    password_attempt::end(&mut writes, keys, failed, &proved.attempt, AttemptOutcome::Right);
    if let Ok((code, current)) = &granted {
        codes::supersede(&mut writes, current.id, facts.used.now);
        codes::insert(&mut writes, code, app.policy.code_ttl, facts.used.now);
        issue_code::write(app, &mut writes, &order, &facts, code.id);
    }
    transaction.commit(writes).await?;
    let (code, current) = granted?;
    app.metrics.minted(wanted, code.length);
    app.wake_relay();
    let (undeliverable, dropped, now) = (false, false, facts.used.now);
    Ok(receipt::of(&Registration { code, undeliverable, dropped, now, ..current }, &app.policy))
}

fn judge(
    app: &App,
    current: Option<Registration>,
    facts: &Facts,
    order: &CodeRequest<'_>,
) -> Result<Registration, Error> {
    let current = current.ok_or(Error::Unauthenticated)?;
    // EventKind is over is not a matter of waiting: that answer goes before "too many".
    credentials::check_open(app, &current)?;
    issue_code::judge(app, &facts.used, order)?;
    Ok(current)
}
