//! Sampling: which traces are recorded, and which successful requests are logged.

/// The fraction of traces that are recorded. It is decided by the trace id, so that both processes record the same
/// traces. The id is random and the API makes it, so no client can choose whether it is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SamplingRatio(u64);

impl SamplingRatio {
    /// Every trace.
    pub const ALL: Self = Self(1 << 56);
    /// No trace.
    pub const NONE: Self = Self(0);

    /// Whether a trace is recorded. Only the last seven bytes of the trace id are compared: the others are not entirely
    /// random in a UUID.
    pub fn includes(self, trace: u128) -> bool {
        trace & u128::from(Self::ALL.0 - 1) < u128::from(self.0)
    }

    /// The ratio for a fraction from 0 to 1.
    pub fn from_fraction(fraction: f64) -> Self {
        Self((fraction * Self::ALL.0 as f64) as u64)
    }
}
