//! Sampling: which traces are recorded.

/// The fraction of traces that are recorded. It is decided by the trace id, so that both processes record the same
/// traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SamplingRatio(u64);

impl SamplingRatio {
    /// Every trace.
    pub(super) const ALL: Self = Self(1 << 56);
    /// No trace.
    pub(super) const NONE: Self = Self(0);

    /// Whether a trace is recorded. Only the last seven bytes of the trace id are compared: the others are not entirely
    /// random in a UUID.
    pub(super) fn includes(self, trace: u128) -> bool {
        trace & u128::from(Self::ALL.0 - 1) < u128::from(self.0)
    }

    /// The ratio for a fraction from 0 to 1.
    pub(super) fn from_fraction(fraction: f64) -> Self {
        Self((fraction * Self::ALL.0 as f64) as u64)
    }
}
