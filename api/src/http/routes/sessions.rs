//! Sessions over HTTP: a password becomes a token, and a token says who somebody is.

use std::sync::Arc;

use poem_openapi::{ApiResponse, OpenApi, payload::Json};

use crate::{
    account::{delete_account, login, session},
    app::App,
    http::{
        bearer::Bearer,
        caller::Caller,
        json,
        problem::{
            ProblemKind,
            responses::{OperationProblem, OperationProblems, operation_problems},
        },
        routes::users::{Basic, credentials},
    },
};

pub(crate) struct Sessions {
    pub(crate) app: Arc<App>,
}

#[derive(ApiResponse)]
enum LoggedOut {
    /// The token is dead.
    #[oai(status = 204)]
    Done,
}

#[derive(ApiResponse)]
enum Erased {
    /// The account is gone, and with it everything that named its owner.
    #[oai(status = 204)]
    Done,
}

operation_problems! {
    LogsIn: Unauthenticated, NotActivated, TooManyRequests, Internal, Overloaded, Unavailable;
    HasToken: Unauthenticated, Internal, Unavailable;
}

#[OpenApi(prefix_path = "/v1/users")]
impl Sessions {
    /// Log in
    ///
    /// Address and password of an account become a token. Authorize first, with both; then with the token. A user has
    /// at most five sessions: one more ends the oldest.
    #[oai(path = "/login", method = "post", operation_id = "log_in")]
    async fn log_in(&self, caller: Caller, basic: Basic) -> Result<Json<json::Session>, OperationProblem<LogsIn>> {
        let credentials = credentials(basic, None, caller)?;
        Ok(Json(login::log_in(&self.app, &credentials).await?.into()))
    }

    /// See whose token it is
    #[oai(path = "/me", method = "get", operation_id = "read_me")]
    async fn me(&self, Bearer(token): Bearer) -> Result<Json<json::User>, OperationProblem<HasToken>> {
        Ok(Json(session::user(&self.app, &token).await?.into()))
    }

    /// Log out
    ///
    /// Ends this session at once; others of the same user stay.
    #[oai(path = "/logout", method = "post", operation_id = "log_out")]
    async fn log_out(&self, Bearer(token): Bearer) -> Result<LoggedOut, OperationProblem<HasToken>> {
        session::log_out(&self.app, &token).await?;
        Ok(LoggedOut::Done)
    }

    /// Erase the account
    ///
    /// User, sessions and all registrations of the address are gone when this is answered, and what was still to be
    /// mailed is not mailed. The address is free.
    #[oai(path = "/me", method = "delete", operation_id = "erase_me")]
    async fn erase(&self, caller: Caller, Bearer(token): Bearer) -> Result<Erased, OperationProblem<HasToken>> {
        delete_account::delete(&self.app, &token, &caller.traceparent()).await?;
        Ok(Erased::Done)
    }
}
