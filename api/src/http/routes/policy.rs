//! `GET /v1/policy`: all lifetimes and limits, and the resulting bound on guessing.

use std::sync::Arc;

use poem_openapi::{Object, OpenApi, payload::Json};
use time::Duration;

use crate::{
    app::App,
    domain::{
        mail_suppression::SUPPRESSION_PERIOD,
        policy::{
            ACCOUNT_LOCKOUT, IDEMPOTENCY_TTL, KNOWN_NETWORK_LOCKOUT, KNOWN_NETWORK_TTL, MAX_CONSECUTIVE_FAILURES,
            NETWORK_LOCKOUT, OWN_RESETS, PASSWORD_CHECK_WINDOW, Policy, SESSIONS_PER_USER, SURROUNDINGS_LOCKOUTS,
            UNLOCK_TTL, UNLOCKED_BROWSER_LOCKOUT,
        },
        rate_limit::{
            guess_escalation, guess_shares, guess_shares::InstanceLimit, lockout, reset_escalation,
            sliding_window::SlidingWindow,
        },
    },
};

/// The operation that publishes the policy.
pub(crate) struct Policies {
    pub(crate) app: Arc<App>,
}

#[OpenApi(prefix_path = "/v1")]
impl Policies {
    /// Read the policy
    ///
    /// Returns all lifetimes and limits, and the resulting upper bound on an attacker's chance to guess a code.
    #[oai(path = "/policy", method = "get", operation_id = "read_policy")]
    async fn policy(&self) -> Json<PolicyBody> {
        Json(policy_body(&self.app.policy))
    }
}

fn policy_body(policy: &Policy) -> PolicyBody {
    let codes_per_year = policy.codes_a_year();
    let address_bound = policy.guesses.probability_bound(codes_per_year, policy.code_attempts);
    PolicyBody {
        code: CodePolicy {
            lengths: policy.guesses.code_lengths().to_vec(),
            lifetime: policy.code_ttl.whole_seconds(),
            longest_lifetime: policy.code_max_age.whole_seconds(),
            attempts: policy.code_attempts,
            resend_after: policy.resend_throttle.whole_seconds(),
            per_address: windows(&policy.codes),
            per_address_and_network: windows(&policy.codes_per_network),
        },
        reset: reset_policy(policy),
        wrong_codes: wrong_code_limits(policy),
        wrong_passwords: wrong_password_limits(policy),
        registrations_per_network: policy.registrations_per_network.as_ref().map(windows),
        password_changes: windows(&policy.password_changes),
        password_checks_per_network: policy.password_checks_per_network.map(password_check_window),
        registration_lifetime: policy.registration_ttl.whole_seconds(),
        muted_for: SUPPRESSION_PERIOD.whole_seconds(),
        sessions: SessionPolicy { lifetime: policy.session_ttl.whole_seconds(), per_user: SESSIONS_PER_USER },
        password_min_length: policy.password_min_length,
        idempotency_lifetime: IDEMPOTENCY_TTL.whole_seconds(),
        guess_bound: GuessBound { one_address_one_year: address_bound, codes: codes_per_year },
        bounds: Bounds {
            address_per_year: address_bound,
            instance_per_year: policy.guesses.instance_bound(),
            instance_per_activation: policy.guesses.instance_bound_per_activation(),
            longest_code: policy.guesses.longest_probability(),
        },
    }
}

fn reset_policy(policy: &Policy) -> ResetPolicy {
    let usual = policy.resets.base_length();
    let longest = policy.resets.max_length();
    ResetPolicy {
        lengths: if usual < longest { vec![usual, longest] } else { vec![longest] },
        lifetime: policy.reset_ttl.whole_seconds(),
        longest_lifetime: policy.reset_max_age().whole_seconds(),
        attempts: policy.code_attempts,
        longer_after: guess_escalation::GUESSES_PER_STEP,
        own: vec![LimitWindow { limit: OWN_RESETS.0, seconds: OWN_RESETS.1.whole_seconds() }],
        by_everybody: LimitByLength { length: usual, limit: reset_escalation::INSTANCE_LIMIT },
        guess_bound: GuessBound {
            one_address_one_year: policy.reset_probability_bound(),
            codes: policy.codes_a_year(),
        },
    }
}

