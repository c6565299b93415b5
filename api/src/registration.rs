//! Registration: from the first request to the activated account.

pub(crate) mod activate;
pub(crate) mod issue_code;
pub(crate) mod not_me;
pub(crate) mod receipt;
pub(crate) mod receipt_watch;
pub(crate) mod register;
pub(crate) mod resend;
pub(crate) mod subscribers;
