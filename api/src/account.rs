//! Accounts: login and sessions, password changes and resets, account deletion.

pub(crate) mod change_password;
pub(crate) mod delete_account;
pub(crate) mod forgot_password;
pub(crate) mod login;
pub(crate) mod reset_allowance;
pub(crate) mod reset_attempt;
pub(crate) mod reset_password;
pub(crate) mod session;
pub(crate) mod set_password;
