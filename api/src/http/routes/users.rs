//! Routes for registration and activation. Request bodies are parsed into valid types here, or rejected.

use std::sync::Arc;

use poem::http::HeaderMap;
use poem_openapi::{
    ApiResponse, OpenApi, SecurityScheme,
    param::{Header, Path},
    payload::Json,
};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use crate::{
    app::App,
    auth::credentials::Credentials,
    domain::{code, email::EmailAddress, password::Password, policy::FieldError},
    error::Error,
    http::{
        json::{ActivateBody, ReceiptBody, RegisterBody, ResendBody, TextField, UserBody},
        language, paths,
        problem::{
            Problem, ProblemKind,
            responses::{OperationProblem, OperationProblems, operation_problems},
        },
        request_context::RequestContext,
    },
    registration::{
        activate, receipt,
        register::{self, RegisterRequest},
        resend,
    },
};

/// The operations of a registration, from sign-up to activation.
pub(crate) struct Users {
    pub(crate) app: Arc<App>,
}

/// Email address and password of the registration or of the account.
#[derive(SecurityScheme)]
#[oai(ty = "basic", rename = "Basic")]
pub(crate) struct Basic(pub(crate) poem_openapi::auth::Basic);

#[derive(ApiResponse)]
enum Registered {
    /// The registration is stored and a mail is on its way. The response is the same for every email address.
    #[oai(status = 202)]
    Receipt(
        Json<ReceiptBody>,
        /// Where the receipt can be read.
        #[oai(header = "Location")]
        String,
    ),
}

#[derive(ApiResponse)]
enum Resent {
    /// A new code is on its way. The previous code is invalid.
    #[oai(status = 202)]
    Receipt(Json<ReceiptBody>),
}

operation_problems! {
    RegisterProblems: MalformedRequest, IdempotencyMismatch, PayloadTooLarge, UnsupportedMediaType, InvalidInput,
        TooManyRequests, Internal, Overloaded, Unavailable;
    ReadProblems: MalformedRequest, NotFound, Internal, Unavailable;
    ResendProblems: MalformedRequest, Unauthenticated, AlreadyActive, RegistrationClosed, PayloadTooLarge,
        UnsupportedMediaType, InvalidInput, TooManyRequests, Internal, Overloaded, Unavailable;
    ActivateProblems: MalformedRequest, Unauthenticated, AlreadyActive, CodeExpired, CodeExhausted, RegistrationClosed,
        PayloadTooLarge, UnsupportedMediaType, InvalidInput, WrongCode, TooManyRequests, Internal, Overloaded,
        Unavailable;
}

#[OpenApi(prefix_path = "/v1")]
impl Users {
    /// Register
    ///
    /// Stores a registration and mails a code, in the language that `Accept-Language` prefers among those supported, or
    /// in English. The response does not reveal anything about the email address.
    #[oai(path = "/users", method = "post", operation_id = "register")]
    async fn register(
        &self,
        context: RequestContext,
        headers: &HeaderMap,
        /// Makes the request safe to retry: the same request with the same key returns the same receipt and sends no
        /// second mail. 1 to 255 visible ASCII characters, remembered for 24 hours.
        #[oai(name = "Idempotency-Key")]
        _key: Header<Option<String>>,
        body: Json<RegisterBody>,
    ) -> Result<Registered, OperationProblem<RegisterProblems>> {
        let idempotency_key = idempotency_key(headers)?;
        let email = EmailAddress::parse(body.email.text());
        let min_length = self.app.policy.password_min_length;
        let password = Password::parse_new(body.password.text(), email.as_ref().ok(), min_length);
        let (email, password) = both(email, password)?;
        let request = RegisterRequest {
            email,
            password,
            idempotency_key,
            language: language::preferred(headers),
            client: context.client,
            traceparent: context.traceparent(),
        };
        let receipt = register::register(&self.app, &request).await?;
        let location = format!("{}/{}", paths::REGISTRATIONS, receipt.registration);
        Ok(Registered::Receipt(Json(receipt.into()), location))
    }