fn wrong_code_limits(policy: &Policy) -> WrongCodeLimits {
    let by_length = |(length, limit): (u8, InstanceLimit)| LimitByLength { length, limit: limit.wrong };
    WrongCodeLimits {
        per_registration: guess_escalation::GUESSES_PER_STEP,
        per_address: policy.guesses.per_address(),
        forgotten_after: guess_escalation::QUIET_PERIOD.whole_seconds(),
        per_network: policy.wrong_codes_per_network.as_ref().map(|limit| windows(&limit.windows(0))),
        per_network_percent: guess_shares::NETWORK_PERCENT,
        by_everybody: policy.guesses.instance_limits().map(by_length).collect(),
        by_everybody_percent: guess_shares::INSTANCE_PERCENT,
        activations_of_network: guess_shares::MAX_ACTIVATIONS_OF_NETWORK,
    }
}

fn wrong_password_limits(policy: &Policy) -> WrongPasswordLimits {
    let [per_56, per_48] = SURROUNDINGS_LOCKOUTS.map(|rule| rule.attempts);
    WrongPasswordLimits {
        per_address_and_network: NETWORK_LOCKOUT.attempts,
        per_address_and_ipv6_56: per_56,
        per_address_and_ipv6_48: per_48,
        per_address: ACCOUNT_LOCKOUT.attempts,
        per_address_and_known_network: KNOWN_NETWORK_LOCKOUT.attempts,
        per_address_and_unlocked_browser: UNLOCKED_BROWSER_LOCKOUT.attempts,
        consecutive_per_address: MAX_CONSECUTIVE_FAILURES,
        per_network: windows(&policy.wrong_passwords_per_network),
        within: NETWORK_LOCKOUT.window.whole_seconds(),
        network_known_for: KNOWN_NETWORK_TTL.whole_seconds(),
        browser_unlocked_for: UNLOCK_TTL.whole_seconds(),
        first_lock: NETWORK_LOCKOUT.first_lock.whole_seconds(),
        longest_lock: lockout::MAX_LOCK.whole_seconds(),
    }
}

fn password_check_window(limit: usize) -> Vec<LimitWindow> {
    vec![LimitWindow { limit, seconds: PASSWORD_CHECK_WINDOW.whole_seconds() }]
}

fn windows(limit: &SlidingWindow) -> Vec<LimitWindow> {
    let window = |&(limit, length): &(usize, Duration)| LimitWindow { limit, seconds: length.whole_seconds() };
    limit.windows().iter().map(window).collect()
}

/// The policy of the service. All times are in seconds.
#[derive(Object)]
#[oai(rename = "Policy")]
struct PolicyBody {
    code: CodePolicy,
    reset: ResetPolicy,
    wrong_codes: WrongCodeLimits,
    wrong_passwords: WrongPasswordLimits,
    /// Missing when there is no limit.
    #[oai(skip_serializing_if_is_none)]
    registrations_per_network: Option<Vec<LimitWindow>>,
    /// Password changes per account; resets do not count.
    password_changes: Vec<LimitWindow>,
    /// Passwords that each API process verifies for a network, correct and wrong ones. Missing when there is no limit.
    #[oai(skip_serializing_if_is_none)]
    password_checks_per_network: Option<Vec<LimitWindow>>,
    registration_lifetime: i64,
    /// How long an email address receives no sign-up mails after its owner has followed the "this was not me" link.
    muted_for: i64,
    sessions: SessionPolicy,
    password_min_length: usize,
    /// How long an `Idempotency-Key` is remembered.
    idempotency_lifetime: i64,
    guess_bound: GuessBound,
    bounds: Bounds,
}

/// Activation codes.
#[derive(Object)]
#[oai(rename = "Codes")]
struct CodePolicy {
    /// The possible code lengths in digits: the first is used by default, longer ones for email addresses whose codes
    /// were guessed.
    lengths: Vec<u8>,
    /// Counted from when a mail server accepted the mail.
    lifetime: i64,
    longest_lifetime: i64,
    attempts: u8,
    resend_after: i64,
    per_address: Vec<LimitWindow>,
    per_address_and_network: Vec<LimitWindow>,
}

/// Codes for password resets. They count towards the same limits per email address as activation codes.
#[derive(Object)]
#[oai(rename = "ResetPolicy")]
struct ResetPolicy {
    /// The possible code lengths in digits: by default, and while many codes are guessed.
    lengths: Vec<u8>,
    /// Counted from when a mail server accepted the mail.
    lifetime: i64,
    longest_lifetime: i64,
    attempts: u8,
    /// After this many wrong reset codes for an email address, its next reset codes are longer.
    longer_after: u32,
    /// Resets that a network known to the account and an unlocked browser each have when the others are used up.
    own: Vec<LimitWindow>,
    /// Limit for all clients together in one day. When it is reached, all new reset codes are longer.
    by_everybody: LimitByLength,
    guess_bound: GuessBound,
}

