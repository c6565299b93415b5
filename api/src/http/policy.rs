//! `GET /v1/policy`: every number of the policy, and what somebody who guesses can hope for.

use std::sync::Arc;

use poem_openapi::{Object, OpenApi, payload::Json};
use time::Duration;

use crate::{
    App,
    domain::{
        guesses, lockout,
        policy::{Policy, WRONG_PASSWORDS, WRONG_PASSWORDS_FROM},
        share::Share,
    },
};

pub(super) struct Policies {
    pub(super) app: Arc<App>,
}

/// All times are in seconds.
#[derive(Object)]
#[oai(rename = "Policy")]
struct Body {
    code: Codes,
    wrong_codes: WrongCodes,
    wrong_passwords: WrongPasswords,
    /// Missing when there is no limit.
    #[oai(skip_serializing_if_is_none)]
    registrations_per_network: Option<Vec<Window>>,
    registration_lifetime: i64,
    password_min_length: usize,
    guess_bound: Bound,
}

#[derive(Object)]
struct Codes {
    /// The digits of a code: those of the first, and what an address gets that was guessed at.
    lengths: Vec<u8>,
    /// From the moment that a mail server took it.
    lifetime: i64,
    longest_lifetime: i64,
    attempts: u8,
    resend_after: i64,
    per_address: Vec<Window>,
    per_address_and_network: Vec<Window>,
}

#[derive(Object)]
struct WrongCodes {
    per_registration: u32,
    /// After so many at codes of one length the address gets longer ones; without longer codes, none at all. At
    /// the longest codes only their number and that of their tries is a limit.
    #[oai(skip_serializing_if_is_none)]
    per_address: Option<u32>,
    /// They are forgotten when nobody guessed for so long.
    forgotten_after: i64,
    per_network: Vec<Window>,
    /// By everybody together, in a day; then everybody gets longer codes.
    by_everybody: Vec<ByLength>,
}

#[derive(Object)]
struct ByLength {
    length: u8,
    limit: u32,
}

#[derive(Object)]
struct WrongPasswords {
    per_address_and_network: usize,
    /// From networks that the account was never entered from.
    per_address: usize,
    within: i64,
    /// Doubled each time.
    first_lock: i64,
    longest_lock: i64,
}

#[derive(Object)]
struct Window {
    limit: usize,
    seconds: i64,
}

#[derive(Object)]
struct Bound {
    /// How likely somebody who never reads the mail gets into one given address in a year, at most.
    one_address_one_year: f64,
    /// So many codes of an address may be had, and tried, in that time.
    codes: u32,
}

#[OpenApi(prefix_path = "/v1")]
impl Policies {
    /// Read the policy
    ///
    /// How long, how many, how often; and the bound that follows for somebody who guesses.
    #[oai(path = "/policy", method = "get", operation_id = "read_policy")]
    async fn policy(&self) -> Json<Body> {
        Json(of(&self.app.policy))
    }
}

fn of(policy: &Policy) -> Body {
    let codes = policy.codes_a_year();
    Body {
        code: Codes {
            lengths: policy.guesses.ladder().to_vec(),
            lifetime: policy.code_ttl.whole_seconds(),
            longest_lifetime: policy.code_max_age.whole_seconds(),
            attempts: policy.code_attempts,
            resend_after: policy.resend_throttle.whole_seconds(),
            per_address: windows(&policy.codes),
            per_address_and_network: windows(&policy.codes_from),
        },
        wrong_codes: wrong_codes(policy),
        wrong_passwords: WrongPasswords {
            per_address_and_network: WRONG_PASSWORDS_FROM,
            per_address: WRONG_PASSWORDS,
            within: lockout::WINDOW.whole_seconds(),
            first_lock: lockout::FIRST.whole_seconds(),
            longest_lock: lockout::LONGEST.whole_seconds(),
        },
        registrations_per_network: policy.registrations_from.as_ref().map(windows),
        registration_lifetime: policy.registration_ttl.whole_seconds(),
        password_min_length: policy.password_min_length,
        guess_bound: Bound { one_address_one_year: policy.guesses.bound(codes, policy.code_attempts), codes },
    }
}

fn wrong_codes(policy: &Policy) -> WrongCodes {
    let by_length = |(length, limit)| ByLength { length, limit };
    WrongCodes {
        per_registration: guesses::STEP,
        per_address: policy.guesses.per_address(),
        forgotten_after: guesses::QUIET.whole_seconds(),
        per_network: windows(&policy.wrong_codes_from),
        by_everybody: policy.guesses.instance_budgets().map(by_length).collect(),
    }
}

fn windows(share: &Share) -> Vec<Window> {
    let window = |&(limit, length): &(usize, Duration)| Window { limit, seconds: length.whole_seconds() };
    share.windows().iter().map(window).collect()
}
