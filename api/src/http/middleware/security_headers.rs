//! What every answer says to browsers: take it for what it is, keep nothing, frame nothing, load nothing.

use poem::{
    Response,
    http::{HeaderName, HeaderValue, header},
};

/// An answer that says something else about one of these is left as it is.
const ALWAYS: [(HeaderName, &str); 8] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    // A page has a policy of its own.
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    // For those who embed an answer without asking; whoever asks by CORS is judged by that.
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (header::CACHE_CONTROL, "no-store"),
];

/// A year. Other names under the same domain are not ours to decide about.
const ONLY_TLS: HeaderValue = HeaderValue::from_static("max-age=31536000");

#[derive(Clone, Copy)]
pub(crate) struct Headers {
    only_tls: bool,
}

impl Headers {
    pub(crate) fn new(public_url: &str) -> Self {
        Self { only_tls: public_url.starts_with("https://") }
    }

    pub(crate) fn complete(self, response: &mut Response) {
        let headers = response.headers_mut();
        for (name, value) in ALWAYS {
            headers.entry(name).or_insert(HeaderValue::from_static(value));
        }
        if self.only_tls {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, ONLY_TLS);
        }
    }
}
