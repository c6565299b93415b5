//! Issues another code for a registration, after its password is verified.

use futures_util::future::try_join3;

use crate::{
    app::App,
    auth::{
        credentials::{self, Credentials, Purpose, VerifiedRegistrations},
        password_attempt::{AttemptOutcome, PasswordAttempt},
    },
    domain::receipt::Receipt,
    domain::{policy::CodePurpose, subject_keys::SubjectKeys},
    error::Error,
    password_hashing::Priority,
    registration::{
        issue_code::{self, CodeRequest, IssueFacts},
        receipt,
    },
    store::{
        codes,
        registrations::{self, Registration},
        transaction::{Commit, Transaction, Writes},
    },
};

/// Verifies the password and issues another code; the previous code of the registration becomes invalid.
pub(crate) async fn resend(app: &App, credentials: &Credentials) -> Result<Receipt, Error> {
    // Before anything else: an overload must cost nothing.
    let permit = app.hash_pool.reserve(credentials.client.network, Priority::High)?;
    let keys = app.subject_keys(&credentials.email, credentials.client);
    let verified = credentials::verify_registration_password(app, credentials, &keys, Purpose::Resend, permit).await?;
    let VerifiedRegistrations { registrations, attempt } = verified;
    let receipt = issue(app, credentials, &keys, &registrations, &attempt).await;
    attempt.ensure_settled(app, receipt).await
}

/// Issues the code if the registration and the limits allow it, and settles the password attempt in either case.
async fn issue(
    app: &App,
    credentials: &Credentials,
    keys: &SubjectKeys,
    verified: &[Registration],
    attempt: &PasswordAttempt<'_>,
) -> Result<Receipt, Error> {
    // The newest one is meant when the client named none.
    let newest = verified.first().ok_or(Error::Unauthenticated)?;
    let purpose = CodePurpose::Resend;
    let request = CodeRequest {
        email: &credentials.email,
        keys,
        purpose,
        guess_key: &keys.email,
        traceparent: &credentials.traceparent,
    };

    let connection = app.store.connection().await?;
    let reading = try_join3(
        registrations::by_id(&connection, newest.id),
        issue_code::read_facts(app, &connection, &request),
        attempt.read_lockouts(&connection),
    );
    let (transaction, (current, facts, lockouts)) =
        Transaction::begin(&connection, Commit::Durable, &[&keys.mailbox], reading).await?;
    let now = facts.usage.now;
    let allowed = check_allowed(app, current, &facts, &request)
        .map(|current| (issue_code::generate(app, &facts, purpose, !facts.is_muted(), current.id), current));
    let mut writes = Writes::default();
    // Whether a code is issued or not, the password was right.
    attempt.settle_in(&mut writes, lockouts, AttemptOutcome::Correct);
    if let Ok((code, current)) = &allowed {
        codes::supersede(&mut writes, current.id, now);
        codes::insert(&mut writes, code, app.policy.code_ttl, now);
        issue_code::write(app, &mut writes, &request, &facts, code.id);
    }
    transaction.commit(writes).await?;
    let (code, current) = allowed?;
    app.metrics.code_issued(purpose, code.length);
    app.wake_relay();
    let registration = Registration { code, undeliverable: false, dropped: false, now, ..current };
    Ok(receipt::of(&registration, &app.policy))
}

fn check_allowed(
    app: &App,
    current: Option<Registration>,
    facts: &IssueFacts,
    request: &CodeRequest<'_>,
) -> Result<Registration, Error> {
    let current = current.ok_or(Error::Unauthenticated)?;
    // Before the limits: a client that waits would not get a code for a closed registration either.
    credentials::check_open(app, &current)?;
    issue_code::check_limits(app, &facts.usage, request)?;
    Ok(current)
}