    /// Read the receipt of a registration
    ///
    /// Returns the delivery status of the mail and how long the code is valid. Requires no credentials but the id.
    #[oai(path = "/registrations/:id", method = "get", operation_id = "read_registration")]
    async fn read(&self, id: Path<Uuid>) -> Result<Json<ReceiptBody>, OperationProblem<ReadProblems>> {
        Ok(Json(receipt::read(&self.app, id.0).await?.into()))
    }

    /// Request a new code
    ///
    /// Mails a new code for a registration. Authorize with email address and password first.
    #[oai(path = "/users/resend", method = "post", operation_id = "resend")]
    async fn resend(
        &self,
        context: RequestContext,
        basic: Basic,
        body: Json<Option<ResendBody>>,
    ) -> Result<Resent, OperationProblem<ResendProblems>> {
        let registration = body.0.as_ref().and_then(|body| body.registration.as_ref());
        let registration = parse_registration(registration).map_err(Error::from)?;
        let credentials = credentials(basic, registration, context)?;
        Ok(Resent::Receipt(Json(resend::resend(&self.app, &credentials).await?.into())))
    }

    /// Activate the account
    ///
    /// Creates the user from the password and the code of one registration, once. A code has three attempts. Authorize
    /// with email address and password first.
    #[oai(path = "/users/activate", method = "post", operation_id = "activate")]
    async fn activate(
        &self,
        context: RequestContext,
        basic: Basic,
        body: Json<ActivateBody>,
    ) -> Result<Json<UserBody>, OperationProblem<ActivateProblems>> {
        let (code, registration) = both(code::parse(body.code.text()), parse_registration(body.registration.as_ref()))?;
        let credentials = credentials(basic, registration, context)?;
        Ok(Json(activate::activate(&self.app, &credentials, code).await?.into()))
    }
}

/// Both values, or the errors of both fields.
fn both<A, B>(first: Result<A, FieldError>, second: Result<B, FieldError>) -> Result<(A, B), Error> {
    match (first, second) {
        (Ok(first), Ok(second)) => Ok((first, second)),
        (first, second) => Err(Error::Invalid(first.err().into_iter().chain(second.err()).collect())),
    }
}

/// A missing, null or empty id means: none.
fn parse_registration(input: Option<&TextField>) -> Result<Option<Uuid>, FieldError> {
    match input.map(TextField::text) {
        None | Some("") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| {
            let message = "This is not the id of a registration. Send the id from the receipt, or none.";
            FieldError::new("registration", "invalid", message)
        }),
    }
}

/// The credentials of a Basic header. What cannot be an email address or a password of any account is rejected here,
/// without hashing it.
pub(crate) fn credentials(
    Basic(basic): Basic,
    registration: Option<Uuid>,
    context: RequestContext,
) -> Result<Credentials, Error> {
    let email = EmailAddress::parse(&basic.username);
    // Wrapped first, so that the password is wiped from memory on every path.
    let password = SecretString::from(basic.password);
    let password = Password::parse(password.expose_secret()).ok_or(Error::Unauthenticated)?;
    let email = email.map_err(|_| Error::Unauthenticated)?;
    Ok(Credentials { email, password, registration, client: context.client, traceparent: context.traceparent() })
}

/// The Idempotency-Key of the request. Not read by poem-openapi, which silently ignores a value that is not text.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut keys = headers.get_all("idempotency-key").iter();
    let Some(key) = keys.next() else { return Ok(None) };
    let is_only_one = keys.next().is_none();
    let is_valid = |key: &str| (1..=255).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    match key.to_str() {
        Ok(key) if is_only_one && is_valid(key) => Ok(Some(key.to_owned())),
        _ => {
            let detail = "The Idempotency-Key is invalid. Send one key of 1 to 255 visible ASCII characters.";
            Err(Problem::new(ProblemKind::MalformedRequest, detail))
        }
    }
}
