//! Command line of `vestibule drill`.

use lexopt::{Arg, Parser, ValueExt};

use super::{client::Credentials, scenarios::Scenario, target::Target};

/// Target and options of a drill; [`HELP`] describes the options.
#[derive(Clone, Debug)]
pub struct Arguments {
    pub target: Target,
    pub scenarios: Vec<Scenario>,
    pub minutes: u64,
    /// Number of email addresses whose codes are guessed.
    pub rounds: usize,
    /// Size of bursts and samples.
    pub calls: usize,
    /// An email address whose codes are guessed first.
    pub victim: Option<String>,
    /// An email address with an activated account.
    pub active: Option<String>,
    /// An activated account whose password is changed.
    pub(crate) account: Option<Credentials>,
    /// Number of API processes behind the URL.
    pub processes: u64,
    pub spoof: bool,
    pub json: bool,
}

/// The help text of `vestibule drill`.
pub const HELP: &str = "\
Attacks a running Vestibule instance like a client that cannot read the mails, and compares what it was
granted with what the policy of the instance (GET /v1/policy) promises.

Usage: vestibule drill URL [options]        for example  vestibule drill http://localhost:8000

  --only SCENARIO     run this scenario only; repeat the option to run several. One of: guess, odd-codes,
                      body, time, burst, resend, tags, changes (needs --account), flood, lockout, forge (needs
                      --spoof). Default: all but forge
  --minutes N         start no new step after N minutes, 1 to 60 (default 10)
  --rounds N          number of email addresses whose codes are guessed, 1 to 20 (default 2)
  --calls N           size of bursts and samples, 20 to 1000 (default 200)
  --victim ADDRESS    guess codes of this email address first, instead of a generated one
  --active ADDRESS    also compare responses with this email address, which has an account; it receives mails
  --account EMAIL:PASSWORD
                      an activated test account of yours, whose password is changed as often as the instance
                      allows; its owner receives mails. The last allowed change restores the password, unless
                      it was changed before on the same day; the report says which password it has now
  --processes N       number of API processes behind the URL, 1 to 100 (default 1). Each of them counts the
                      password checks of a network itself
  --spoof             send a different X-Forwarded-For header with each request; an instance must believe
                      this header only from a trusted proxy. Adds the scenario forge
  --json              print JSON instead of a table
  --i-own-this        both are required to attack an instance that is not on this machine
  --really-attack-it

The attack has real effects on the instance: generated email addresses (drill-…@example.com) receive
registrations and mails; wrong codes count toward the daily limit of the whole instance (20 at 4 digits, or
6 % of its activations, after which every user gets longer codes); and a correct guess creates an account.
For some seconds the hash threads are as busy as one network can make them.

Exit code: 0 if the policy was kept, 1 if it was violated, 2 if nothing could be tried.
";

impl Arguments {
    /// Parses the arguments after `drill`; `Ok(None)` means that the help is requested.
    pub fn parse(parser: &mut Parser) -> Result<Option<Self>, lexopt::Error> {
        let mut url = None;
        let mut scenarios = vec![];
        let (mut minutes, mut rounds, mut calls) = (10, 2, 200);
        let (mut victim, mut active, mut account) = (None, None, None);
        let mut processes = 1;
        let (mut spoof, mut json) = (false, false);
        let (mut owns_target, mut really_attack) = (false, false);
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Value(value) if url.is_none() => url = Some(value.string()?),
                Arg::Long("only") => scenarios.push(parser.value()?.parse_with(Scenario::parse)?),
                Arg::Long("minutes") => minutes = parser.value()?.parse()?,
                Arg::Long("rounds") => rounds = parser.value()?.parse()?,
                Arg::Long("calls") => calls = parser.value()?.parse()?,
                Arg::Long("victim") => victim = Some(parser.value()?.string()?),
                Arg::Long("active") => active = Some(parser.value()?.string()?),
                Arg::Long("account") => account = Some(parser.value()?.parse_with(parse_account)?),
                Arg::Long("processes") => processes = parser.value()?.parse()?,
                Arg::Long("spoof") => spoof = true,
                Arg::Long("json") => json = true,
                Arg::Long("i-own-this") => owns_target = true,
                Arg::Long("really-attack-it") => really_attack = true,
                Arg::Short('h') | Arg::Long("help") => return Ok(None),
                other => return Err(other.unexpected()),
            }
        }
        let url = url.ok_or("drill needs the URL of the instance, for example http://localhost:8000")?;
        let target = Target::parse(&url, owns_target && really_attack)?;
        if !(20..=1_000).contains(&calls) || !(1..=60).contains(&minutes) || !(1..=20).contains(&rounds) {
            return Err(
                "a number is out of range: --calls must be 20 to 1000, --minutes 1 to 60, --rounds 1 to 20".into()
            );
        }
        if !(1..=100).contains(&processes) {
            return Err("--processes must be 1 to 100".into());
        }
        let scenarios = if scenarios.is_empty() { Scenario::all(spoof) } else { scenarios };
        if scenarios.contains(&Scenario::Forge) && !spoof {
            return Err("the scenario forge needs --spoof".into());
        }
        Ok(Some(Self { target, scenarios, minutes, rounds, calls, victim, active, account, processes, spoof, json }))
    }
}

