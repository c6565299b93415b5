//! EventKind the holder of a token may do with it but erase the account: see whose it is, and end it.

use crate::{
    app::App,
    domain::session::Token,
    error::Error,
    store::{sessions, users::User},
};

pub(crate) async fn who(app: &App, token: &Token) -> Result<User, Error> {
    let connection = app.store.connection().await?;
    let (user, _) = sessions::holder(&connection, &token.hash()).await?.ok_or(Error::NoSession)?;
    Ok(user)
}

/// The token is dead when this returns.
pub(crate) async fn log_out(app: &App, token: &Token) -> Result<(), Error> {
    let connection = app.store.connection().await?;
    if sessions::end(&connection, &token.hash()).await? { Ok(()) } else { Err(Error::NoSession) }
}
