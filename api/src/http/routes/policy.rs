//! `GET /v1/policy`: every number of the policy, and what somebody who guesses can hope for.

mod body;

use std::sync::Arc;

use poem_openapi::{OpenApi, payload::Json};
use time::Duration;

use self::body::{Body, Bound, ByLength, Codes, Resets, Sessions, Window, WrongCodes, WrongPasswords};
use crate::{
    app::App,
    domain::{
        mail_suppression::MUTED_FOR,
        policy::{IDEMPOTENCY_TTL, Policy, SESSIONS_PER_USER, WRONG_PASSWORDS, WRONG_PASSWORDS_HERE},
        rate_limit::{guess_escalation, lockout, reset_escalation, sliding_window::SlidingWindow},
    },
};

pub(crate) struct Policies {
    pub(crate) app: Arc<App>,
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
        reset: reset(policy),
        wrong_codes: wrong_codes(policy),
        wrong_passwords: WrongPasswords {
            per_address_and_network: WRONG_PASSWORDS_HERE,
            per_address: WRONG_PASSWORDS,
            per_network: windows(&policy.wrong_passwords_from),
            within: lockout::WINDOW.whole_seconds(),
            entered_counts_for: lockout::REMEMBERED.whole_seconds(),
            asked_counts_for: lockout::ASKED_FOR_A_CODE.whole_seconds(),
            first_lock: lockout::FIRST.whole_seconds(),
            longest_lock: lockout::LONGEST.whole_seconds(),
        },
        registrations_per_network: policy.registrations_from.as_ref().map(windows),
        registration_lifetime: policy.registration_ttl.whole_seconds(),
        muted_for: MUTED_FOR.whole_seconds(),
        sessions: Sessions { lifetime: policy.session_ttl.whole_seconds(), per_user: SESSIONS_PER_USER },
        password_min_length: policy.password_min_length,
        idempotency_lifetime: IDEMPOTENCY_TTL.whole_seconds(),
        guess_bound: Bound { one_address_one_year: policy.guesses.bound(codes, policy.code_attempts), codes },
    }
}

fn reset(policy: &Policy) -> Resets {
    let (usual, longest) = (policy.resets.usual(), policy.resets.longest());
    Resets {
        lengths: if usual < longest { vec![usual, longest] } else { vec![longest] },
        lifetime: policy.reset_ttl.whole_seconds(),
        longest_lifetime: policy.reset_max_age().whole_seconds(),
        attempts: policy.code_attempts,
        longer_after: guess_escalation::STEP,
        by_everybody: ByLength { length: usual, limit: reset_escalation::BY_EVERYBODY },
        guess_bound: Bound { one_address_one_year: policy.reset_bound(), codes: policy.codes_a_year() },
    }
}

fn wrong_codes(policy: &Policy) -> WrongCodes {
    let by_length = |(length, limit)| ByLength { length, limit };
    WrongCodes {
        per_registration: guess_escalation::STEP,
        per_address: policy.guesses.per_address(),
        forgotten_after: guess_escalation::QUIET.whole_seconds(),
        per_network: windows(&policy.wrong_codes_from),
        by_everybody: policy.guesses.instance_budgets().map(by_length).collect(),
    }
}

fn windows(share: &SlidingWindow) -> Vec<Window> {
    let window = |&(limit, length): &(usize, Duration)| Window { limit, seconds: length.whole_seconds() };
    share.windows().iter().map(window).collect()
}