fn parse_account(account: &str) -> Result<Credentials, &'static str> {
    match account.split_once(':') {
        Some((email, password)) if !email.is_empty() && !password.is_empty() => {
            Ok(Credentials { email: email.to_owned(), password: password.to_owned() })
        }
        _ => Err("--account must be EMAIL:PASSWORD"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Option<Arguments>, String> {
        Arguments::parse(&mut Parser::from_args(arguments)).map_err(|error| error.to_string())
    }

    const LOCAL_URL: &str = "http://localhost:8000";

    #[test]
    fn url_is_enough_and_forge_runs_only_with_spoof() {
        let arguments = parse(&[LOCAL_URL]).unwrap().unwrap();
        assert_eq!((arguments.minutes, arguments.rounds, arguments.calls, arguments.scenarios.len()), (10, 2, 200, 10));
        assert_eq!(parse(&[LOCAL_URL, "--spoof"]).unwrap().unwrap().scenarios.len(), 11);
        assert_eq!(parse(&["--only", "burst", LOCAL_URL, "--only=time"]).unwrap().unwrap().scenarios.len(), 2);
        assert!(parse(&["--help"]).unwrap().is_none());
    }

    #[test]
    fn account_is_split_at_the_first_colon() {
        let account = parse(&[LOCAL_URL, "--account", "ada@example.com:a:b"]).unwrap().unwrap().account.unwrap();
        assert_eq!((account.email.as_str(), account.password.as_str()), ("ada@example.com", "a:b"));
        assert!(!format!("{account:?}").contains("a:b"), "{account:?}");
    }

    #[test]
    fn remote_target_needs_both_confirmations() {
        let remote = "http://example.com";
        for flags in [&[][..], &["--i-own-this"], &["--really-attack-it"], &["--i-own-this", "--i-own-this"]] {
            let arguments: Vec<_> = std::iter::once(&remote).chain(flags).copied().collect();
            assert!(parse(&arguments).unwrap_err().contains("confirmed with both"), "{flags:?}");
        }
        assert!(parse(&[remote, "--i-own-this", "--really-attack-it"]).is_ok());
    }

    #[test]
    fn invalid_arguments_are_rejected() {
        for arguments in [
            &[][..],
            &[LOCAL_URL, LOCAL_URL],
            &[LOCAL_URL, "--only", "x"],
            &[LOCAL_URL, "--only", "forge"],
            &[LOCAL_URL, "--calls", "0"],
            &[LOCAL_URL, "--minutes", "61"],
            &[LOCAL_URL, "--rounds", "-1"],
            &[LOCAL_URL, "--processes", "0"],
            &[LOCAL_URL, "--account", "ada@example.com"],
            &[LOCAL_URL, "--fast"],
        ] {
            assert!(parse(arguments).is_err(), "{arguments:?}");
        }
    }
}
