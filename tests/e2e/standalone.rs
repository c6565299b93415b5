//! `vestibule`, the binary that runs the whole service in one process.

pub(crate) mod combinations;
pub(crate) mod embedded;
pub(crate) mod startup_errors;
