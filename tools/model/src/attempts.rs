//! Guesses at one code through several APIs: each is counted in a committed transaction, then compared, then answered.
//! `api/src/auth/code_attempt.rs`, `auth/counted_guess.rs` and `registration/activate.rs`; why so: docs/decisions/0039.

use stateright::{Model, Property};

use crate::search::{Rules, mutations, require};

const APIS: usize = 2;
const GUESSES: usize = 4;
/// `CODE_ATTEMPTS`: how many guesses a code allows.
const ALLOWED: u8 = 2;

/// The model: its bounds, and the rule that is broken, if one is.
#[derive(Clone, Copy)]
pub(crate) struct Attempts {
    max_faults: u8,
    broken: Option<Mutation>,
}

mutations! {
    CompareBeforeCount,
    CountInTransactionOfAnswer,
    CountWithoutLock,
    AnswerBeforeCountIsOnDisk,
    ActivateThoughCountIsUndone,
    ActivateWithoutCheck,
}

/// The code as Postgres shows it and as it is on disk, and the guesses at it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    committed: Code,
    on_disk: Code,
    guesses: [Guess; GUESSES],
    faults: u8,
    /// History.
    activations: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Code {
    attempts: u8,
    is_consumed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Guess {
    is_right: bool,
    step: Step,
    count: Count,
    /// History: whether the code was compared.
    is_compared: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Step {
    Submitted,
    /// In the transaction that counts it, which has read this number of attempts.
    Counting(u8),
    Counted,
    Compared,
    /// In the transaction that creates the account.
    Activating,
    /// Activated, or rejected as wrong: the client knows the result.
    Answered,
    /// The client learns nothing: an error, or that there are no attempts left.
    Failed,
}

/// Where the count of a guess is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Count {
    Nowhere,
    Committed,
    OnDisk,
    /// A crash of Postgres has undone it.
    Undone,
}

/// One step of the guess of this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    LockAndRead(usize),
    Count(usize),
    Compare(usize),
    AnswerWrong(usize),
    LockAndCheck(usize),
    Activate(usize),
    /// Postgres writes its log to the disk, as it does several times a second.
    WriteLog,
    CrashApi(usize),
    CrashPostgres,
    /// The transaction of this guess fails: the client or the connection is gone.
    RollBack(usize),
    /// The transaction of this guess is committed, but the API does not learn of it.
    LoseReply(usize),
}

impl Attempts {
    pub(crate) const ALL: Self = Self { max_faults: 2, broken: None };

    fn breaks(self, mutation: Mutation) -> bool {
        self.broken == Some(mutation)
    }

    /// The step of one guess, without faults.
    fn guess(self, state: &mut State, action: Action) -> Option<()> {
        match action {
            // `reserve_codes` begins: lock the address, read the code, decide.
            Action::LockAndRead(number) => {
                require(!self.is_locked(state) || self.breaks(Mutation::CountWithoutLock))?;
                let Code { attempts, is_consumed } = state.committed;
                let guess = state.guess_at(number, Step::Submitted)?;
                guess.step = if is_consumed || attempts >= ALLOWED { Step::Failed } else { Step::Counting(attempts) };
            }
            // COUNT_ATTEMPT, and a commit that does not wait for the disk.
            Action::Count(number) => {
                let Step::Counting(attempts) = state.guesses[number].step else { return None };
                let guess = &mut state.guesses[number];
                guess.step = if guess.is_compared { Step::Compared } else { Step::Counted };
                if !self.breaks(Mutation::CountInTransactionOfAnswer) {
                    guess.count = Count::Committed;
                    state.committed.attempts = attempts + 1;
                }
            }
            // `Code::matches`.
            Action::Compare(number) => {
                let guess = &mut state.guesses[number];
                let is_before = matches!(guess.step, Step::Counting(_)) && self.breaks(Mutation::CompareBeforeCount);
                require(guess.step == Step::Counted || (is_before && !guess.is_compared))?;
                guess.is_compared = true;
                if !is_before {
                    guess.step = Step::Compared;
                }
            }
            // `CountedGuess::settle_wrong`: a durable commit; an error if a crash has undone the count.
            Action::AnswerWrong(number) => {
                let guess = state.guess_at(number, Step::Compared).filter(|guess| !guess.is_right)?;
                let is_undone = guess.count == Count::Undone && !self.breaks(Mutation::AnswerBeforeCountIsOnDisk);
                guess.step = if is_undone { Step::Failed } else { Step::Answered };
                if !is_undone && !self.breaks(Mutation::AnswerBeforeCountIsOnDisk) {
                    state.write_log();
                }
            }
            // `create_account` begins: lock the address, read the registration and the user again.
            Action::LockAndCheck(number) => {
                let ignores = self.breaks(Mutation::ActivateWithoutCheck);
                require(!self.is_locked(state) || ignores)?;
                let is_consumed = state.committed.is_consumed && !ignores;
                let ignores_undone = self.breaks(Mutation::ActivateThoughCountIsUndone);
                let guess = state.guess_at(number, Step::Compared).filter(|guess| guess.is_right)?;
                // The connection that has counted it fails with Postgres.
                let is_undone = guess.count == Count::Undone && !ignores_undone;
                guess.step = if is_consumed || is_undone { Step::Failed } else { Step::Activating };
            }
            // A durable commit, which takes the count to the disk with it.
            Action::Activate(number) => {
                state.guess_at(number, Step::Activating)?.step = Step::Answered;
                state.committed.is_consumed = true;
                state.activations += 1;
                state.write_log();
            }
            _ => return None,
        }
        Some(())
    }

