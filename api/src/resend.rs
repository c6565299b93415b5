//! Another code for a registration whose password is proved.

use futures_util::future::try_join3;

use crate::{
    App,
    claim::{self, Claim, Proved, Purpose},
    domain::policy::Wanted,
    hashing::Errand,
    mint::{self, Facts, Order},
    names::Names,
    receipt::{self, Receipt},
    refusal::Refusal,
    store::{
        codes,
        registrations::{self, Registration},
        transaction::{Commit, Transaction, Writes},
    },
    trial::{self, Ending},
};

pub(crate) async fn resend(app: &App, claim: &Claim) -> Result<Receipt, Refusal> {
    // Before anything else: an overload must cost nothing.
    let place = app.hashes.admit(Errand::Entering)?;
    let names = app.names(&claim.email, claim.network);
    let proved = claim::prove(app, claim, &names, Purpose::Code, place).await?;
    let granted = grant(app, claim, &names, &proved).await;
    trial::settle_after(app, &names, &proved.trial, &granted).await;
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
        mint::read(&connection, &order),
        trial::failed(&connection, names),
    );
    let (transaction, (current, facts, failed)) =
        Transaction::begin(&connection, Commit::Durable, &trial::locks(names), reading).await?;
    let granted =
        judge(app, current, &facts, &order).map(|current| (mint::make(app, &facts, wanted, current.id), current));
    let mut writes = Writes::default();
    // Granted or not, the password was right.
    trial::end(&mut writes, names, failed, &proved.trial, Ending::Right);
    if let Ok((code, current)) = &granted {
        codes::supersede(&mut writes, current.id, facts.used.now);
        codes::insert(&mut writes, code, app.policy.code_ttl, facts.used.now);
        mint::write(app, &mut writes, &order, &facts, code.id);
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
    claim::check_open(app, &current)?;
    mint::judge(app, &facts.used, order)?;
    Ok(current)
}
