//! How long something lives, taken apart so that each language can say it in its own words.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    seconds: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Hour,
    Minute,
    Second,
}

impl Lifetime {
    pub fn of_seconds(seconds: u32) -> Self {
        Self { seconds }
    }

    /// The largest unit first, and none of which there is nothing.
    pub fn parts(self) -> impl Iterator<Item = (u32, Unit)> {
        let Self { seconds } = self;
        let parts = [(seconds / 3600, Unit::Hour), (seconds / 60 % 60, Unit::Minute), (seconds % 60, Unit::Second)];
        parts.into_iter().filter(|(number, _)| *number > 0)
    }
}
