//! The one-process binary.

pub(crate) mod combinations;
pub(crate) mod embedded;
pub(crate) mod startup_errors;
