//! Routes for sessions and the account they belong to: log in, log out, read and delete the account.

use std::sync::Arc;

use poem_openapi::{ApiResponse, OpenApi, payload::Json};

use crate::{
    account::{delete_account, login, session},
    app::App,
    http::{
        bearer::Bearer,
        json::{SessionBody, UserBody},
        problem::{
            ProblemKind,
            responses::{OperationProblem, OperationProblems, operation_problems},
        },
        request_context::RequestContext,
        routes::users::{Basic, credentials},
    },
};

/// The operations that create, use and end sessions.
pub(crate) struct Sessions {
    pub(crate) app: Arc<App>,
}

#[derive(ApiResponse)]
enum LoggedOut {
    /// The session has ended, and its token is invalid.
    #[oai(status = 204)]
    Done,
}

#[derive(ApiResponse)]
enum AccountDeleted {
    /// The account and everything that identifies its owner were deleted.
    #[oai(status = 204)]
    Done,
}

operation_problems! {
    LoginProblems: Unauthenticated, NotActivated, TooManyRequests, Internal, Overloaded, Unavailable;
    SessionProblems: Unauthenticated, Internal, Unavailable;
}

#[OpenApi(prefix_path = "/v1/users")]
impl Sessions {
    /// Log in
    ///
    /// Returns a token for the email address and the password of an account. Authorize with both (Basic) first, then
    /// with the token (Bearer). A user has at most five sessions: one more ends the oldest.
    #[oai(path = "/login", method = "post", operation_id = "log_in")]
    async fn log_in(
        &self,
        context: RequestContext,
        basic: Basic,
    ) -> Result<Json<SessionBody>, OperationProblem<LoginProblems>> {
        let credentials = credentials(basic, None, context)?;
        Ok(Json(login::log_in(&self.app, &credentials).await?.into()))
    }

    /// Read the account
    ///
    /// Returns the user that the token belongs to.
    #[oai(path = "/me", method = "get", operation_id = "read_me")]
    async fn me(&self, Bearer(token): Bearer) -> Result<Json<UserBody>, OperationProblem<SessionProblems>> {
        Ok(Json(session::user(&self.app, &token).await?.into()))
    }

    /// Log out
    ///
    /// Ends this session immediately. Other sessions of the user continue.
    #[oai(path = "/logout", method = "post", operation_id = "log_out")]
    async fn log_out(&self, Bearer(token): Bearer) -> Result<LoggedOut, OperationProblem<SessionProblems>> {
        session::log_out(&self.app, &token).await?;
        Ok(LoggedOut::Done)
    }

    /// Delete the account
    ///
    /// Deletes the user, its sessions and all registrations of the email address before the response is sent, and mails
    /// the owner that this happened. Other mails that have not been sent yet are not sent. The email address may be
    /// registered again. Authorize with email address and password first: a session is not enough.
    #[oai(path = "/me", method = "delete", operation_id = "erase_me")]
    async fn delete(
        &self,
        context: RequestContext,
        basic: Basic,
    ) -> Result<AccountDeleted, OperationProblem<LoginProblems>> {
        delete_account::delete(&self.app, &credentials(basic, None, context)?).await?;
        Ok(AccountDeleted::Done)
    }
}
