//! Which pages of other origins may use the API from a browser. Nobody else hears of CORS at all.

use std::sync::Arc;

use poem::{
    Request, Response,
    http::{HeaderValue, Method, StatusCode, Uri, header},
};

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, DELETE");
const HEADERS: HeaderValue = HeaderValue::from_static("Authorization, Content-Type, Idempotency-Key");
const EXPOSED: HeaderValue = HeaderValue::from_static("Location, Retry-After, X-Request-Id, WWW-Authenticate");

/// How long a browser may remember what it asked, in seconds: two hours, which is all that Chromium takes.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// The allowed ones, as browsers write them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origins(Arc<[HeaderValue]>);

impl Origins {
    /// A list like `https://app.example.com, http://localhost:3000`.
    pub(crate) fn parse(list: &str) -> Result<Self, String> {
        let origins = list.split(',').map(str::trim).filter(|origin| !origin.is_empty());
        origins.map(origin).collect::<Result<_, _>>().map(Self)
    }

    /// The origin of the request, if it is an allowed one.
    pub(crate) fn of(&self, request: &Request) -> Option<HeaderValue> {
        let origin = request.headers().get(header::ORIGIN)?;
        self.0.contains(origin).then(|| origin.clone())
    }

    /// The answer to a browser that asks for an allowed origin whether it may ask.
    pub(crate) fn preflight(&self, request: &Request) -> Option<Response> {
        let asks = request.method() == Method::OPTIONS
            && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
            && self.of(request).is_some();
        asks.then(|| {
            Response::builder()
                .status(StatusCode::NO_CONTENT)
                .header(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS)
                .header(header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS)
                .header(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE)
                .finish()
        })
    }
}

/// Lets the allowed origin read the answer.
pub(crate) fn open(response: &mut Response, origin: HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
}

/// Exactly what a browser would send: anything else would never match, and nobody would know why.
fn origin(text: &str) -> Result<HeaderValue, String> {
    if text.contains('*') {
        return Err(format!("'{text}' would let pages of anybody try passwords: name each origin"));
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
        _ => Err(format!("'{text}' is not an origin as browsers write it, like https://app.example.com")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_a_browser_would_send() {
        for good in ["", "https://app.example.com", "http://localhost:3000, https://a.example,", "http://[::1]:8080"] {
            assert!(Origins::parse(good).is_ok(), "{good}");
        }
        for bad in [
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
            assert!(Origins::parse(bad).is_err(), "{bad}");
        }
    }
}
