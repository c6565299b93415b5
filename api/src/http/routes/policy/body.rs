//! The numbers of the policy as they are answered.

use poem_openapi::Object;

/// All times are in seconds.
#[derive(Object)]
#[oai(rename = "Policy")]
pub(crate) struct Body {
    pub(crate) code: Codes,
    pub(crate) reset: Resets,
    pub(crate) wrong_codes: WrongCodes,
    pub(crate) wrong_passwords: WrongPasswords,
    /// Missing when there is no limit.
    #[oai(skip_serializing_if_is_none)]
    pub(crate) registrations_per_network: Option<Vec<Window>>,
    pub(crate) registration_lifetime: i64,
    /// An address whose owner said that it was not them gets no mails about sign-ups for so long.
    pub(crate) muted_for: i64,
    pub(crate) sessions: Sessions,
    pub(crate) password_min_length: usize,
    /// How long an `Idempotency-Key` is remembered.
    pub(crate) idempotency_lifetime: i64,
    pub(crate) guess_bound: Bound,
}

#[derive(Object)]
pub(crate) struct Codes {
    /// The digits of a code: those of the first, and what an address gets that was guessed at.
    pub(crate) lengths: Vec<u8>,
    /// From the moment that a mail server took it.
    pub(crate) lifetime: i64,
    pub(crate) longest_lifetime: i64,
    pub(crate) attempts: u8,
    pub(crate) resend_after: i64,
    pub(crate) per_address: Vec<Window>,
    pub(crate) per_address_and_network: Vec<Window>,
}

/// The codes for another password. They are taken from what an address may have of the others.
#[derive(Object)]
#[oai(rename = "ResetPolicy")]
pub(crate) struct Resets {
    /// The digits of a code: the usual ones, and under pressure.
    pub(crate) lengths: Vec<u8>,
    /// From the moment that a mail server took it.
    pub(crate) lifetime: i64,
    pub(crate) longest_lifetime: i64,
    pub(crate) attempts: u8,
    /// After so many wrong guesses at those of an address its next ones are longer.
    pub(crate) longer_after: u32,
    /// By everybody together, in a day; then the next ones of everybody are longer.
    pub(crate) by_everybody: ByLength,
    pub(crate) guess_bound: Bound,
}

#[derive(Object)]
pub(crate) struct WrongCodes {
    pub(crate) per_registration: u32,
    /// After so many at codes of one length the address gets longer ones; without longer codes, none at all. At
    /// the longest codes only their number and that of their tries is a limit.
    #[oai(skip_serializing_if_is_none)]
    pub(crate) per_address: Option<u32>,
    /// They are forgotten when nobody guessed for so long.
    pub(crate) forgotten_after: i64,
    pub(crate) per_network: Vec<Window>,
    /// By everybody together, in a day; then everybody gets longer codes.
    pub(crate) by_everybody: Vec<ByLength>,
}

#[derive(Object)]
pub(crate) struct ByLength {
    pub(crate) length: u8,
    pub(crate) limit: u32,
}

#[derive(Object)]
pub(crate) struct WrongPasswords {
    pub(crate) per_address_and_network: usize,
    /// From networks that the account was never entered from.
    pub(crate) per_address: usize,
    /// At all addresses together, but for accounts that were entered from there, and those that asked for a code today.
    pub(crate) per_network: Vec<Window>,
    pub(crate) within: i64,
    /// So long an account's way in from a network stays open, whatever others do.
    pub(crate) entered_counts_for: i64,
    /// The same where somebody asked for a code of the address.
    pub(crate) asked_counts_for: i64,
    /// Doubled each time.
    pub(crate) first_lock: i64,
    pub(crate) longest_lock: i64,
}

#[derive(Object)]
#[oai(rename = "SessionPolicy")]
pub(crate) struct Sessions {
    pub(crate) lifetime: i64,
    /// One more ends the oldest.
    pub(crate) per_user: usize,
}

#[derive(Object)]
pub(crate) struct Window {
    pub(crate) limit: usize,
    pub(crate) seconds: i64,
}

#[derive(Object)]
pub(crate) struct Bound {
    /// How likely somebody who never reads the mail gets into one given address in a year, at most; with a reset, takes
    /// over its account.
    pub(crate) one_address_one_year: f64,
    /// So many codes of an address may be had, and tried, in that time.
    pub(crate) codes: u32,
}
