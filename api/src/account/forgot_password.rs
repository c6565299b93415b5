//! Requests a password reset: mails a reset code, or a notice that there is no account. The response does not reveal
//! which.

use futures_util::future::try_join;
use i18n::Language;
use uuid::Uuid;

use crate::{
    account::reset_allowance::ResetAllowance,
    app::App,
    auth::code_status::MailedCode,
    domain::{
        client::Client,
        email::EmailAddress,
        policy::{CodePurpose, CodeStatus, RateLimited},
    },
    error::Error,
    registration::issue_code::{self, CodeRequest, LimitUsage},
    rng,
    store::{
        resets::{self, Reset},
        transaction::{Commit, Transaction, Writes},
    },
};

/// A request for a reset code.
pub(crate) struct ForgotPassword {
    pub(crate) email: EmailAddress,
    pub(crate) language: Language,
    pub(crate) client: Client,
    pub(crate) traceparent: String,
}

/// The status of a reset, as the holder of its receipt sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResetStatus {
    /// No mail server has accepted the mail yet.
    Queued,
    /// The code can be used.
    Sent,
    /// The code expired unused, or has no attempts left.
    Expired,
    /// The mail was rejected permanently.
    Undeliverable,
    /// The code has changed the password.
    Used,
}

/// Creates a reset with its code, and the mail about it.
///
/// The same queries and writes happen whether there is an account or not, so that nothing reveals it.
pub(crate) async fn request_reset(app: &App, request: &ForgotPassword) -> Result<Reset, Error> {
    let purpose = CodePurpose::Reset;
    let keys = app.subject_keys(&request.email, request.client);
    let guess_key = app.reset_guess_key(&request.email);
    let code_request = CodeRequest {
        email: &request.email,
        keys: &keys,
        purpose,
        guess_key: &guess_key,
        traceparent: &request.traceparent,
    };

    // A browser with a cookie may have resets of its own.
    if keys.unlock_cookie.is_none() {
        app.rejection_cache.check(&keys)?;
    }
    let connection = app.store.connection().await?;
    // Checked once without the lock: a request that is rejected here makes no other one wait for the mailbox.
    let reading =
        try_join(issue_code::read_usage(&connection, &code_request), ResetAllowance::read(&connection, &keys));
    let (usage, allowance) = reading.await?;
    charge(app, &usage, &code_request, &allowance)?;
    // As with registrations: requests of one network are serialised only where networks have a limit.
    let network_lock = app.policy.registrations_per_network.as_ref().map(|_| &keys.network);
    let locks: Vec<_> = std::iter::once(&keys.mailbox).chain(network_lock).collect();
    let reading =
        try_join(issue_code::read_facts(app, &connection, &code_request), ResetAllowance::read(&connection, &keys));
    let (transaction, (facts, allowance)) = Transaction::begin(&connection, Commit::Durable, &locks, reading).await?;
    let charge = charge(app, &facts.usage, &code_request, &allowance)?;
    // Counted whether there is an account or not.
    let is_exempt_from_mute = facts.is_muted() && allowance.has_muted();
    let is_mailed = !facts.is_muted() || is_exempt_from_mute && facts.account_id().is_some();
    let now = facts.usage.now;
    let id = rng::id_at(now);
    let reset = Reset {
        id,
        email: request.email.clone(),
        user: facts.account_id(),
        language: facts.language(request.language),
        created_at: now,
        used_at: None,
        closed_at: None,
        undeliverable: false,
        dropped: false,
        code: issue_code::generate(app, &facts, purpose, is_mailed, id),
        now,
    };
    let mut writes = Writes::default();
    resets::insert(&mut writes, &reset, app.policy.reset_ttl);
    match charge {
        Charge::Mailbox => issue_code::write(app, &mut writes, &code_request, &facts, reset.code.id),
        Charge::Client => {
            allowance.count_own(&mut writes);
            issue_code::write_message(&mut writes, &code_request, reset.code.id);
        }
    }
    if is_exempt_from_mute {
        allowance.count_muted(&mut writes);
    }
    transaction.commit(writes).await?;
    app.metrics.code_issued(purpose, reset.code.length);
    app.wake_relay();
    Ok(reset)
}

/// What a reset is counted under.
enum Charge {
    /// The limits of the mailbox and of the network, which strangers can use up.
    Mailbox,
    /// The resets that a trusted client has of its own.
    Client,
}

/// Checks the limits of strangers, and those of the client if they are used up.
fn charge(
    app: &App,
    usage: &LimitUsage,
    request: &CodeRequest<'_>,
    allowance: &ResetAllowance<'_>,
) -> Result<Charge, RateLimited> {
    match issue_code::check_limits(app, usage, request) {
        Ok(()) => Ok(Charge::Mailbox),
        Err(_) if allowance.has_own() => Ok(Charge::Client),
        Err(limit) => Err(limit),
    }
}

/// Reads the reset with this receipt.
pub(crate) async fn read(app: &App, receipt: Uuid) -> Result<Reset, Error> {
    let connection = app.store.connection().await?;
    resets::by_id(&connection, receipt).await?.ok_or(Error::NotFound)
}

/// The status that the receipt of a reset shows.
pub(crate) fn status(reset: &Reset) -> ResetStatus {
    if reset.used_at.is_some() {
        return ResetStatus::Used;
    }
    if reset.undeliverable {
        return ResetStatus::Undeliverable;
    }
    match MailedCode::from(reset).status() {
        CodeStatus::Waiting => ResetStatus::Queued,
        CodeStatus::Live => ResetStatus::Sent,
        CodeStatus::Expired | CodeStatus::Exhausted => ResetStatus::Expired,
    }
}
