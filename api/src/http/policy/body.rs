//! The numbers of the policy as they are answered.

use poem_openapi::Object;

/// All times are in seconds.
#[derive(Object)]
#[oai(rename = "Policy")]
pub(super) struct Body {
    pub(super) code: Codes,
    pub(super) reset: Resets,
    pub(super) wrong_codes: WrongCodes,
    pub(super) wrong_passwords: WrongPasswords,
    /// Missing when there is no limit.
    #[oai(skip_serializing_if_is_none)]
    pub(super) registrations_per_network: Option<Vec<Window>>,
    pub(super) registration_lifetime: i64,
    /// An address whose owner said that it was not them gets no mails about sign-ups for so long.
    pub(super) muted_for: i64,
    pub(super) sessions: Sessions,
    pub(super) password_min_length: usize,
    /// How long an `Idempotency-Key` is remembered.
    pub(super) idempotency_lifetime: i64,
    pub(super) guess_bound: Bound,
}

#[derive(Object)]
pub(super) struct Codes {
    /// The digits of a code: those of the first, and what an address gets that was guessed at.
    pub(super) lengths: Vec<u8>,
    /// From the moment that a mail server took it.
    pub(super) lifetime: i64,
    pub(super) longest_lifetime: i64,
    pub(super) attempts: u8,
    pub(super) resend_after: i64,
    pub(super) per_address: Vec<Window>,
    pub(super) per_address_and_network: Vec<Window>,
}

/// The codes for another password. They are taken from what an address may have of the others.
#[derive(Object)]
#[oai(rename = "ResetPolicy")]
pub(super) struct Resets {
    /// The digits of a code: the usual ones, and under pressure.
    pub(super) lengths: Vec<u8>,
    /// From the moment that a mail server took it.
    pub(super) lifetime: i64,
    pub(super) longest_lifetime: i64,
    pub(super) attempts: u8,
    /// After so many wrong guesses at those of an address its next ones are longer.
    pub(super) longer_after: u32,
    /// By everybody together, in a day; then the next ones of everybody are longer.
    pub(super) by_everybody: ByLength,
    pub(super) guess_bound: Bound,
}

#[derive(Object)]
pub(super) struct WrongCodes {
    pub(super) per_registration: u32,
    /// After so many at codes of one length the address gets longer ones; without longer codes, none at all. At
    /// the longest codes only their number and that of their tries is a limit.
    #[oai(skip_serializing_if_is_none)]
    pub(super) per_address: Option<u32>,
    /// They are forgotten when nobody guessed for so long.
    pub(super) forgotten_after: i64,
    pub(super) per_network: Vec<Window>,
    /// By everybody together, in a day; then everybody gets longer codes.
    pub(super) by_everybody: Vec<ByLength>,
}

#[derive(Object)]
pub(super) struct ByLength {
    pub(super) length: u8,
    pub(super) limit: u32,
}

#[derive(Object)]
pub(super) struct WrongPasswords {
    pub(super) per_address_and_network: usize,
    /// From networks that the account was never entered from.
    pub(super) per_address: usize,
    /// At all addresses together, but for accounts that were entered from there, and those that asked for a code today.
    pub(super) per_network: Vec<Window>,
    pub(super) within: i64,
    /// So long an account's way in from a network stays open, whatever others do.
    pub(super) entered_counts_for: i64,
    /// The same where somebody asked for a code of the address.
    pub(super) asked_counts_for: i64,
    /// Doubled each time.
    pub(super) first_lock: i64,
    pub(super) longest_lock: i64,
}

#[derive(Object)]
#[oai(rename = "SessionPolicy")]
pub(super) struct Sessions {
    pub(super) lifetime: i64,
    /// One more ends the oldest.
    pub(super) per_user: usize,
}

#[derive(Object)]
pub(super) struct Window {
    pub(super) limit: usize,
    pub(super) seconds: i64,
}

#[derive(Object)]
pub(super) struct Bound {
    /// How likely somebody who never reads the mail gets into one given address in a year, at most; with a reset, takes
    /// over its account.
    pub(super) one_address_one_year: f64,
    /// So many codes of an address may be had, and tried, in that time.
    pub(super) codes: u32,
}
