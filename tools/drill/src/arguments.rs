//! What is said after `vestibule drill`.

use lexopt::{Arg, Parser, ValueExt};

use super::{plays::Play, target::Target};

#[derive(Clone, Debug)]
pub struct Arguments {
    pub target: Target,
    pub plays: Vec<Play>,
    pub minutes: u64,
    pub rounds: usize,
    pub calls: usize,
    pub victim: Option<String>,
    pub active: Option<String>,
    pub spoof: bool,
    pub json: bool,
}

pub const HELP: &str = "\
Plays the attacker who never reads the mail against a running Vestibule, and holds what it is granted
against what its GET /v1/policy promises.

Usage: vestibule drill URL [options]        for example  vestibule drill http://localhost:8000

  --only PLAY         one play instead of all, and may be said again: guess, odd-codes, body, time, burst,
                      resend, forge (the last one needs --spoof)
  --minutes N         begin nothing new after so many minutes; 10
  --rounds N          addresses that are guessed at; 2
  --calls N           size of bursts and samples, 20 to 1000; 200
  --victim ADDRESS    guess at this address first instead of one that nobody has
  --active ADDRESS    compare with this one, which has an account, too; it gets mails
  --spoof             write a different X-Forwarded-For each time: nobody but a trusted proxy should be believed
  --json              print JSON instead of a table
  --i-own-this        say both of these to attack anything but this machine
  --really-attack-it

What it does is real: throw-away addresses (drill-…@example.com) get registrations and mails, wrong codes
count toward the day's share of the whole instance (200 at 4 digits, then everybody's codes are longer),
and a lucky guess makes an account.

Exit code: 0 if every promise was kept, 1 if one was broken, 2 if nothing could be tried.
";

impl Arguments {
    /// An error is what to say before ending; `Ok(None)`: help is wanted.
    pub fn parse(parser: &mut Parser) -> Result<Option<Self>, lexopt::Error> {
        let (mut url, mut plays, mut told) = (None, vec![], (false, false));
        let (mut minutes, mut rounds, mut calls) = (10, 2, 200);
        let (mut victim, mut active, mut spoof, mut json) = (None, None, false, false);
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Value(value) if url.is_none() => url = Some(value.string()?),
                Arg::Long("only") => plays.push(parser.value()?.parse_with(Play::parse)?),
                Arg::Long("minutes") => minutes = parser.value()?.parse()?,
                Arg::Long("rounds") => rounds = parser.value()?.parse()?,
                Arg::Long("calls") => calls = parser.value()?.parse()?,
                Arg::Long("victim") => victim = Some(parser.value()?.string()?),
                Arg::Long("active") => active = Some(parser.value()?.string()?),
                Arg::Long("spoof") => spoof = true,
                Arg::Long("json") => json = true,
                Arg::Long("i-own-this") => told.0 = true,
                Arg::Long("really-attack-it") => told.1 = true,
                Arg::Short('h') | Arg::Long("help") => return Ok(None),
                other => return Err(other.unexpected()),
            }
        }
        let url = url.ok_or("drill needs the URL of the instance, for example http://localhost:8000")?;
        let target = Target::parse(&url, told == (true, true))?;
        if !(20..=1_000).contains(&calls) || !(1..=60).contains(&minutes) || !(1..=20).contains(&rounds) {
            return Err("--calls are 20 to 1000, --minutes 1 to 60, --rounds 1 to 20".into());
        }
        let plays = if plays.is_empty() { Play::all(spoof) } else { plays };
        if plays.contains(&Play::Forge) && !spoof {
            return Err("the play forge needs --spoof".into());
        }
        Ok(Some(Self { target, plays, minutes, rounds, calls, victim, active, spoof, json }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Option<Arguments>, String> {
        Arguments::parse(&mut Parser::from_args(arguments)).map_err(|error| error.to_string())
    }

    const HERE: &str = "http://localhost:8000";

    #[test]
    fn a_url_is_enough_and_forging_is_only_played_when_it_is_wanted() {
        let said = parse(&[HERE]).unwrap().unwrap();
        assert_eq!((said.minutes, said.rounds, said.calls, said.plays.len()), (10, 2, 200, 6));
        assert_eq!(parse(&[HERE, "--spoof"]).unwrap().unwrap().plays.len(), 7);
        assert_eq!(parse(&["--only", "burst", HERE, "--only=time"]).unwrap().unwrap().plays.len(), 2);
        assert!(parse(&["--help"]).unwrap().is_none());
    }

    #[test]
    fn one_flag_is_not_told_twice() {
        let there = "http://example.com";
        for flags in [&[][..], &["--i-own-this"], &["--really-attack-it"], &["--i-own-this", "--i-own-this"]] {
            let arguments: Vec<_> = std::iter::once(&there).chain(flags).copied().collect();
            assert!(parse(&arguments).unwrap_err().contains("told twice"), "{flags:?}");
        }
        assert!(parse(&[there, "--i-own-this", "--really-attack-it"]).is_ok());
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for arguments in [
            &[][..],
            &[HERE, HERE],
            &[HERE, "--only", "x"],
            &[HERE, "--only", "forge"],
            &[HERE, "--calls", "0"],
            &[HERE, "--minutes", "61"],
            &[HERE, "--rounds", "-1"],
            &[HERE, "--fast"],
        ] {
            assert!(parse(arguments).is_err(), "{arguments:?}");
        }
    }
}
