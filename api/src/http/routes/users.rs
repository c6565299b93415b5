//! Registration and activation over HTTP: JSON becomes valid types here, or a problem.

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
        caller::Caller,
        json, language,
        problem::{
            Problem, ProblemKind,
            responses::{OperationProblem, OperationProblems, operation_problems},
        },
    },
    registration::{
        activate, receipt,
        register::{self, RegisterRequest},
        resend,
    },
};

pub(crate) struct Users {
    pub(crate) app: Arc<App>,
}

/// E-mail address and password of the registration, or of the account.
#[derive(SecurityScheme)]
#[oai(ty = "basic", rename = "Basic")]
pub(crate) struct Basic(pub(crate) poem_openapi::auth::Basic);

#[derive(ApiResponse)]
enum Accepted {
    /// The registration stands; a code is on its way. The answer is the same for every address.
    #[oai(status = 202)]
    Receipt(
        Json<json::Receipt>,
        /// Where the receipt can be read.
        #[oai(header = "Location")]
        String,
    ),
}

#[derive(ApiResponse)]
enum Resent {
    /// Another code is on its way; the one before is dead.
    #[oai(status = 202)]
    Receipt(Json<json::Receipt>),
}

operation_problems! {
    Registers: MalformedRequest, IdempotencyMismatch, PayloadTooLarge, UnsupportedMediaType, InvalidInput,
        TooManyRequests, Internal, Overloaded, Unavailable;
    Reads: MalformedRequest, NotFound, Internal, Unavailable;
    Resends: MalformedRequest, Unauthenticated, AlreadyActive, RegistrationClosed, PayloadTooLarge,
        UnsupportedMediaType, InvalidInput, TooManyRequests, Internal, Overloaded, Unavailable;
    Activates: MalformedRequest, Unauthenticated, AlreadyActive, CodeExpired, CodeExhausted, RegistrationClosed,
        PayloadTooLarge, UnsupportedMediaType, InvalidInput, WrongCode, TooManyRequests, Internal, Overloaded, Unavailable;
}

#[OpenApi(prefix_path = "/v1")]
impl Users {
    /// Register
    ///
    /// Appends a registration and mails a code, in the language that `Accept-Language` asks for if there are words in
    /// it, else in English. The answer tells nothing about the address.
    #[oai(path = "/users", method = "post", operation_id = "register")]
    async fn register(
        &self,
        caller: Caller,
        headers: &HeaderMap,
        /// The same request again with the same key has the same receipt and no second mail. 1 to 255
        /// visible characters, remembered for 24 hours.
        #[oai(name = "Idempotency-Key")]
        _key: Header<Option<String>>,
        body: Json<json::Registration>,
    ) -> Result<Accepted, OperationProblem<Registers>> {
        let idempotency_key = idempotency_key(headers)?;
        let email = EmailAddress::parse(body.email.text());
        let min_length = self.app.policy.password_min_length;
        let password = Password::choose(body.password.text(), email.as_ref().ok(), min_length);
        let (email, password) = both(email, password)?;
        let (language, network, traceparent) = (language::preferred(headers), caller.network, caller.traceparent());
        let wish = RegisterRequest { email, password, idempotency_key, language, network, traceparent };
        let receipt = register::register(&self.app, &wish).await?;
        let location = format!("/v1/registrations/{}", receipt.registration);
        Ok(Accepted::Receipt(Json(receipt.into()), location))
    }

    /// Read a receipt
    ///
    /// Who knows the id may read it: how far the mail is, and how long the code lives.
    #[oai(path = "/registrations/:id", method = "get", operation_id = "read_registration")]
    async fn read(&self, id: Path<Uuid>) -> Result<Json<json::Receipt>, OperationProblem<Reads>> {
        Ok(Json(receipt::read(&self.app, id.0).await?.into()))
    }

    /// Ask for another code
    ///
    /// Authorize first, with address and password.
    #[oai(path = "/users/resend", method = "post", operation_id = "resend")]
    async fn resend(
        &self,
        caller: Caller,
        basic: Basic,
        body: Json<Option<json::Resending>>,
    ) -> Result<Resent, OperationProblem<Resends>> {
        let named = body.0.as_ref().and_then(|body| body.registration.as_ref());
        let registration = registration(named).map_err(Error::from)?;
        let credentials = credentials(basic, registration, caller)?;
        Ok(Resent::Receipt(Json(resend::resend(&self.app, &credentials).await?.into())))
    }

    /// Activate
    ///
    /// Password and code of the same registration make a user, once. Three tries a code. Authorize first,
    /// with address and password.
    #[oai(path = "/users/activate", method = "post", operation_id = "activate")]
    async fn activate(
        &self,
        caller: Caller,
        basic: Basic,
        body: Json<json::Activation>,
    ) -> Result<Json<json::User>, OperationProblem<Activates>> {
        let (code, registration) = both(code::read(body.code.text()), registration(body.registration.as_ref()))?;
        let credentials = credentials(basic, registration, caller)?;
        Ok(Json(activate::activate(&self.app, &credentials, code).await?.into()))
    }
}

/// All faults, not the first.
fn both<A, B>(one: Result<A, FieldError>, other: Result<B, FieldError>) -> Result<(A, B), Error> {
    match (one, other) {
        (Ok(one), Ok(other)) => Ok((one, other)),
        (one, other) => Err(Error::Invalid(one.err().into_iter().chain(other.err()).collect())),
    }
}

fn registration(given: Option<&json::Given>) -> Result<Option<Uuid>, FieldError> {
    match given.map(json::Given::text) {
        None | Some("") => Ok(None),
        Some(text) => match text.parse() {
            Ok(id) => Ok(Some(id)),
            Err(_) => Err(FieldError::new("registration", "invalid", "This is not the id of a registration.")),
        },
    }
}

/// What cannot be anybody's address or password is nobody's: no need to hash it.
pub(crate) fn credentials(
    Basic(given): Basic,
    registration: Option<Uuid>,
    caller: Caller,
) -> Result<Credentials, Error> {
    let (email, password) = (EmailAddress::parse(&given.username), SecretString::from(given.password));
    let password = Password::given(password.expose_secret()).ok_or(Error::Unauthenticated)?;
    let email = email.map_err(|_| Error::Unauthenticated)?;
    Ok(Credentials { email, password, registration, network: caller.network, traceparent: caller.traceparent() })
}

/// Read here and not by the framework, which drops what is not text without a word.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut keys = headers.get_all("idempotency-key").iter();
    let (first, more) = (keys.next(), keys.next());
    let Some(first) = first else { return Ok(None) };
    let visible = |key: &str| (1..=255).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    match first.to_str() {
        Ok(key) if more.is_none() && visible(key) => Ok(Some(key.to_owned())),
        _ => Err(Problem::new(ProblemKind::MalformedRequest, "An Idempotency-Key has 1 to 255 visible characters.")),
    }
}
