//! Makes a code for a registration or a reset, and the message that has it mailed.

use futures_util::future::try_join4;
use i18n::Language;
use secrecy::ExposeSecret;
use shared::{
    codes::{DECOY, MUTED},
    messages::{self, Envelope, Message},
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    app::App,
    auth::subject_keys::SubjectKeys,
    domain::{
        email::EmailAddress,
        mail_suppression,
        password::proof::Proof,
        policy::{Code, CodePurpose, IssuedCodes, RateLimited},
    },
    outbox::delivery::OutboxMessage,
    rng,
    store::{
        Connection, PgError,
        guesses::{self, Ledger},
        mail_suppressions, outbox,
        rate_limits::{self, LimitKind},
        transaction::Writes,
        users::{self, User},
    },
};

/// For whom a code is wanted, and why.
pub(crate) struct CodeRequest<'a> {
    pub(crate) email: &'a EmailAddress,
    pub(crate) keys: &'a SubjectKeys,
    pub(crate) wanted: CodePurpose,
    /// Under which name the wrong guesses at such codes are kept.
    pub(crate) guessed: &'a [u8; 32],
    pub(crate) traceparent: &'a str,
}

/// EventKind was used before.
pub(crate) struct BudgetUse {
    minted: IssuedCodes,
    registered: Vec<OffsetDateTime>,
    pub(crate) now: OffsetDateTime,
}

/// EventKind must be known to mint a code, read under the lock of the address.
pub(crate) struct Facts {
    pub(crate) used: BudgetUse,
    ledger: Ledger,
    account: Option<User>,
    is_muted: bool,
}

pub(crate) async fn read(connection: &Connection, request: &CodeRequest<'_>) -> Result<Facts, PgError> {
    let (used, ledger, account, muted_until) = try_join4(
        used(connection, request),
        guesses::read(connection, request.guessed),
        users::by_email(connection, request.email),
        mail_suppressions::until(connection, &request.keys.address),
    )
    .await?;
    let is_muted = mail_suppression::running(muted_until, used.now).is_some();
    Ok(Facts { used, ledger, account, is_muted })
}

pub(crate) async fn used(
    connection: &Connection,
    CodeRequest { keys, .. }: &CodeRequest<'_>,
) -> Result<BudgetUse, PgError> {
    let asked = [
        (&keys.address, LimitKind::Codes),
        (&keys.here, LimitKind::CodesFrom),
        (&keys.network, LimitKind::RegistrationsFrom),
    ];
    let ([all, here, registered], now) = rate_limits::used(connection, asked).await?;
    Ok(BudgetUse { minted: IssuedCodes { all, here }, registered, now })
}

/// Asks the policy: a registration takes from what its network may have, too, and so does a reset.
pub(crate) fn judge(app: &App, used: &BudgetUse, request: &CodeRequest<'_>) -> Result<(), RateLimited> {
    let may_mint = app.policy.may_mint(&used.minted, used.now, request.wanted);
    if request.wanted == CodePurpose::Resend {
        return may_mint;
    }
    app.rejections.note(&request.keys.here, may_mint)?;
    app.rejections.note(&request.keys.network, app.policy.may_register(&used.registered, used.now))
}

impl Facts {
    /// Only sign-ups are muted: whoever has an account can have another password.
    fn mutes(&self, wanted: CodePurpose) -> bool {
        self.is_muted && wanted != CodePurpose::Reset
    }

    /// Whether a hash of this recipe may be added to those of the address: its account's may have been renewed
    /// while it was made.
    pub(crate) fn allow(&self, proof: &Proof) -> bool {
        self.account.as_ref().is_none_or(|account| proof.is_like(&account.password_hash))
    }

    /// The account of the address, if it has one.
    pub(crate) fn account(&self) -> Option<Uuid> {
        self.account.as_ref().map(|account| account.id)
    }

    /// In which language to write to the address. Its owner did not choose that of a stranger who registers it too.
    pub(crate) fn language(&self, asked: Language) -> Language {
        self.account.as_ref().map_or(asked, |account| account.language)
    }
}

/// The code that counts from now on. For a registration at an address that has an account or is muted, and for a reset at
/// one that has no account, it is one that nobody can know; nothing else differs.
pub(crate) fn make(app: &App, facts: &Facts, wanted: CodePurpose, receipt: Uuid) -> Code {
    let Facts { used: BudgetUse { minted, now, .. }, ledger, account, .. } = facts;
    let (id, key, policy) = (rng::id(), app.ring.newest(), &app.policy);
    let (length, max_age) = match wanted {
        CodePurpose::Reset => (policy.resets.length(&ledger.record, &ledger.spent, *now), policy.reset_max_age()),
        _ => (policy.guesses.length(&ledger.record, &ledger.spent, *now), policy.code_max_age),
    };
    let digits = if facts.mutes(wanted) {
        MUTED.to_owned().into()
    } else if account.is_some() != (wanted == CodePurpose::Reset) {
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
        deadline: *now + max_age,
        sent_at: None,
        expires_at: None,
        resend_at: policy.resend_at(&policy.remember(minted, *now), *now),
    }
}

/// Writes the message about a code, and what it takes from the budgets. Instead of a decoy, a mail tells why there is
/// none; of a muted one the worker sees that nothing is to be mailed. The caller writes the code.
pub(crate) fn write<'a>(app: &App, writes: &mut Writes<'a>, request: &CodeRequest<'a>, facts: &Facts, code: Uuid) {
    let (policy, keys, now) = (&app.policy, request.keys, facts.used.now);
    let IssuedCodes { all, here } = policy.remember(&facts.used.minted, now);
    rate_limits::set(writes, &keys.address, LimitKind::Codes, all);
    rate_limits::set(writes, &keys.here, LimitKind::CodesFrom, here);
    if let (CodePurpose::Registration | CodePurpose::Reset, Some(share)) = (request.wanted, &policy.registrations_from)
    {
        rate_limits::set(writes, &keys.network, LimitKind::RegistrationsFrom, share.with(&facts.used.registered, now));
    }
    let kind = match (request.wanted, facts.account.is_some()) {
        (CodePurpose::Reset, true) => messages::MailKind::ResetCode,
        (CodePurpose::Reset, false) => messages::MailKind::NoAccount,
        (wanted, true) if !facts.mutes(wanted) => messages::MailKind::AlreadyRegistered,
        (CodePurpose::Registration | CodePurpose::Resend, _) => messages::MailKind::SendCode,
    };
    let (message, traceparent) = (Message { kind, id: code }, Some(request.traceparent.to_owned()));
    outbox::insert(writes, OutboxMessage::Mail(Envelope { message, traceparent }));
}
