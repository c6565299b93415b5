//! The attack scenarios, in the order in which they run.

mod body;
mod burst;
mod changes;
mod flood;
mod forge;
mod guess;
mod lockout;
mod network_attack;
mod odd_codes;
mod resend;
mod tags;
mod time;

use anyhow::Result;

use super::{
    arguments::Arguments,
    client::{AttackClient, Credentials, retry_overloaded},
    policy::Policy,
    report::Row,
    response::{Response, summary},
    sources::Source,
};

/// What every scenario works with.
pub(crate) struct Environment {
    pub(crate) client: AttackClient,
    pub(crate) policy: Policy,
    pub(crate) arguments: Arguments,
}

/// One attack; `--only` chooses it by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    Guess,
    OddCodes,
    Body,
    Time,
    Burst,
    Resend,
    Tags,
    Changes,
    Flood,
    Lockout,
    Forge,
}

impl Scenario {
    /// [`Scenario::Body`] comes before other scenarios use up the wrong codes of the whole instance, after which all
    /// codes get longer; those that lock networks come late.
    const ALL: [Self; 11] = [
        Self::Body,
        Self::Guess,
        Self::OddCodes,
        Self::Burst,
        Self::Resend,
        Self::Tags,
        Self::Changes,
        Self::Time,
        Self::Flood,
        Self::Lockout,
        Self::Forge,
    ];

    /// All scenarios; [`Scenario::Forge`] only with `--spoof`.
    pub(crate) fn all(spoof: bool) -> Vec<Self> {
        Self::ALL.into_iter().filter(|&scenario| spoof || scenario != Self::Forge).collect()
    }

    /// Parses a name from the command line.
    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|scenario| scenario.name() == name);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("there is no scenario '{name}'; choose one of {names}")
        })
    }

    /// The name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Guess => "guess",
            Self::OddCodes => "odd-codes",
            Self::Body => "body",
            Self::Time => "time",
            Self::Burst => "burst",
            Self::Resend => "resend",
            Self::Tags => "tags",
            Self::Changes => "changes",
            Self::Flood => "flood",
            Self::Lockout => "lockout",
            Self::Forge => "forge",
        }
    }

    /// What the scenario does, for the progress output.
    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::Guess => "registering and guessing codes until no more guesses or codes are granted",
            Self::OddCodes => "sending malformed codes, and codes for another user's registration",
            Self::Body => "comparing the responses for unknown and known addresses",
            Self::Time => "comparing the response times for unknown and known addresses",
            Self::Burst => "guessing one code, then registering one address, with concurrent requests",
            Self::Resend => "requesting new codes as fast as possible",
            Self::Tags => "requesting codes for many tags of one mailbox",
            Self::Changes => "changing the password of one account",
            Self::Flood => "logging in from one network as fast as possible, while another one registers",
            Self::Lockout => "trying wrong passwords of one address from many networks",
            Self::Forge => "claiming another network in X-Forwarded-For with each request",
        }
    }

    /// Runs the scenario. Fails only if the target stops responding.
    pub(crate) async fn run(self, environment: &Environment) -> Result<Vec<Row>> {
        match self {
            Self::Guess => guess::run(environment).await,
            Self::OddCodes => odd_codes::run(environment).await,
            Self::Body => body::run(environment).await,
            Self::Time => time::run(environment).await,
            Self::Burst => burst::run(environment).await,
            Self::Resend => resend::run(environment).await,
            Self::Tags => tags::run(environment).await,
            Self::Changes => changes::run(environment).await,
            Self::Flood => flood::run(environment).await,
            Self::Lockout => lockout::run(environment).await,
            Self::Forge => forge::run(environment).await,
        }
    }
}

/// A pending registration of a generated address. Its code was mailed, so the attacker does not know it.
struct PendingRegistration {
    credentials: Credentials,
    registration: String,
    /// The receipt at the time when the mail had been sent.
    receipt: Response,
}

/// Registers a generated address and waits for its mail. The inner error is the reason why the scenario cannot be
/// tried.
async fn register_victim(environment: &Environment, source: Source) -> Result<Result<PendingRegistration, String>> {
    let credentials = Credentials::throwaway();
    let response = retry_overloaded(|| environment.client.register(source, &credentials)).await?;
    if !response.is_accepted() {
        return Ok(Err(format!("the registration was rejected: {} {}", response.status, response.slug())));
    }
    let registration = response.registration();
    let receipt = environment.client.receipt_when_sent(&registration).await?;
    let pending = receipt.map(|receipt| PendingRegistration { credentials, registration, receipt });
    Ok(pending.ok_or_else(|| "no mail server accepted the mail with the code within 10 seconds".to_owned()))
}

/// Compares what these responses granted with what the policy promises. If nothing was granted and all were throttled,
/// nothing was tried.
fn compare_grants(check: &str, responses: &[Response], granted: u64, promised: u64) -> Result<Row> {
    let summary = summary(responses);
    if granted == 0 && responses.iter().all(Response::is_throttled) {
        return Ok(Row::not_tried(check, &summary));
    }
    Ok(Row::compared(check, u64::try_from(responses.len())?, granted, promised).with_note(&summary))
}

fn attempts_left(receipt: &Response) -> u64 {
    receipt.json()["attempts_left"].as_u64().unwrap_or_default()
}
