//! Pages that are the same for every client: rendered once, compressed once with gzip, and served with an ETag.

use std::sync::{Arc, OnceLock};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use poem::{
    Endpoint, Request, Response, Result,
    error::InternalServerError,
    http::{HeaderMap, StatusCode, header},
};
use sha2::{Digest, Sha256};

/// A page that is rendered at its first request. Clones share it.
#[derive(Clone)]
pub(crate) struct CachedPage(Arc<Cache>);

/// A rendered page and its content security policy (`None` for what is not HTML).
pub(crate) struct Rendered {
    pub(crate) content: String,
    pub(crate) csp: Option<String>,
}

struct Cache {
    content_type: &'static str,
    render: Box<dyn Fn() -> Rendered + Send + Sync>,
    /// Both are made at the first request for them.
    content: OnceLock<Content>,
    gzipped: OnceLock<Bytes>,
}

struct Content {
    plain: Bytes,
    csp: Option<String>,
    etag: String,
}

impl CachedPage {
    /// Calls `render` once, at the first request.
    pub(crate) fn new(content_type: &'static str, render: impl Fn() -> Rendered + Send + Sync + 'static) -> Self {
        let render = Box::new(render);
        Self(Arc::new(Cache { content_type, render, content: OnceLock::new(), gzipped: OnceLock::new() }))
    }

    /// Renders and compresses on a blocking thread, if that is still to be done.
    async fn ready(&self, gzipped: bool) -> Result<&Content> {
        if self.0.content.get().is_none() || (gzipped && self.0.gzipped.get().is_none()) {
            let cache = Arc::clone(&self.0);
            let rendering = tokio::task::spawn_blocking(move || {
                let content = cache.content();
                if gzipped {
                    cache.gzipped.get_or_init(|| gzip(&content.plain));
                }
            });
            rendering.await.map_err(InternalServerError)?;
        }
        Ok(self.0.content())
    }
}

impl Cache {
    fn content(&self) -> &Content {
        self.content.get_or_init(|| {
            let Rendered { content, csp } = (self.render)();
            let etag = BASE64_URL_SAFE_NO_PAD.encode(&Sha256::digest(content.as_bytes())[..16]);
            Content { plain: content.into(), csp, etag }
        })
    }

    fn body(&self, plain: &Bytes, gzipped: bool) -> Bytes {
        self.gzipped.get().filter(|_| gzipped).unwrap_or(plain).clone()
    }
}

impl Endpoint for CachedPage {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let gzipped = accepts_gzip(request.headers());
        let Content { plain, csp, etag } = self.ready(gzipped).await?;
        // Each encoding is a representation of its own and needs its own ETag.
        let etag = if gzipped { format!("\"{etag}-gzip\"") } else { format!("\"{etag}\"") };
        let response = Response::builder()
            .header(header::ETAG, &etag)
            .header(header::VARY, "Accept-Encoding")
            // Clients may store the page but must revalidate it: another version of the API may serve another page.
            .header(header::CACHE_CONTROL, "no-cache");
        let response = match csp {
            // Also with 304: a browser applies the headers of a 304 response to the page it has stored.
            Some(csp) => response.header(header::CONTENT_SECURITY_POLICY, csp),
            None => response,
        };
        if matches_etag(request.headers(), &etag) {
            return Ok(response.status(StatusCode::NOT_MODIFIED).finish());
        }
        let response = response.content_type(self.0.content_type);
        let response = if gzipped { response.header(header::CONTENT_ENCODING, "gzip") } else { response };
        Ok(response.body(self.0.body(plain, gzipped)))
    }
}

fn gzip(plain: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Writing to memory cannot fail.
    let _ = std::io::Write::write_all(&mut encoder, plain);
    encoder.finish().unwrap_or_default().into()
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|coding| {
        let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
        let is_excluded =
            quality.trim().to_ascii_lowercase().strip_prefix("q=").is_some_and(|quality| quality.parse() == Ok(0.0));
        name.trim().eq_ignore_ascii_case("gzip") && !is_excluded
    })
}

/// Whether `If-None-Match` contains this ETag.
fn matches_etag(headers: &HeaderMap, etag: &str) -> bool {
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    known.flat_map(|value| value.split(',')).any(|known| {
        let known = known.trim();
        known == "*" || known.strip_prefix("W/").unwrap_or(known) == etag
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    async fn get(page: &CachedPage, headers: &[(header::HeaderName, &str)]) -> Response {
        let request = headers.iter().fold(Request::builder(), |request, (name, value)| request.header(name, *value));
        page.call(request.finish()).await.unwrap()
    }

    #[tokio::test]
    async fn page_is_revalidated_by_etag_in_both_encodings() {
        let plain = "the same again and again, ".repeat(1_000);
        let page = CachedPage::new("text/html", {
            let plain = plain.clone();
            move || Rendered { content: plain.clone(), csp: Some("default-src 'none'".into()) }
        });
        let first = get(&page, &[]).await;
        assert_eq!((first.status(), first.headers().get("content-encoding")), (StatusCode::OK, None));
        assert_eq!(first.headers()["content-security-policy"], "default-src 'none'");
        let etag = first.headers()["etag"].to_str().unwrap().to_owned();
        assert_eq!(first.into_body().into_string().await.unwrap(), plain);
        let again = get(&page, &[(header::IF_NONE_MATCH, &etag)]).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(again.headers()["content-security-policy"], "default-src 'none'");

        let zipped = get(&page, &[(header::ACCEPT_ENCODING, "br, GZIP;q=0.5"), (header::IF_NONE_MATCH, &etag)]).await;
        assert_eq!(zipped.headers()["content-encoding"], "gzip");
        let gzip_etag = zipped.headers()["etag"].to_str().unwrap().to_owned();
        let zipped = zipped.into_body().into_bytes().await.unwrap();
        assert!(zipped.len() < plain.len() / 10);
        let mut unzipped = String::new();
        flate2::read::GzDecoder::new(&*zipped).read_to_string(&mut unzipped).unwrap();
        assert_eq!(unzipped, plain);
        let again = [(header::ACCEPT_ENCODING, "gzip"), (header::IF_NONE_MATCH, &*format!("\"x\", W/{gzip_etag}"))];
        assert_eq!(get(&page, &again).await.status(), StatusCode::NOT_MODIFIED);
    }

    #[tokio::test]
    async fn gzip_is_used_only_if_accepted() {
        let page = CachedPage::new("application/json", || Rendered { content: "{}".into(), csp: None });
        for accepted in ["identity", "gzip;q=0", "gzip; q=0.000", "gzip;Q=0", "xgzip", ""] {
            let response = get(&page, &[(header::ACCEPT_ENCODING, accepted)]).await;
            assert_eq!(response.headers().get("content-encoding"), None, "{accepted}");
        }
    }
}
