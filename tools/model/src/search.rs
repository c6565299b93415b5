//! Searches the states of a model: all of them, or, if a rule is broken, until a property fails.

use std::{collections::HashMap, fmt::Debug, hash::Hash};

use stateright::{Checker, Expectation, HasDiscoveries, Model};

/// The processors of the smallest machine that runs the checks.
const THREADS: usize = 2;

/// A model whose rules can be broken one by one.
pub(crate) trait Rules:
    Model<State: Clone + Debug + Eq + Hash + Send + Sync, Action: Clone + Debug + PartialEq> + Copy + Send + Sync + 'static
{
    /// A rule that can be broken.
    type Mutation: Copy + Debug + 'static;
    const MUTATIONS: &'static [Self::Mutation];

    /// The same model with a broken rule and at most this number of faults.
    fn with(self, broken: Self::Mutation, max_faults: u8) -> Self;

    fn max_faults(&self) -> u8;

    /// How large the model is: a part of the result.
    fn bounds(&self) -> String;
}

/// Declares the rules of a model that can be broken, to see that the search finds what follows.
macro_rules! mutations {
    ($($name:ident,)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Mutation {
            $($name,)*
        }

        impl Mutation {
            const ALL: &[Self] = &[$(Self::$name,)*];
        }
    };
}
pub(crate) use mutations;

/// Enables a step only if the condition is met.
pub(crate) fn require(condition: bool) -> Option<()> {
    condition.then_some(())
}

/// What a search found.
pub(crate) struct Findings {
    /// How many different states were visited.
    pub(crate) states: usize,
    pub(crate) failures: Vec<Failure>,
}

/// A property that does not hold, and the steps that lead there; none if it is an example that was not found.
pub(crate) struct Failure {
    pub(crate) property: &'static str,
    /// At most so many of them are faults.
    pub(crate) faults: u8,
    pub(crate) steps: Vec<String>,
}

/// Visits all states, and checks that every run ends.
pub(crate) fn search_all<M: Rules>(model: M) -> Findings {
    let checker = model.checker().threads(THREADS).spawn_bfs().join();
    let mut found = checker.discoveries();
    let mut failures = vec![];
    for property in checker.model().properties() {
        let path = found.remove(property.name);
        if path.is_some() != (property.expectation == Expectation::Sometimes) {
            let steps = path.map(|path| describe(path.into_actions())).unwrap_or_default();
            failures.push(Failure { property: property.name, faults: model.max_faults(), steps });
        }
    }
    failures.extend(endless_run(model));
    Findings { states: checker.unique_state_count(), failures }
}

/// Breaks a rule, and finds a run in which a property fails: with the fewest faults, and then the fewest steps.
pub(crate) fn shortest_failure<M: Rules>(model: M, broken: M::Mutation) -> Option<Failure> {
    let mut models = (0..=model.max_faults()).map(|max_faults| model.with(broken, max_faults));
    models.find_map(|model| {
        let Some(mut shortest) = first_failure(model, usize::MAX) else { return endless_run(model) };
        // A search goes on for a moment after the first failure, and keeps the last.
        while let Some(shorter) = first_failure(model, shortest.steps.len()) {
            shortest = shorter;
        }
        Some(shortest)
    })
}

/// A run with fewer steps than this in which a property fails.
fn first_failure<M: Rules>(model: M, steps: usize) -> Option<Failure> {
    let checker = model.checker().finish_when(HasDiscoveries::AnyFailures);
    // A depth counts states, also the first.
    let checker = checker.target_max_depth(steps.saturating_add(1)).spawn_bfs().join();
    let mut found = checker.discoveries();
    let failures = checker.model().properties().into_iter().filter_map(|property| {
        let path = found.remove(property.name).filter(|_| property.expectation.discovery_is_failure())?;
        Some(Failure { property: property.name, faults: model.max_faults(), steps: describe(path.into_actions()) })
    });
    failures.min_by_key(|failure| failure.steps.len())
}

fn describe(actions: Vec<impl Debug>) -> Vec<String> {
    actions.iter().map(|action| format!("{action:?}")).collect()
}

fn endless_run<M: Rules>(model: M) -> Option<Failure> {
    let failure = Failure { property: "every run ends", faults: model.max_faults(), steps: vec![] };
    (!every_run_ends(model)).then_some(failure)
}

/// Whether no run comes back to a state where it was. Then every run ends in a state without a next step, and what holds in all
/// of these happens in every run. (`Property::eventually` of stateright misses counterexamples where runs meet.)
fn every_run_ends<M: Rules>(model: M) -> bool {
    // Of each state that was reached, whether all that follows it was visited. Depth first.
    let mut is_done = HashMap::new();
    let mut run = vec![];
    for state in model.init_states() {
        is_done.insert(state.clone(), false);
        run.push((model.next_states(&state), state));
        while let Some((next_states, state)) = run.last_mut() {
            match next_states.pop() {
                Some(next) => match is_done.get(&next) {
                    Some(true) => {}
                    Some(false) => return false,
                    None => {
                        is_done.insert(next.clone(), false);
                        run.push((model.next_states(&next), next));
                    }
                },
                None => {
                    is_done.insert(state.clone(), true);
                    run.pop();
                }
            }
        }
    }
    true
}
