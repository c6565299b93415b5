//! What the processes of Vestibule must agree on.
//!
//! **Charter.** A thing enters only if the two processes would misunderstand each other when two
//! copies of it drifted, or if it is how any of our processes starts and stops. "Both use it" is no
//! reason. At most 500 lines of code; `make layers` counts them.

pub mod code;
pub mod denial;
pub mod env;
pub mod message;
pub mod postgres;
pub mod process;
