//! The plays that there are, in the order in which they are played.

mod body;
mod burst;
mod forge;
mod guess;
mod odd_codes;
mod resend;
mod time;

use anyhow::Result;

use super::{
    answer::{Answer, summary},
    arguments::Arguments,
    attacker::{Account, Attacker, patiently},
    promise::Promise,
    report::Row,
    sources::Source,
};

/// What every play is given.
pub(crate) struct Ground {
    pub(crate) attacker: Attacker,
    pub(crate) promise: Promise,
    pub(crate) arguments: Arguments,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Play {
    Guess,
    OddCodes,
    Body,
    Time,
    Burst,
    Resend,
    Forge,
}

impl Play {
    const ALL: [Self; 7] =
        [Self::Guess, Self::OddCodes, Self::Body, Self::Burst, Self::Resend, Self::Time, Self::Forge];

    pub(crate) fn all(spoof: bool) -> Vec<Self> {
        Self::ALL.into_iter().filter(|&play| spoof || play != Self::Forge).collect()
    }

    pub(crate) fn parse(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|play| play.name() == name);
        found.ok_or_else(|| format!("there is no play {name}"))
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Guess => "guess",
            Self::OddCodes => "odd-codes",
            Self::Body => "body",
            Self::Time => "time",
            Self::Burst => "burst",
            Self::Resend => "resend",
            Self::Forge => "forge",
        }
    }

    pub(crate) fn purpose(self) -> &'static str {
        match self {
            Self::Guess => "registering, guessing until nothing is granted any more, asking for new codes, again",
            Self::OddCodes => "odd codes, and codes for somebody else's registration",
            Self::Body => "looking for differences between unknown and known addresses in answers",
            Self::Time => "looking for differences between unknown and known addresses in time",
            Self::Burst => "guessing, and registering one address, all at once",
            Self::Resend => "asking for new codes as fast as possible",
            Self::Forge => "claiming to be another network each time",
        }
    }

    pub(crate) async fn run(self, ground: &Ground) -> Result<Vec<Row>> {
        match self {
            Self::Guess => guess::play(ground).await,
            Self::OddCodes => odd_codes::play(ground).await,
            Self::Body => body::play(ground).await,
            Self::Time => time::play(ground).await,
            Self::Burst => burst::play(ground).await,
            Self::Resend => resend::play(ground).await,
            Self::Forge => forge::play(ground).await,
        }
    }
}

/// A registration whose code is mailed, to somebody else.
struct Mailed {
    who: Account,
    registration: String,
    receipt: Answer,
}

/// Registers a throw-away address and waits for its mail; an error is the reason for not trying.
async fn mailed(ground: &Ground, source: Source) -> Result<Result<Mailed, String>> {
    let who = Account::throw_away();
    let answer = patiently(|| ground.attacker.register(source, &who)).await?;
    if !answer.is_accepted() {
        return Ok(Err(format!("registering was refused: {} {}", answer.status, answer.slug())));
    }
    let registration = answer.registration();
    let receipt = ground.attacker.receipt_when_sent(&registration).await?;
    let mailed = receipt.map(|receipt| Mailed { who, registration, receipt });
    Ok(mailed.ok_or_else(|| "no mail server took the code in time".to_owned()))
}

/// Holds what these answers granted against what is promised; if none came so far, nothing was tried.
fn judged(what: &str, answers: &[Answer], granted: u64, promised: u64) -> Result<Row> {
    let summary = summary(answers);
    if granted == 0 && answers.iter().all(Answer::is_held_back) {
        return Ok(Row::not_tried(what, &summary));
    }
    Ok(Row::judged(what, u64::try_from(answers.len())?, granted, promised).with_note(&summary))
}

fn attempts_left(receipt: &Answer) -> u64 {
    receipt.json()["attempts_left"].as_u64().unwrap_or_default()
}
