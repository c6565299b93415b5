//! Paths of the API, one constant for each path that is named outside its own route.
//!
//! The `#[oai(path = …)]` attributes take literals only; a test compares the constants with them.

/// The web app.
pub(crate) const WEB_APP: &str = "/";

/// `POST`: register.
pub(crate) const USERS: &str = "/v1/users";
/// `POST`: send a new activation code.
pub(crate) const RESEND: &str = "/v1/users/resend";
/// `POST`: activate a registration.
pub(crate) const ACTIVATE: &str = "/v1/users/activate";
/// `POST`: log in.
pub(crate) const LOGIN: &str = "/v1/users/login";
/// `POST`: set a new password with a reset code.
pub(crate) const RESET_PASSWORD: &str = "/v1/users/password/reset";
/// `POST`: request a code to reset a password. Followed by a receipt id: the state of that reset.
pub(crate) const FORGOT_PASSWORD: &str = "/v1/users/password/forgot";
/// Followed by an id: the receipt of a registration.
pub(crate) const REGISTRATIONS: &str = "/v1/registrations";

/// The icon that browsers look for unless a page names one.
pub(crate) const FAVICON: &str = "/favicon.ico";
/// The page that explains a problem; the `type` of every problem document leads there.
pub(crate) const PROBLEM: &str = "/problems/{slug}";
/// The same, as poem's router writes it.
pub(crate) const PROBLEM_ROUTE: &str = "/problems/:slug";

/// Swagger UI.
pub(crate) const DOCS: &str = "/docs";
/// Scalar, the other page of the OpenAPI document.
pub(crate) const DOCS_SCALAR: &str = "/docs/scalar";
/// The OpenAPI document.
pub(crate) const OPENAPI_JSON: &str = "/openapi.json";

/// The page behind the "this was not me" link of a mail, as poem's router writes it.
pub(crate) const NOT_ME_ROUTE: &str = "/not-me/:token";

/// The page behind the link of a mail about a locked account, as poem's router writes it.
pub(crate) const UNLOCK_ROUTE: &str = "/unlock/:token";

#[cfg(test)]
mod tests {
    use poem_openapi::OpenApi;
    use shared::mail_link::MailLink;

    use super::*;
    use crate::http::routes::{passwords::Passwords, sessions::Sessions, users::Users};

    #[test]
    fn constants_match_the_declared_routes() {
        let apis = Users::meta().into_iter().chain(Sessions::meta()).chain(Passwords::meta());
        let declared: Vec<_> = apis.flat_map(|api| api.paths).map(|path| path.path).collect();
        let of_registration = format!("{REGISTRATIONS}/{{id}}");
        let of_reset = format!("{FORGOT_PASSWORD}/{{receipt}}");
        for path in [USERS, RESEND, ACTIVATE, LOGIN, FORGOT_PASSWORD, RESET_PASSWORD, &*of_registration, &*of_reset] {
            assert!(declared.iter().any(|declared| declared == path), "{path} is not among {declared:?}");
        }
        assert_eq!(PROBLEM_ROUTE.replace(":slug", "{slug}"), PROBLEM);
        assert_eq!(NOT_ME_ROUTE, format!("{}:token", MailLink::NotMe.path()));
        assert_eq!(UNLOCK_ROUTE, format!("{}:token", MailLink::Unlock.path()));
    }
}
