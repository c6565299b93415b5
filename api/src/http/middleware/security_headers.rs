//! Security headers of every response: no content sniffing, no caching, no framing, no loading of resources.

use poem::{
    Response,
    http::{HeaderName, HeaderValue, header},
};

/// Defaults. A header that the response already has is kept.
const DEFAULT_HEADERS: [(HeaderName, &str); 8] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_FRAME_OPTIONS, "DENY"),
    // HTML pages set a policy of their own.
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    // Applies to pages that embed a response without CORS (`no-cors`); requests with CORS are checked by `cors`.
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (header::CACHE_CONTROL, "no-store"),
];

/// One year. Without `includeSubDomains`: subdomains may belong to other services.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Adds the security headers to responses.
#[derive(Clone, Copy)]
pub(crate) struct SecurityHeaders {
    with_hsts: bool,
}

impl SecurityHeaders {
    /// With HSTS if the public URL is `https://`.
    pub(crate) fn new(public_url: &str) -> Self {
        Self { with_hsts: public_url.starts_with("https://") }
    }

    /// Adds each header that the response does not have yet, and HSTS.
    pub(crate) fn add_to(self, response: &mut Response) {
        let headers = response.headers_mut();
        for (name, value) in DEFAULT_HEADERS {
            headers.entry(name).or_insert(HeaderValue::from_static(value));
        }
        if self.with_hsts {
            headers.insert(header::STRICT_TRANSPORT_SECURITY, HSTS);
        }
    }
}
