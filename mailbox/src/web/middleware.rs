//! Middleware of every request: rejects foreign host names, formats errors, and sets the security headers.

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

/// Nothing is loaded from or sent to another origin. The HTML of a mail has its own, stricter policy.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
    img-src 'self' data:; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'";

const SECURITY_HEADERS: [(HeaderName, &str); 4] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Calls the endpoint if the request names this machine, and sets the security headers on every response.
pub(super) async fn apply<E: Endpoint>(inner: Arc<E>, request: Request) -> Result<Response> {
    let mut response = if names_this_machine(&request) {
        match inner.call(request).await {
            Ok(response) => response.into_response(),
            Err(error) => convert_error(error),
        }
    } else {
        error_response(
            StatusCode::MISDIRECTED_REQUEST,
            "The inbox accepts only localhost and IP addresses as host names. Open it at http://localhost and its port.",
        )
    };
    set_security_headers(response.headers_mut());
    Ok(response)
}

/// An error in MailDev's format: `{"error": "…"}`.
pub(super) fn error_response(status: StatusCode, message: &'static str) -> Response {
    (status, Json(json!({ "error": message }))).into_response()
}

fn convert_error(error: Error) -> Response {
    if error.is::<NotFoundError>() {
        error_response(StatusCode::NOT_FOUND, "This path does not exist.")
    } else if error.is::<MethodNotAllowedError>() {
        error_response(StatusCode::METHOD_NOT_ALLOWED, "This path does not support the method of the request.")
    } else {
        tracing::error!(%error, "inbox request failed");
        error_response(
            StatusCode::INTERNAL_SERVER_ERROR,
            "The request failed. See the log of the server for the cause.",
        )
    }
}

/// Whether every host name of the request (header and URI) is local: protection against DNS rebinding.
///
/// A web site can point its own host name at the address of this server; a browser then lets the site read the
/// responses, which contain codes. Requests are therefore answered only under names that no web site can own.
fn names_this_machine(request: &Request) -> bool {
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

fn set_security_headers(headers: &mut HeaderMap) {
    for (name, value) in SECURITY_HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Entry::Vacant(policy) = headers.entry(header::CONTENT_SECURITY_POLICY) {
        policy.insert(HeaderValue::from_static(PAGE_POLICY));
    }
}

#[cfg(test)]
mod tests {
    use poem::http::Uri;

    use super::*;

    fn is_accepted(uri: &'static str, hosts: &[&str]) -> bool {
        let request = Request::builder().uri(Uri::from_static(uri));
        let request = hosts.iter().fold(request, |request, host| request.header(header::HOST, *host));
        names_this_machine(&request.finish())
    }

    #[test]
    fn local_host_names_are_accepted() {
        for host in ["localhost", "LOCALHOST:1080", "inbox.localhost", "127.0.0.1:1080", "[::1]:1080", "192.168.1.7"] {
            assert!(is_accepted("/", &[host]), "{host}");
        }
    }

    #[test]
    fn other_host_names_are_rejected() {
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
            assert!(!is_accepted("/", &[host]), "{host}");
        }
        assert!(!is_accepted("/", &[]));
        assert!(!is_accepted("/", &["localhost", "example.com"]));
        assert!(!is_accepted("http://example.com/", &["localhost"]));
    }
}
