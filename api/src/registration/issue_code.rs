//! Issues a code for a registration or a reset, with the outbox message that has it mailed.
//!
//! In order: [`read_facts`] under the lock of the mailbox, [`check_limits`], [`generate`], `write`.

use futures_util::future::try_join5;
use i18n::Language;
use secrecy::ExposeSecret;
use shared::{
    codes::{DECOY, MUTED},
    messages::{Envelope, MailKind, Message},
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    app::App,
    auth::counted_guess,
    domain::{
        email::EmailAddress,
        mail_suppression,
        outbox_message::OutboxMessage,
        password::computed_hash::ComputedHash,
        policy::{Code, CodePurpose, IssuedCodes, RateLimited},
        rate_limit::guess_shares::InstanceTotals,
        subject_keys::SubjectKeys,
    },
    rng,
    store::{
        Connection, PgError,
        guesses::{self, GuessCounts},
        mail_suppressions, outbox,
        rate_limits::{self, LimitKind},
        transaction::Writes,
        users::{self, User},
    },
};

/// A request for a code: for which email address, and what for.
pub(crate) struct CodeRequest<'a> {
    pub(crate) email: &'a EmailAddress,
    pub(crate) keys: &'a SubjectKeys,
    pub(crate) purpose: CodePurpose,
    /// The key that wrong guesses at such codes are counted under.
    pub(crate) guess_key: &'a [u8; 32],
    pub(crate) traceparent: &'a str,
}

/// How much of the limits is used.
pub(crate) struct LimitUsage {
    issued: IssuedCodes,
    /// When the network registered or requested resets, oldest first.
    registered: Vec<OffsetDateTime>,
    /// The database's time when this was read.
    pub(crate) now: OffsetDateTime,
}

/// What a new code depends on, read under the lock of the mailbox.
pub(crate) struct IssueFacts {
    pub(crate) usage: LimitUsage,
    ledger: GuessCounts,
    totals: InstanceTotals,
    account: Option<User>,
    is_suppressed: bool,
}

/// Reads everything that a new code depends on. The caller holds the lock of the mailbox.
pub(crate) async fn read_facts(
    app: &App,
    connection: &Connection,
    request: &CodeRequest<'_>,
) -> Result<IssueFacts, PgError> {
    let (usage, ledger, totals, account, suppressed_until) = try_join5(
        read_usage(connection, request),
        guesses::read(connection, request.guess_key),
        counted_guess::instance_totals(app, connection),
        users::by_email(connection, request.email),
        mail_suppressions::until(connection, &request.keys.mailbox),
    )
    .await?;
    let is_suppressed = mail_suppression::active_until(suppressed_until, usage.now).is_some();
    Ok(IssueFacts { usage, ledger, totals, account, is_suppressed })
}

/// Reads how much of the limits is used.
pub(crate) async fn read_usage(connection: &Connection, request: &CodeRequest<'_>) -> Result<LimitUsage, PgError> {
    let keys = request.keys;
    let limits = [
        (&keys.mailbox, LimitKind::Codes),
        (&keys.mailbox_and_network, LimitKind::CodesPerNetwork),
        (&keys.network, LimitKind::RegistrationsPerNetwork),
    ];
    let ([all, by_network, registered], now) = rate_limits::times_used(connection, limits).await?;
    Ok(LimitUsage { issued: IssuedCodes { all, by_network }, registered, now })
}

/// Checks the limits of the email address and, except for a resend, of the network; a reset counts like a registration.
pub(crate) fn check_limits(app: &App, usage: &LimitUsage, request: &CodeRequest<'_>) -> Result<(), RateLimited> {
    let may_issue = app.policy.check_code_limits(&usage.issued, usage.now, request.purpose);
    if request.purpose == CodePurpose::Resend {
        return may_issue;
    }
    app.rejection_cache.record(&request.keys.mailbox_and_network, may_issue)?;
    app.rejection_cache.record(&request.keys.network, app.policy.check_registration_limit(&usage.registered, usage.now))
}

impl IssueFacts {
    /// Whether the mailbox is muted: then no mail is sent, except a reset code at times.
    pub(crate) fn is_muted(&self) -> bool {
        self.is_suppressed
    }

