//! What every request passes on its way in and out: whose name it came under, and the headers that guard the answer.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use poem::{
    Endpoint, Error, IntoResponse, Request, Response, Result,
    error::{MethodNotAllowedError, NotFoundError},
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{self, Entry},
        uri::Authority,
    },
    web::Json,
};
use serde_json::json;

/// Nothing comes from elsewhere and nothing goes there. The HTML of a mail has a policy of its own.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
    img-src 'self' data:; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'";

const ALWAYS: [(HeaderName, &str); 4] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

pub(super) async fn pass<E: Endpoint>(inner: Arc<E>, request: Request) -> Result<Response> {
    let mut response = if is_meant_for_us(&request) {
        match inner.call(request).await {
            Ok(response) => response.into_response(),
            Err(error) => refusal(error),
        }
    } else {
        refuse(
            StatusCode::MISDIRECTED_REQUEST,
            "The inbox answers to localhost and to IP addresses, not to other names.",
        )
    };
    guard(response.headers_mut());
    Ok(response)
}

/// As MailDev refuses: `{"error": "…"}`.
pub(super) fn refuse(status: StatusCode, sentence: &'static str) -> Response {
    (status, Json(json!({ "error": sentence }))).into_response()
}

fn refusal(error: Error) -> Response {
    if error.is::<NotFoundError>() {
        refuse(StatusCode::NOT_FOUND, "There is no such path.")
    } else if error.is::<MethodNotAllowedError>() {
        refuse(StatusCode::METHOD_NOT_ALLOWED, "That cannot be done at this path.")
    } else {
        tracing::error!(%error, "the inbox could not answer");
        refuse(StatusCode::INTERNAL_SERVER_ERROR, "The inbox could not do that; the log says why.")
    }
}

/// A page elsewhere can give its own name our address and then read what we answer under that name, which
/// may be codes: so we answer under no name that somebody else can own.
fn is_meant_for_us(request: &Request) -> bool {
    let named = request.headers().get_all(header::HOST).iter().map(|host| host.to_str().ok()?.parse().ok());
    let mut names = named.chain(request.uri().authority().cloned().map(Some)).peekable();
    names.peek().is_some() && names.all(|name: Option<Authority>| name.is_some_and(|name| is_local(name.host())))
}

fn is_local(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let in_brackets = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_address = in_brackets.map_or(host.parse::<Ipv4Addr>().is_ok(), |host| host.parse::<Ipv6Addr>().is_ok());
    is_address || host == "localhost" || host.ends_with(".localhost")
}

fn guard(headers: &mut HeaderMap) {
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Entry::Vacant(policy) = headers.entry(header::CONTENT_SECURITY_POLICY) {
        policy.insert(HeaderValue::from_static(POLICY));
    }
}

#[cfg(test)]
mod tests {
    use poem::http::Uri;

    use super::*;

    fn is_answered(uri: &'static str, hosts: &[&str]) -> bool {
        let request = Request::builder().uri(Uri::from_static(uri));
        let request = hosts.iter().fold(request, |request, host| request.header(header::HOST, *host));
        is_meant_for_us(&request.finish())
    }

    #[test]
    fn names_that_nobody_else_can_own_are_answered() {
        for host in ["localhost", "LOCALHOST:1080", "inbox.localhost", "127.0.0.1:1080", "[::1]:1080", "192.168.1.7"] {
            assert!(is_answered("/", &[host]), "{host}");
        }
    }

    #[test]
    fn other_names_are_not() {
        for host in [
            "example.com",
            "localhost.example.com",
            "notlocalhost",
            "127.0.0.1.nip.io",
            "[example.com]",
            "localhost@example.com",
            "",
            "a b",
        ] {
            assert!(!is_answered("/", &[host]), "{host}");
        }
        assert!(!is_answered("/", &[]));
        assert!(!is_answered("/", &["localhost", "example.com"]));
        assert!(!is_answered("http://example.com/", &["localhost"]));
    }
}
