//! Requests a password reset: mails a reset code, or a notice that there is no account. The response does not reveal
//! which.

use i18n::Language;
use uuid::Uuid;

use crate::{
    app::App,
    auth::code_status::MailedCode,
    domain::{
        email::EmailAddress,
        network::Network,
        policy::{CodePurpose, CodeStatus},
    },
    error::Error,
    registration::issue_code::{self, CodeRequest},
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
    pub(crate) network: Network,
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
    let keys = app.subject_keys(&request.email, request.network);
    let guess_key = app.reset_guess_key(&request.email);
    let code_request = CodeRequest {
        email: &request.email,
        keys: &keys,
        purpose,
        guess_key: &guess_key,
        traceparent: &request.traceparent,
    };

    app.rejection_cache.check(&keys)?;
    let connection = app.store.connection().await?;
    // Checked once without the lock: a request that is rejected here makes no other one wait for the email address.
    issue_code::check_limits(app, &issue_code::read_usage(&connection, &code_request).await?, &code_request)?;
    // As with registrations: requests of one network are serialised only where networks have a limit.
    let network_lock = app.policy.registrations_per_network.as_ref().map(|_| &keys.network);
    let locks: Vec<_> = std::iter::once(&keys.email).chain(network_lock).collect();
    let reading = issue_code::read_facts(&connection, &code_request);
    let (transaction, facts) = Transaction::begin(&connection, Commit::Durable, &locks, reading).await?;
    issue_code::check_limits(app, &facts.usage, &code_request)?;
    let id = rng::id();
    let now = facts.usage.now;
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
        code: issue_code::generate(app, &facts, purpose, id),
        now,
    };
    let mut writes = Writes::default();
    resets::insert(&mut writes, &reset, app.policy.reset_ttl);
    issue_code::write(app, &mut writes, &code_request, &facts, reset.code.id);
    transaction.commit(writes).await?;
    app.metrics.code_issued(purpose, reset.code.length);
    app.wake_relay();
    Ok(reset)
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