    /// Whether a hash with this recipe may be stored for the email address. Its account may have been rehashed with
    /// another recipe while this hash was computed.
    pub(crate) fn allows_hash_of(&self, computed: &ComputedHash) -> bool {
        self.account.as_ref().is_none_or(|account| computed.has_same_recipe(&account.password_hash))
    }

    /// The account of the email address, if there is one.
    pub(crate) fn account_id(&self) -> Option<Uuid> {
        self.account.as_ref().map(|account| account.id)
    }

    /// The language of mails to the email address: that of its account, since the owner did not choose the language of
    /// a stranger who registers the same email address; without an account the one requested.
    pub(crate) fn language(&self, requested: Language) -> Language {
        self.account.as_ref().map_or(requested, |account| account.language)
    }
}

/// Generates the code.
///
/// The code of a registration is a decoy that cannot be guessed if the email address has an account; so is the code of a
/// reset if there is no account, and any code that is not mailed. Nothing else differs.
pub(crate) fn generate(app: &App, facts: &IssueFacts, purpose: CodePurpose, is_mailed: bool, receipt: Uuid) -> Code {
    let IssueFacts { usage, ledger, totals, account, .. } = facts;
    let now = usage.now;
    let policy = &app.policy;
    let (length, max_age) = match purpose {
        CodePurpose::Reset => (policy.resets.length(&ledger.record, totals, now), policy.reset_max_age()),
        CodePurpose::Registration | CodePurpose::Resend => {
            (policy.guesses.length(&ledger.record, totals, now), policy.code_max_age)
        }
    };
    let id = rng::id_at(now);
    let key = app.code_secrets.newest();
    let digits = if !is_mailed {
        MUTED.to_owned().into()
    } else if account.is_some() != (purpose == CodePurpose::Reset) {
        DECOY.to_owned().into()
    } else {
        key.digits(id, length)
    };
    Code {
        id,
        receipt,
        hash: key.verifier(id, digits.expose_secret()).to_vec(),
        key_id: key.id.clone(),
        length,
        attempts: 0,
        attempts_allowed: policy.code_attempts,
        deadline: now + max_age,
        sent_at: None,
        expires_at: None,
        resend_at: policy.resend_at(&policy.record_issued(&usage.issued, now), now),
    }
}

/// Writes the outbox message about a code, and what the code takes from the limits. The caller writes the code.
pub(crate) fn write<'a>(app: &App, writes: &mut Writes<'a>, request: &CodeRequest<'a>, facts: &IssueFacts, code: Uuid) {
    count(app, writes, request, facts);
    write_message(writes, request, code);
}

/// Writes what a code takes from the limits.
fn count<'a>(app: &App, writes: &mut Writes<'a>, request: &CodeRequest<'a>, facts: &IssueFacts) {
    let LimitUsage { issued, registered, now } = &facts.usage;
    let (policy, keys) = (&app.policy, request.keys);
    let IssuedCodes { all, by_network } = policy.record_issued(issued, *now);
    rate_limits::write(writes, &keys.mailbox, LimitKind::Codes, all);
    rate_limits::write(writes, &keys.mailbox_and_network, LimitKind::CodesPerNetwork, by_network);
    let network_limit = policy.registrations_per_network.as_ref().filter(|_| request.purpose != CodePurpose::Resend);
    if let Some(limit) = network_limit {
        rate_limits::write(writes, &keys.network, LimitKind::RegistrationsPerNetwork, limit.with(registered, *now));
    }
}

/// Writes the outbox message about a code. It is the same whatever exists: the worker sees by the hash of the code that
/// it is a decoy, or that nothing is to be mailed.
pub(crate) fn write_message(writes: &mut Writes<'_>, request: &CodeRequest<'_>, code: Uuid) {
    let kind = match request.purpose {
        CodePurpose::Reset => MailKind::ResetCode,
        CodePurpose::Registration | CodePurpose::Resend => MailKind::SendCode,
    };
    let envelope = Envelope { message: Message { kind, id: code }, traceparent: Some(request.traceparent.to_owned()) };
    outbox::insert(writes, OutboxMessage::Mail(envelope));
}
