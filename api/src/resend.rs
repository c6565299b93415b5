//! Another code for a registration whose password is proved.

use crate::{
    App,
    claim::{self, Claim},
    domain::policy::Wanted,
    hashing::Errand,
    mint::{self, Order},
    receipt::{self, Receipt},
    refusal::Refusal,
    store::{
        self,
        registrations::{self, Registration},
    },
};

pub(crate) async fn resend(app: &App, claim: &Claim) -> Result<Receipt, Refusal> {
    // Before anything else: an overload must cost nothing.
    let place = app.hashes.admit(Errand::Entering)?;
    let proved = claim::prove(app, claim, place).await?;
    // Newest first: that is the one which is meant when none was named.
    let newest = proved.first().ok_or(Refusal::Unauthenticated)?;
    let (wanted, traceparent) = (Wanted::Resend, claim.traceparent.as_str());
    let order = Order { email: &claim.email, network: claim.network, wanted, traceparent };

    let mut connection = app.store.connection().await?;
    let transaction = connection.transaction().await?;
    store::lock(&transaction, &app.address_key(&claim.email)).await?;
    let current = registrations::by_ids(&transaction, &[newest.id]).await?.pop().ok_or(Refusal::Unauthenticated)?;
    // What is over is not a matter of waiting: that answer goes before "too many".
    claim::check_open(app, &current)?;
    let grant = mint::grant(app, &transaction, &order).await?;
    let now = grant.now;
    let code = mint::mint(app, &transaction, &order, current.id, grant).await?;
    transaction.commit().await?;
    app.wake_relay();
    Ok(receipt::of(&Registration { code, undeliverable: false, dropped: false, now, ..current }, &app.policy))
}
