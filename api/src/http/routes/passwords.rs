//! Routes for passwords: request a reset code, reset a forgotten password, change a known one.

use std::sync::Arc;

use poem::http::HeaderMap;
use poem_openapi::{ApiResponse, OpenApi, param::Path, payload::Json};
use uuid::Uuid;

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
        json::{ChangePasswordBody, ForgotPasswordBody, ResetPasswordBody, ResetReceiptBody, TextField},
        language, paths,
        problem::{
            ProblemKind,
            responses::{OperationProblem, OperationProblems, operation_problems},
        },
        request_context::RequestContext,
    },
};

/// The operations below `/v1/users` that set passwords.
pub(crate) struct Passwords {
    pub(crate) app: Arc<App>,
}

#[derive(ApiResponse)]
enum ResetAccepted {
    /// A mail is on its way: with a code if the email address has an account, otherwise saying that it has none. The
    /// response is the same in both cases.
    #[oai(status = 202)]
    Receipt(
        Json<ResetReceiptBody>,
        /// Where the receipt can be read.
        #[oai(header = "Location")]
        String,
    ),
}

#[derive(ApiResponse)]
enum PasswordChanged {
    /// The password was changed, and the owner of the account is notified by mail.
    #[oai(status = 204)]
    Done,
}

operation_problems! {
    ForgotProblems: MalformedRequest, PayloadTooLarge, UnsupportedMediaType, InvalidInput, TooManyRequests, Internal,
        Unavailable;
    ReadProblems: MalformedRequest, NotFound, Internal, Unavailable;
    ResetProblems: MalformedRequest, NotFound, CodeExpired, CodeExhausted, PayloadTooLarge, UnsupportedMediaType,
        InvalidInput, WrongCode, TooManyRequests, Internal, Overloaded, Unavailable;
    ChangeProblems: MalformedRequest, Unauthenticated, PayloadTooLarge, UnsupportedMediaType, InvalidInput,
        TooManyRequests, Internal, Overloaded, Unavailable;
}

#[OpenApi(prefix_path = "/v1/users")]
impl Passwords {
    /// Request a password reset
    ///
    /// Mails a code if the email address has an account, and otherwise a mail that says that it has none. The response
    /// does not reveal which.
    #[oai(path = "/password/forgot", method = "post", operation_id = "forgot_password")]
    async fn forgot(
        &self,
        context: RequestContext,
        headers: &HeaderMap,
        body: Json<ForgotPasswordBody>,
    ) -> Result<ResetAccepted, OperationProblem<ForgotProblems>> {
        let request = ForgotPassword {
            email: EmailAddress::parse(body.email.text()).map_err(Error::from)?,
            language: language::preferred(headers),
            client: context.client,
            traceparent: context.traceparent(),
        };
        let reset = forgot_password::request_reset(&self.app, &request).await?;
        let location = format!("{}/{}", paths::FORGOT_PASSWORD, reset.id);
        Ok(ResetAccepted::Receipt(Json(reset.into()), location))
    }

    /// Read the receipt of a password reset
    ///
    /// Returns the delivery status of the mail and how long the code is valid. Requires no credentials but the id.
    #[oai(path = "/password/forgot/:receipt", method = "get", operation_id = "read_reset")]
    async fn read(&self, receipt: Path<Uuid>) -> Result<Json<ResetReceiptBody>, OperationProblem<ReadProblems>> {
        Ok(Json(forgot_password::read(&self.app, receipt.0).await?.into()))
    }

    /// Reset the password
    ///
    /// Sets a new password for the account with the receipt and the code, and ends all its sessions. A receipt works
    /// once; a code has three attempts.
    #[oai(path = "/password/reset", method = "post", operation_id = "reset_password")]
    async fn reset(
        &self,
        context: RequestContext,
        body: Json<ResetPasswordBody>,
    ) -> Result<PasswordChanged, OperationProblem<ResetProblems>> {
        let password = self.parse_new_password(&body.password, "password");
        let receipt = parse_receipt(&body.receipt);
        let code = code::parse(body.code.text());
        let (receipt, code, password) = match (receipt, code, password) {
            (Ok(receipt), Ok(code), Ok(password)) => (receipt, code.to_owned(), password),
            (receipt, code, password) => return Err(invalid([receipt.err(), code.err(), password.err()]).into()),
        };
        let client = context.client;
        let traceparent = context.traceparent();
        reset_password::reset(&self.app, &ResetPassword { receipt, code, password, client, traceparent }).await?;
        Ok(PasswordChanged::Done)
    }

    /// Change the password
    ///
    /// Requires a session and the current password. Ends all other sessions of the user.
    #[oai(path = "/me/password", method = "post", operation_id = "change_password")]
    async fn change(
        &self,
        context: RequestContext,
        Bearer(token): Bearer,
        body: Json<ChangePasswordBody>,
    ) -> Result<PasswordChanged, OperationProblem<ChangeProblems>> {
        let new = self.parse_new_password(&body.new_password, "new_password").map_err(Error::from)?;
        // What cannot be a password of any account is rejected without hashing it.
        let old = Password::parse(body.password.text()).ok_or(Error::WrongPassword)?;
        let client = context.client;
        let traceparent = context.traceparent();
        change_password::change(&self.app, &ChangePassword { token, old, new, client, traceparent }).await?;
        Ok(PasswordChanged::Done)
    }
}

impl Passwords {
    /// Validates a new password. Whether it equals the email address is checked later, where the address is known.
    fn parse_new_password(&self, input: &TextField, field: &'static str) -> Result<Password, FieldError> {
        let password = Password::parse_new(input.text(), None, self.app.policy.password_min_length);
        password.map_err(|error| FieldError { field, ..error })
    }
}

fn parse_receipt(input: &TextField) -> Result<Uuid, FieldError> {
    match input.text() {
        "" => Err(FieldError::new(
            "receipt",
            "required",
            "The receipt is missing. Send the receipt that was returned when the code was requested.",
        )),
        text => text.parse().map_err(|_| {
            FieldError::new("receipt", "invalid", "This is not the id of a receipt. Send the id as it was returned.")
        }),
    }
}

/// All invalid fields as one error.
fn invalid(errors: [Option<FieldError>; 3]) -> Error {
    Error::Invalid(errors.into_iter().flatten().collect())
}
