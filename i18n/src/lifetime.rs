//! The lifetime of a code, split into units so that each language can format it.

/// A duration in whole seconds that templates format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    seconds: u32,
}

/// A unit of time in a formatted duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Hour,
    Minute,
    Second,
}

impl Lifetime {
    /// A lifetime of this many seconds.
    pub const fn of_seconds(seconds: u32) -> Self {
        Self { seconds }
    }

    /// The parts of the duration, largest unit first, without units whose number is 0.
    pub fn parts(self) -> impl Iterator<Item = (u32, Unit)> {
        let Self { seconds } = self;
        let parts = [(seconds / 3600, Unit::Hour), (seconds / 60 % 60, Unit::Minute), (seconds % 60, Unit::Second)];
        parts.into_iter().filter(|(number, _)| *number > 0)
    }
}