/// Limits on wrong activation codes.
#[derive(Object)]
#[oai(rename = "WrongCodes")]
struct WrongCodeLimits {
    per_registration: u32,
    /// After this many wrong codes of one length, the email address gets longer codes; if there are none, no codes at
    /// all. At the longest length, only the number of codes and of attempts per code is limited.
    #[oai(skip_serializing_if_is_none)]
    per_address: Option<u32>,
    /// Wrong codes are forgotten after this long without a wrong code.
    forgotten_after: i64,
    /// The limits of a network, or this share of its own activations of the last day, if that is more. Missing when there
    /// is no limit.
    #[oai(skip_serializing_if_is_none)]
    per_network: Option<Vec<LimitWindow>>,
    per_network_percent: u32,
    /// Limits for all clients together in one day. While one is exceeded, everyone gets longer codes. For fewer than six
    /// digits it is this share of the activations of the last day, if that is more.
    by_everybody: Vec<LimitByLength>,
    by_everybody_percent: u32,
    /// The activations of one network that count for `by_everybody`.
    activations_of_network: u32,
}

/// A limit for codes of one length.
#[derive(Object)]
#[oai(rename = "ByLength")]
struct LimitByLength {
    length: u8,
    limit: u32,
}

/// Limits on wrong passwords.
#[derive(Object)]
#[oai(rename = "WrongPasswords")]
struct WrongPasswordLimits {
    /// From one IPv4 address or IPv6 /64 that is not known to the account.
    per_address_and_network: usize,
    /// From one IPv6 /56, other than known networks.
    per_address_and_ipv6_56: usize,
    /// From one IPv6 /48, other than known networks.
    per_address_and_ipv6_48: usize,
    /// From all networks, other than known ones.
    per_address: usize,
    /// From one network that is known to the account, by an activation, a log-in or a reset.
    per_address_and_known_network: usize,
    /// In a browser in which the owner has opened the link from the mail about a locked account.
    per_address_and_unlocked_browser: usize,
    /// After this many wrong passwords without a right one, only known networks and unlocked browsers may try.
    consecutive_per_address: u32,
    /// For all email addresses together, except accounts to which the network is known.
    per_network: Vec<LimitWindow>,
    within: i64,
    /// How long a network is known to an account after the last success from there.
    network_known_for: i64,
    browser_unlocked_for: i64,
    /// Doubled with each further lockout.
    first_lock: i64,
    longest_lock: i64,
}

/// Sessions of a user.
#[derive(Object)]
#[oai(rename = "SessionPolicy")]
struct SessionPolicy {
    lifetime: i64,
    /// One more session ends the oldest.
    per_user: usize,
}

/// A sliding-window limit: at most `limit` within `seconds`.
#[derive(Object)]
#[oai(rename = "Window")]
struct LimitWindow {
    limit: usize,
    seconds: i64,
}

/// Upper bound on an attacker's success by guessing.
#[derive(Object)]
#[oai(rename = "Bound")]
struct GuessBound {
    /// The maximum probability that an attacker who cannot read the mails activates one given email address within a
    /// year; for resets, that the attacker takes over its account.
    one_address_one_year: f64,
    /// The maximum number of codes of one email address that can be requested and tried in that time.
    codes: u32,
}

/// Upper bounds on what attackers who cannot read the mails activate by guessing. They include the guesses that are
/// compared at the same moment.
#[derive(Object)]
struct Bounds {
    /// The maximum probability that one given email address is activated within a year.
    address_per_year: f64,
    /// The expected number of activations within a year over all email addresses, by guesses at codes shorter than the
    /// longest, on an instance without other activations. Missing when the number of such guesses has no limit.
    #[oai(skip_serializing_if_is_none)]
    instance_per_year: Option<f64>,
    /// What each other activation adds to it. Missing when the limits do not depend on activations.
    #[oai(skip_serializing_if_is_none)]
    instance_per_activation: Option<f64>,
    /// The probability that a guess at a code of the longest length is right. Over all email addresses, such guesses are
    /// limited by the mails that they cost.
    longest_code: f64,
}
