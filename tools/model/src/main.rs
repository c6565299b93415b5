//! Checks the protocols of messages and of guesses at codes on models that are searched exhaustively (`make model`): all
//! properties hold, and each rule is needed, because a property fails without it. `--steps` prints those runs.

mod attempts;
mod messages;
mod search;

use std::{process::ExitCode, time::Instant};

use attempts::Attempts;
use messages::Messages;
use search::{Failure, Rules};

fn main() -> ExitCode {
    let with_steps = std::env::args().any(|argument| argument == "--steps");
    let mut report = Report { with_steps, failed: false };
    print("All rules hold: every state is visited.");
    print("     states  seconds  result");
    report.check("messages", Messages::ONE);
    report.check("messages", Messages::TWO);
    report.check("attempts", Attempts::ALL);
    print("\nOne rule is broken: a run with the fewest faults and steps in which a property fails.");
    print("faults  steps  seconds  broken rule: property");
    report.check_mutations("messages", Messages::ONE);
    report.check_mutations("attempts", Attempts::ALL);
    if report.failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Prints what the searches find.
struct Report {
    with_steps: bool,
    failed: bool,
}

impl Report {
    /// All properties of the model must hold.
    fn check(&mut self, name: &str, model: impl Rules) {
        let (findings, seconds) = timed(|| search::search_all(model));
        let result = if findings.failures.is_empty() { "all properties hold" } else { "FAILED" };
        print(&format!("{:11}  {seconds:7.1}  {result}; {name}: {}", findings.states, model.bounds()));
        for failure in &findings.failures {
            print(&format!("    FAILED: {}", failure.property));
            print_steps(failure);
        }
        self.failed |= !findings.failures.is_empty();
    }

    /// A property must fail for each rule that is broken.
    fn check_mutations<M: Rules>(&mut self, name: &str, model: M) {
        for &mutation in M::MUTATIONS {
            let (failure, seconds) = timed(|| search::shortest_failure(model, mutation));
            let Some(failure) = failure else {
                print(&format!("     -      -  {seconds:7.1}  {name} {mutation:?}: NO PROPERTY FAILS"));
                self.failed = true;
                continue;
            };
            let Failure { property, faults, steps } = &failure;
            print(&format!("{faults:6}  {:5}  {seconds:7.1}  {name} {mutation:?}: {property}", steps.len()));
            if self.with_steps {
                print_steps(&failure);
            }
        }
    }
}

fn print_steps(failure: &Failure) {
    failure.steps.iter().enumerate().for_each(|(number, step)| print(&format!("    {:3}. {step}", number + 1)));
}

/// The result, and how many seconds it took.
fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    #[expect(clippy::disallowed_methods, reason = "a duration for the reader; nothing depends on it")]
    let began = Instant::now();
    (work(), began.elapsed().as_secs_f64())
}

#[expect(clippy::print_stdout, reason = "the results of the program")]
fn print(line: &str) {
    println!("{line}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use messages::Mutation;

    /// The property that fails without this rule, and the number of faults that it takes.
    fn failure_without(rule: Mutation) -> (&'static str, u8) {
        let failure = search::shortest_failure(Messages::ONE, rule).unwrap();
        (&failure.property[..4], failure.faults)
    }

    #[test]
    fn broken_rules_of_the_rescuer_double_mails_without_a_fault() {
        assert_eq!(failure_without(Mutation::PublishAgainWithoutGrace), ("I-06", 0));
        assert_eq!(failure_without(Mutation::WaitFromNoteNotFromLook), ("I-06", 0));
        assert_eq!(failure_without(Mutation::MarkMissingOverNewerNote), ("I-06", 0));
    }

    #[test]
    fn retries_without_a_deadline_never_end() {
        let failure = search::shortest_failure(Messages::ONE, Mutation::DecideWithoutDeadline).unwrap();
        assert_eq!(failure.property, "every run ends");
    }

    #[test]
    fn lost_message_is_mailed_only_with_the_rescuer() {
        assert_eq!(failure_without(Mutation::PublishNothingAgain), ("I-25", 1));
    }
}
