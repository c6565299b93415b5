//! CORS: lets web pages of the allowed origins call the API from a browser.
//!
//! Responses to all other requests carry no CORS header.

use std::sync::Arc;

use poem::{
    Request, Response,
    http::{HeaderValue, Method, StatusCode, Uri, header},
};

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, DELETE");
const HEADERS: HeaderValue = HeaderValue::from_static("Authorization, Content-Type, Idempotency-Key");
const EXPOSED: HeaderValue = HeaderValue::from_static("Location, Retry-After, X-Request-Id, WWW-Authenticate");

/// How long a browser may cache a preflight response, in seconds: two hours, the maximum that Chromium accepts.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// The allowed origins, in the form in which browsers send them.
#[derive(Clone, Debug, Default)]
pub(crate) struct AllowedOrigins(Arc<[HeaderValue]>);

impl AllowedOrigins {
    /// Parses a comma-separated list like `https://app.example.com, http://localhost:3000`.
    pub(crate) fn parse(list: &str) -> Result<Self, String> {
        let origins = list.split(',').map(str::trim).filter(|origin| !origin.is_empty());
        origins.map(parse_origin).collect::<Result<_, _>>().map(Self)
    }

    /// The origin of the request, if it is allowed.
    pub(crate) fn allowed_origin(&self, request: &Request) -> Option<HeaderValue> {
        let origin = request.headers().get(header::ORIGIN)?;
        self.0.contains(origin).then(|| origin.clone())
    }

    /// The response to a CORS preflight request of an allowed origin; `None` for every other request.
    pub(crate) fn preflight(&self, request: &Request) -> Option<Response> {
        let is_preflight = request.method() == Method::OPTIONS
            && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
            && self.allowed_origin(request).is_some();
        is_preflight.then(|| {
            Response::builder()
                .status(StatusCode::NO_CONTENT)
                .header(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS)
                .header(header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS)
                .header(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE)
                .finish()
        })
    }
}

/// Adds the headers that let `origin` read the response.
pub(crate) fn allow(response: &mut Response, origin: HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
}

/// Parses one origin. Accepts only what a browser would send: any other form would never match, without an explanation.
fn parse_origin(text: &str) -> Result<HeaderValue, String> {
    if text.contains('*') {
        return Err(format!("'{text}' would let every web page try passwords: list each allowed origin"));
    }
    let uri = text.parse::<Uri>().ok();
    let (scheme, authority) = uri.as_ref().and_then(|uri| Some((uri.scheme_str()?, uri.authority()?))).unzip();
    let default_port = match scheme {
        Some("https") => Some(443),
        Some("http") => Some(80),
        _ => None,
    };
    let exact = authority.zip(scheme).is_some_and(|(authority, scheme)| {
        text == format!("{scheme}://{authority}")
            && !authority.as_str().contains('@')
            && authority.port().is_none_or(|port| Some(port.as_u16()) != default_port)
    });
    match HeaderValue::from_str(text) {
        Ok(value) if exact && default_port.is_some() && text == text.to_lowercase() => Ok(value),
        _ => Err(format!("'{text}' is not an origin as browsers send it: write it like https://app.example.com")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_origins_as_browsers_send_them_are_accepted() {
        for valid in ["", "https://app.example.com", "http://localhost:3000, https://a.example,", "http://[::1]:8080"] {
            assert!(AllowedOrigins::parse(valid).is_ok(), "{valid}");
        }
        for invalid in [
            "*",
            "null",
            "app.example.com",
            "https://app.example.com/",
            "https://app.example.com/page",
            "https://App.example.com",
            "https://app.example.com:443",
            "http://app.example.com:80",
            "ftp://app.example.com",
            "https://user@app.example.com",
            "https://*.example.com",
            "https://a.example https://b.example",
        ] {
            assert!(AllowedOrigins::parse(invalid).is_err(), "{invalid}");
        }
    }
}
