//! Other passwords over HTTP: for those who forgot theirs, and for those who know it.

mod bodies;

use std::sync::Arc;

use poem::http::HeaderMap;
use poem_openapi::{ApiResponse, OpenApi, param::Path, payload::Json};
use uuid::Uuid;

use self::bodies::{Forgotten, NewPassword, PasswordChange, ResetReceipt};
use crate::{
    account::{
        change_password::{self, ChangePassword},
        forgot_password::{self, ForgotPassword},
        reset_password::{self, ResetPassword},
    },
    app::App,
    domain::{code, email::EmailAddress, password::Password, policy::FieldError},
    error::Error,
    http::{
        bearer::Bearer,
        caller::Caller,
        json::Given,
        language,
        problem::{
            ProblemKind,
            responses::{OperationProblem, OperationProblems, operation_problems},
        },
    },
};

pub(crate) struct Passwords {
    pub(crate) app: Arc<App>,
}

#[derive(ApiResponse)]
enum Asked {
    /// If the address has an account, a code is on its way; else a mail that says so. The answer is the same.
    #[oai(status = 202)]
    Receipt(
        Json<ResetReceipt>,
        /// Where the receipt can be read.
        #[oai(header = "Location")]
        String,
    ),
}

#[derive(ApiResponse)]
enum Changed {
    /// The password is another one, and its owner is told by mail.
    #[oai(status = 204)]
    Done,
}

operation_problems! {
    Forgets: MalformedRequest, PayloadTooLarge, UnsupportedMediaType, InvalidInput, TooManyRequests, Internal, Unavailable;
    Reads: MalformedRequest, NotFound, Internal, Unavailable;
    Resets: MalformedRequest, NotFound, CodeExpired, CodeExhausted, PayloadTooLarge, UnsupportedMediaType, InvalidInput,
        WrongCode, TooManyRequests, Internal, Overloaded, Unavailable;
    Changes: MalformedRequest, Unauthenticated, PayloadTooLarge, UnsupportedMediaType, InvalidInput, TooManyRequests,
        Internal, Overloaded, Unavailable;
}

#[OpenApi(prefix_path = "/v1/users")]
impl Passwords {
    /// Ask for another password
    ///
    /// Mails a code to whoever has an account, and to everybody else that there is none. The answer tells nothing.
    #[oai(path = "/password/forgot", method = "post", operation_id = "forgot_password")]
    async fn forgot(
        &self,
        caller: Caller,
        headers: &HeaderMap,
        body: Json<Forgotten>,
    ) -> Result<Asked, OperationProblem<Forgets>> {
        let email = EmailAddress::parse(body.email.text()).map_err(Error::from)?;
        let (language, network, traceparent) = (language::preferred(headers), caller.network, caller.traceparent());
        let wish = ForgotPassword { email, language, network, traceparent };
        let reset = forgot_password::request_reset(&self.app, &wish).await?;
        let location = format!("/v1/users/password/forgot/{}", reset.id);
        Ok(Asked::Receipt(Json(reset.into()), location))
    }

    /// Read the receipt of a reset
    ///
    /// Who knows the id may read it: how far the mail is, and how long the code lives.
    #[oai(path = "/password/forgot/:receipt", method = "get", operation_id = "read_reset")]
    async fn read(&self, receipt: Path<Uuid>) -> Result<Json<ResetReceipt>, OperationProblem<Reads>> {
        Ok(Json(forgot_password::read(&self.app, receipt.0).await?.into()))
    }

    /// Reset the password
    ///
    /// Receipt and code give the account another password, once, and end all its sessions. Three tries a code.
    #[oai(path = "/password/reset", method = "post", operation_id = "reset_password")]
    async fn reset(&self, caller: Caller, body: Json<NewPassword>) -> Result<Changed, OperationProblem<Resets>> {
        let password = self.chosen(&body.password, "password");
        let (receipt, code) = (receipt(&body.receipt), code::read(body.code.text()));
        let (receipt, code, password) = match (receipt, code, password) {
            (Ok(receipt), Ok(code), Ok(password)) => (receipt, code.to_owned(), password),
            (receipt, code, password) => return Err(all([receipt.err(), code.err(), password.err()]).into()),
        };
        let (network, traceparent) = (caller.network, caller.traceparent());
        reset_password::reset(&self.app, &ResetPassword { receipt, code, password, network, traceparent }).await?;
        Ok(Changed::Done)
    }

    /// Change the password
    ///
    /// Who is logged in and knows the password has another one. All other sessions end.
    #[oai(path = "/me/password", method = "post", operation_id = "change_password")]
    async fn change(
        &self,
        caller: Caller,
        Bearer(token): Bearer,
        body: Json<PasswordChange>,
    ) -> Result<Changed, OperationProblem<Changes>> {
        let new = self.chosen(&body.new_password, "new_password").map_err(Error::from)?;
        // What cannot be anybody's password is not this one: no need to hash it.
        let old = Password::given(body.password.text()).ok_or(Error::WrongPassword)?;
        let (network, traceparent) = (caller.network, caller.traceparent());
        change_password::change(&self.app, &ChangePassword { token, old, new, network, traceparent }).await?;
        Ok(Changed::Done)
    }
}

impl Passwords {
    /// Whether it is the address is judged where that is known.
    fn chosen(&self, given: &Given, field: &'static str) -> Result<Password, FieldError> {
        let chosen = Password::choose(given.text(), None, self.app.policy.password_min_length);
        chosen.map_err(|fault| FieldError { field, ..fault })
    }
}

fn receipt(given: &Given) -> Result<Uuid, FieldError> {
    match given.text() {
        "" => Err(FieldError::new(
            "receipt",
            "required",
            "The receipt is needed that asking for the code was answered with.",
        )),
        text => text.parse().map_err(|_| FieldError::new("receipt", "invalid", "This is not the id of a receipt.")),
    }
}

fn all(faults: [Option<FieldError>; 3]) -> Error {
    Error::Invalid(faults.into_iter().flatten().collect())
}
