//! The people who come: each with an address and a network of her own, all with one password.

use base64::{Engine, prelude::BASE64_STANDARD};
use hyper::{Request, header};

pub(crate) const PASSWORD: &str = "correct horse battery";

/// As long as each that the service makes.
pub(crate) const TRACEPARENT: &str = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01";

pub(crate) fn email(user: u64) -> String {
    format!("p{user}@bench.example")
}

/// Who it was that a mail is for.
pub(crate) fn user(email: &str) -> Option<u64> {
    email.strip_prefix('p')?.strip_suffix("@bench.example")?.parse().ok()
}

pub(crate) fn register(user: u64) -> Request<String> {
    post("/v1/users", user, &[], format!(r#"{{"email":"{}","password":"{PASSWORD}"}}"#, email(user)))
}

/// The same as one that may be repeated: whether it is a repetition is asked of the database each time.
pub(crate) fn register_with_key(user: u64) -> Request<String> {
    let mut request = register(user);
    request.headers_mut().insert("idempotency-key", user.into());
    request
}

pub(crate) fn activate(user: u64, digits: &str) -> Request<String> {
    let basic = format!("Basic {}", BASE64_STANDARD.encode(format!("{}:{PASSWORD}", email(user))));
    post("/v1/users/activate", user, &[(header::AUTHORIZATION, &basic)], format!(r#"{{"code":"{digits}"}}"#))
}

pub(crate) fn get(path: &str) -> Request<String> {
    Request::get(path).header(header::HOST, "localhost").body(String::new()).unwrap_or_default()
}

/// As a proxy of ours hands it on, which is how a service is reached by many networks.
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
    fn a_mail_is_known_by_its_address() {
        assert_eq!((user(&email(42)), user("p@bench.example"), user("p1@else.example")), (Some(42), None, None));
    }

    #[test]
    fn neighbours_come_from_different_networks() {
        let from = |user| register(user).headers()["x-forwarded-for"].clone();
        assert_eq!((from(0), from(257)), ("10.0.0.0".parse().unwrap(), "10.0.1.1".parse().unwrap()));
    }
}
