//! Requests of numbered users. Each user has its own email address and network; all have the same password.

use base64::{Engine, prelude::BASE64_STANDARD};
use hyper::{
    Request,
    header::{self, HeaderValue},
};

/// The password of all users.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// A traceparent of the usual length.
pub(crate) const TRACEPARENT: &str = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01";

/// The email address of a user.
pub(crate) fn email(user: u64) -> String {
    format!("p{user}@bench.example")
}

/// The user with this email address.
pub(crate) fn from_email(email: &str) -> Option<u64> {
    email.strip_prefix('p')?.strip_suffix("@bench.example")?.parse().ok()
}

/// A registration.
pub(crate) fn register(user: u64) -> Request<String> {
    post("/v1/users", user, &[], format!(r#"{{"email":"{}","password":"{PASSWORD}"}}"#, email(user)))
}

/// A sign-up at the service with better-auth.
pub(crate) fn sign_up_to_better_auth(user: u64) -> Request<String> {
    let body = format!(r#"{{"name":"p{user}","email":"{}","password":"{PASSWORD}"}}"#, email(user));
    post("/api/auth/sign-up/email", user, &[], body)
}

/// A sign-up at the service with fastapi-users.
pub(crate) fn sign_up_to_fastapi_users(user: u64) -> Request<String> {
    post("/auth/register", user, &[], format!(r#"{{"email":"{}","password":"{PASSWORD}"}}"#, email(user)))
}

/// A registration with an idempotency key, which the API looks up in the database each time.
pub(crate) fn register_with_key(user: u64) -> Request<String> {
    let mut request = register(user);
    request.headers_mut().insert("idempotency-key", user.into());
    request
}

/// An activation with this code.
pub(crate) fn activate(user: u64, digits: &str) -> Request<String> {
    let authorization = (header::AUTHORIZATION, &*basic_credentials(user));
    post("/v1/users/activate", user, &[authorization], format!(r#"{{"code":"{digits}"}}"#))
}

/// A login. All logins come from one network, in which no user is.
pub(crate) fn log_in(user: u64) -> Request<String> {
    let authorization = (header::AUTHORIZATION, &*basic_credentials(user));
    let mut request = post("/v1/users/login", user, &[authorization], String::new());
    request.headers_mut().insert("x-forwarded-for", HeaderValue::from_static("192.0.2.1"));
    request
}

/// A login from the network of the user.
pub(crate) fn log_in_from_own_network(user: u64, password: &str) -> Request<String> {
    let authorization = (header::AUTHORIZATION, &*basic(user, password));
    post("/v1/users/login", user, &[authorization], String::new())
}

fn basic_credentials(user: u64) -> String {
    basic(user, PASSWORD)
}

fn basic(user: u64, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{}:{password}", email(user))))
}

/// A GET request.
pub(crate) fn get(path: &str) -> Request<String> {
    Request::get(path).header(header::HOST, "localhost").body(String::new()).unwrap_or_default()
}

/// A POST request as a trusted proxy forwards it, so that the requests of one driver come from many networks.
fn post(path: &str, user: u64, headers: &[(header::HeaderName, &str)], body: String) -> Request<String> {
    let network = std::net::Ipv4Addr::from_bits(0x0A00_0000 | u32::try_from(user & 0x00FF_FFFF).unwrap_or(0));
    let mut request = Request::post(path)
        .header(header::HOST, "localhost")
        .header(header::CONTENT_TYPE, "application/json")
        .header("x-forwarded-for", network.to_string());
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    request.body(body).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn email_address_identifies_the_user() {
        assert_eq!(
            (from_email(&email(42)), from_email("p@bench.example"), from_email("p1@else.example")),
            (Some(42), None, None)
        );
    }

    #[test]
    fn users_have_different_networks() {
        let from = |user| register(user).headers()["x-forwarded-for"].clone();
        assert_eq!((from(0), from(257)), ("10.0.0.0".parse().unwrap(), "10.0.1.1".parse().unwrap()));
        assert_eq!(log_in(0).headers()["x-forwarded-for"], log_in(257).headers()["x-forwarded-for"]);
    }
}
