//! Another code for a registration whose password is proved.

use futures_util::future::try_join3;

use crate::{
    app::App,
    auth::{
        credentials::{self, Claim, Proved, Purpose},
        password_attempt::{self, Ending},
        subject_keys::Names,
    },
    domain::policy::Wanted,
    error::Refusal,
    password_hashing::Errand,
    registration::{
        issue_code::{self, Facts, Order},
        receipt::{self, Receipt},
    },
    store::{
        codes,
        registrations::{self, Registration},
        transaction::{Commit, Transaction, Writes},
    },
};

pub(crate) async fn resend(app: &App, claim: &Claim) -> Result<Receipt, Refusal> {
    // Before anything else: an overload must cost nothing.
    let place = app.hashes.admit(Errand::Entering)?;
    let names = app.names(&claim.email, claim.network);
    let proved = credentials::prove(app, claim, &names, Purpose::Code, place).await?;
    let granted = grant(app, claim, &names, &proved).await;
    password_attempt::settle_after(app, &names, &proved.trial, &granted).await;
    granted
}

async fn grant(app: &App, claim: &Claim, names: &Names, proved: &Proved) -> Result<Receipt, Refusal> {
    // Newest first: that is the one which is meant when none was named.
    let newest = proved.registrations.first().ok_or(Refusal::Unauthenticated)?;
    let (wanted, guessed) = (Wanted::Resend, &names.address);
    let order = Order { email: &claim.email, names, wanted, guessed, traceparent: &claim.traceparent };

    let connection = app.store.connection().await?;
    let reading = try_join3(
        registrations::by_id(&connection, newest.id),
        issue_code::read(&connection, &order),
        password_attempt::failed(&connection, names),
    );
    let (transaction, (current, facts, failed)) =
        Transaction::begin(&connection, Commit::Durable, &password_attempt::locks(names), reading).await?;
    let granted =
        judge(app, current, &facts, &order).map(|current| (issue_code::make(app, &facts, wanted, current.id), current));
    let mut writes = Writes::default();
    // Granted or not, the password was right.
    password_attempt::end(&mut writes, names, failed, &proved.trial, Ending::Right);
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

fn judge(app: &App, current: Option<Registration>, facts: &Facts, order: &Order<'_>) -> Result<Registration, Refusal> {
    let current = current.ok_or(Refusal::Unauthenticated)?;
    // What is over is not a matter of waiting: that answer goes before "too many".
    credentials::check_open(app, &current)?;
    issue_code::judge(app, &facts.used, order)?;
    Ok(current)
}
