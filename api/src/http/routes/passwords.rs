//! Other passwords over HTTP: for those who forgot theirs, and for those who know it.

mod bodies;

use std::sync::Arc;

use poem::http::HeaderMap;
use poem_openapi::{ApiResponse, OpenApi, param::Path, payload::Json};
use uuid::Uuid;

use self::bodies::{Forgotten, NewPassword, PasswordChange, ResetReceipt};
use crate::{
    account::{
        change_password::{self, Changing},
        forgot_password::{self, Forgetting},
        reset_password::{self, Resetting},
    },
    app::App,
    domain::{code, email::EmailAddress, password::Password, policy::Fault},
    error::Refusal,
    http::{
        bearer::Bearer,
        caller::Caller,
        json::Given,
        language,
        problem::{
            Kind,
            responses::{Refusals, Refused, refusals},
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

refusals! {
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
    ) -> Result<Asked, Refused<Forgets>> {
        let email = EmailAddress::parse(body.email.text()).map_err(Refusal::from)?;
        let (language, network, traceparent) = (language::preferred(headers), caller.network, caller.traceparent());
        let wish = Forgetting { email, language, network, traceparent };
        let reset = forgot_password::forgot(&self.app, &wish).await?;
        let location = format!("/v1/users/password/forgot/{}", reset.id);
        Ok(Asked::Receipt(Json(reset.into()), location))
    }

    /// Read the receipt of a reset
    ///
    /// Who knows the id may read it: how far the mail is, and how long the code lives.
    #[oai(path = "/password/forgot/:receipt", method = "get", operation_id = "read_reset")]
    async fn read(&self, receipt: Path<Uuid>) -> Result<Json<ResetReceipt>, Refused<Reads>> {
        Ok(Json(forgot_password::read(&self.app, receipt.0).await?.into()))
    }

    /// Reset the password
    ///
    /// Receipt and code give the account another password, once, and end all its sessions. Three tries a code.
    #[oai(path = "/password/reset", method = "post", operation_id = "reset_password")]
    async fn reset(&self, caller: Caller, body: Json<NewPassword>) -> Result<Changed, Refused<Resets>> {
        let password = self.chosen(&body.password, "password");
        let (receipt, code) = (receipt(&body.receipt), code::read(body.code.text()));
        let (receipt, code, password) = match (receipt, code, password) {
            (Ok(receipt), Ok(code), Ok(password)) => (receipt, code.to_owned(), password),
            (receipt, code, password) => return Err(all([receipt.err(), code.err(), password.err()]).into()),
        };
        let (network, traceparent) = (caller.network, caller.traceparent());
        reset_password::reset(&self.app, &Resetting { receipt, code, password, network, traceparent }).await?;
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
    ) -> Result<Changed, Refused<Changes>> {
        let new = self.chosen(&body.new_password, "new_password").map_err(Refusal::from)?;
        // What cannot be anybody's password is not this one: no need to hash it.
        let old = Password::given(body.password.text()).ok_or(Refusal::WrongPassword)?;
        let (network, traceparent) = (caller.network, caller.traceparent());
        change_password::change(&self.app, &Changing { token, old, new, network, traceparent }).await?;
        Ok(Changed::Done)
    }
}

impl Passwords {
    /// Whether it is the address is judged where that is known.
    fn chosen(&self, given: &Given, field: &'static str) -> Result<Password, Fault> {
        let chosen = Password::choose(given.text(), None, self.app.policy.password_min_length);
        chosen.map_err(|fault| Fault { field, ..fault })
    }
}

fn receipt(given: &Given) -> Result<Uuid, Fault> {
    match given.text() {
        "" => {
            Err(Fault::new("receipt", "required", "The receipt is needed that asking for the code was answered with."))
        }
        text => text.parse().map_err(|_| Fault::new("receipt", "invalid", "This is not the id of a receipt.")),
    }
}

fn all(faults: [Option<Fault>; 3]) -> Refusal {
    Refusal::Invalid(faults.into_iter().flatten().collect())
}
