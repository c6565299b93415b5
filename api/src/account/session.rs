//! Sessions: finds the user of a token, and logs out.

use crate::{
    app::App,
    domain::session::Token,
    error::Error,
    store::{sessions, users::User},
};

/// Returns the user whose session this is, if it has not ended.
pub(crate) async fn user(app: &App, token: &Token) -> Result<User, Error> {
    let connection = app.store.connection().await?;
    let (user, _) = sessions::user_of(&connection, &token.hash()).await?.ok_or(Error::NoSession)?;
    Ok(user)
}

/// Ends the session. The token is invalid when this returns.
pub(crate) async fn log_out(app: &App, token: &Token) -> Result<(), Error> {
    let connection = app.store.connection().await?;
    if sessions::end(&connection, &token.hash()).await? { Ok(()) } else { Err(Error::NoSession) }
}