    fn fault(self, state: &mut State, action: Action) -> Option<()> {
        require(state.faults < self.max_faults)?;
        state.faults += 1;
        match action {
            Action::CrashApi(api) => {
                let of_api = state.guesses.iter_mut().skip(api).step_by(APIS).filter(|guess| guess.is_under_way());
                let crashed = of_api.map(|guess| guess.step = Step::Failed).count();
                require(crashed > 0)
            }
            // What is not on disk is undone; transactions fail. Comparisons in the memory of an API go on.
            Action::CrashPostgres => {
                state.committed = state.on_disk;
                for guess in &mut state.guesses {
                    if guess.count == Count::Committed {
                        guess.count = Count::Undone;
                    }
                    if guess.is_in_transaction() {
                        guess.step = Step::Failed;
                    }
                }
                Some(())
            }
            Action::RollBack(number) => {
                require(state.guesses[number].is_in_transaction())?;
                state.guesses[number].step = Step::Failed;
                Some(())
            }
            Action::LoseReply(number) => {
                match state.guesses[number].step {
                    Step::Counting(_) => self.guess(state, Action::Count(number))?,
                    Step::Activating => self.guess(state, Action::Activate(number))?,
                    _ => return None,
                }
                state.guesses[number].step = Step::Failed;
                Some(())
            }
            _ => None,
        }
    }

    /// Whether a transaction holds the lock of the address.
    fn is_locked(self, state: &State) -> bool {
        state.guesses.iter().any(|guess| guess.is_in_transaction())
    }
}

impl State {
    fn guess_at(&mut self, number: usize, step: Step) -> Option<&mut Guess> {
        Some(&mut self.guesses[number]).filter(|guess| guess.step == step)
    }

    fn write_log(&mut self) {
        self.on_disk = self.committed;
        for guess in &mut self.guesses {
            if guess.count == Count::Committed {
                guess.count = Count::OnDisk;
            }
        }
    }
}

impl Guess {
    fn is_in_transaction(&self) -> bool {
        matches!(self.step, Step::Counting(_) | Step::Activating)
    }

    fn is_under_way(&self) -> bool {
        !matches!(self.step, Step::Submitted | Step::Answered | Step::Failed)
    }

    /// Whether the code was compared, and the result counts: not if a crash of Postgres undid the count before anyone
    /// learned the result.
    fn is_known(&self) -> bool {
        self.is_compared && (self.count != Count::Undone || self.step == Step::Answered)
    }
}

impl Model for Attempts {
    type State = State;
    type Action = Action;

    /// All combinations of right and wrong guesses.
    fn init_states(&self) -> Vec<State> {
        let state = |bits: usize| State {
            committed: Code::default(),
            on_disk: Code::default(),
            guesses: std::array::from_fn(|number| Guess {
                is_right: (bits >> number) & 1 == 1,
                step: Step::Submitted,
                count: Count::Nowhere,
                is_compared: false,
            }),
            faults: 0,
            activations: 0,
        };
        (0..1 << GUESSES).map(state).collect()
    }

    fn actions(&self, _: &State, actions: &mut Vec<Action>) {
        use Action::{Activate, AnswerWrong, Compare, Count, LockAndCheck, LockAndRead, LoseReply, RollBack};
        for number in 0..GUESSES {
            let steps = [LockAndRead, Count, Compare, AnswerWrong, LockAndCheck, Activate, RollBack, LoseReply];
            actions.extend(steps.map(|step| step(number)));
        }
        actions.extend((0..APIS).map(Action::CrashApi));
        actions.extend([Action::WriteLog, Action::CrashPostgres]);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::WriteLog => next.write_log(),
            Action::CrashApi(_) | Action::CrashPostgres | Action::RollBack(_) | Action::LoseReply(_) => {
                self.fault(&mut next, action)?;
            }
            _ => self.guess(&mut next, action)?,
        }
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("I-07 a code activates at most once", |_, state: &State| state.activations <= 1),
            Property::always("I-08 at most CODE_ATTEMPTS guesses are compared", |_, state: &State| {
                state.guesses.iter().filter(|guess| guess.is_known()).count() <= usize::from(ALLOWED)
            }),
            Property::always("I-21 what is answered has been counted", |_, state: &State| {
                state.guesses.iter().all(|guess| guess.step != Step::Answered || guess.count == Count::OnDisk)
            }),
            Property::sometimes("the last attempt activates", |_, state: &State| {
                state.activations == 1 && state.committed.attempts == ALLOWED
            }),
            Property::sometimes("a crash undoes a count", |_, state: &State| {
                state.guesses.iter().any(|guess| guess.is_compared && guess.count == Count::Undone)
            }),
        ]
    }
}

impl Rules for Attempts {
    type Mutation = Mutation;
    const MUTATIONS: &'static [Mutation] = Mutation::ALL;

    fn with(self, broken: Mutation, max_faults: u8) -> Self {
        Self { broken: Some(broken), max_faults }
    }

    fn max_faults(&self) -> u8 {
        self.max_faults
    }

    fn bounds(&self) -> String {
        format!("APIs {APIS}, guesses {GUESSES}, allowed {ALLOWED}, faults ≤ {}", self.max_faults)
    }
}
