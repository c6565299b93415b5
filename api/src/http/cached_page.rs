//! What is the same for everybody: made once, compressed once for those who can read that, and sent again only
//! to who does not have it.

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

#[derive(Clone)]
pub(crate) struct Page(Arc<Shelf>);

struct Shelf {
    content_type: &'static str,
    make: Box<dyn Fn() -> (String, Option<String>) + Send + Sync>,
    /// Both are made when somebody asks for them first.
    content: OnceLock<Content>,
    gzipped: OnceLock<Bytes>,
}

struct Content {
    plain: Bytes,
    /// What the page may do; nothing for what is no page.
    policy: Option<String>,
    tag: String,
}

impl Page {
    /// What `make` returns is the page, and what it may do. It is asked once.
    pub(crate) fn new(
        content_type: &'static str,
        make: impl Fn() -> (String, Option<String>) + Send + Sync + 'static,
    ) -> Self {
        let (content, gzipped) = (OnceLock::new(), OnceLock::new());
        Self(Arc::new(Shelf { content_type, make: Box::new(make), content, gzipped }))
    }

    /// Makes what is asked for and not there yet, where it holds up nobody else.
    async fn ready(&self, zipped: bool) -> Result<&Content> {
        if self.0.content.get().is_none() || (zipped && self.0.gzipped.get().is_none()) {
            let shelf = Arc::clone(&self.0);
            let making = tokio::task::spawn_blocking(move || {
                let content = shelf.content();
                if zipped {
                    shelf.gzipped.get_or_init(|| gzip(&content.plain));
                }
            });
            making.await.map_err(InternalServerError)?;
        }
        Ok(self.0.content())
    }
}

impl Shelf {
    fn content(&self) -> &Content {
        self.content.get_or_init(|| {
            let (plain, policy) = (self.make)();
            let tag = BASE64_URL_SAFE_NO_PAD.encode(&Sha256::digest(plain.as_bytes())[..16]);
            Content { plain: plain.into(), policy, tag }
        })
    }

    fn body(&self, plain: &Bytes, zipped: bool) -> Bytes {
        self.gzipped.get().filter(|_| zipped).unwrap_or(plain).clone()
    }
}

impl Endpoint for Page {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Response> {
        let zipped = reads_gzip(request.headers());
        let Content { plain, policy, tag } = self.ready(zipped).await?;
        // Another form is another thing, and has another tag.
        let tag = if zipped { format!("\"{tag}-gzip\"") } else { format!("\"{tag}\"") };
        let response = Response::builder()
            .header(header::ETAG, &tag)
            .header(header::VARY, "Accept-Encoding")
            // It may be kept, and must be asked about: another version of us may have another.
            .header(header::CACHE_CONTROL, "no-cache");
        let response = match policy {
            // Even without the page: a browser takes the headers that come with a 304 for those of what it has.
            Some(policy) => response.header(header::CONTENT_SECURITY_POLICY, policy),
            None => response,
        };
        if has(request.headers(), &tag) {
            return Ok(response.status(StatusCode::NOT_MODIFIED).finish());
        }
        let response = response.content_type(self.0.content_type);
        let response = if zipped { response.header(header::CONTENT_ENCODING, "gzip") } else { response };
        Ok(response.body(self.0.body(plain, zipped)))
    }
}

fn gzip(plain: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Into memory: there is nothing that could fail.
    let _ = std::io::Write::write_all(&mut encoder, plain);
    encoder.finish().unwrap_or_default().into()
}

fn reads_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|coding| {
        let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
        let refused =
            quality.trim().to_ascii_lowercase().strip_prefix("q=").is_some_and(|quality| quality.parse() == Ok(0.0));
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

/// Whether the client has what bears this tag.
fn has(headers: &HeaderMap, tag: &str) -> bool {
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    known.flat_map(|value| value.split(',')).any(|known| {
        let known = known.trim();
        known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag
    })
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    async fn ask(page: &Page, headers: &[(header::HeaderName, &str)]) -> Response {
        let request = headers.iter().fold(Request::builder(), |request, (name, value)| request.header(name, *value));
        page.call(request.finish()).await.unwrap()
    }

    #[tokio::test]
    async fn a_page_is_sent_once_and_compressed_for_who_can_read_that() {
        let plain = "the same again and again, ".repeat(1_000);
        let page = Page::new("text/html", {
            let plain = plain.clone();
            move || (plain.clone(), Some("default-src 'none'".into()))
        });
        let first = ask(&page, &[]).await;
        assert_eq!((first.status(), first.headers().get("content-encoding")), (StatusCode::OK, None));
        assert_eq!(first.headers()["content-security-policy"], "default-src 'none'");
        let tag = first.headers()["etag"].to_str().unwrap().to_owned();
        assert_eq!(first.into_body().into_string().await.unwrap(), plain);
        let again = ask(&page, &[(header::IF_NONE_MATCH, &tag)]).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(again.headers()["content-security-policy"], "default-src 'none'");

        let zipped = ask(&page, &[(header::ACCEPT_ENCODING, "br, GZIP;q=0.5"), (header::IF_NONE_MATCH, &tag)]).await;
        assert_eq!(zipped.headers()["content-encoding"], "gzip");
        let other = zipped.headers()["etag"].to_str().unwrap().to_owned();
        let zipped = zipped.into_body().into_bytes().await.unwrap();
        assert!(zipped.len() < plain.len() / 10);
        let mut unzipped = String::new();
        flate2::read::GzDecoder::new(&*zipped).read_to_string(&mut unzipped).unwrap();
        assert_eq!(unzipped, plain);
        let again = [(header::ACCEPT_ENCODING, "gzip"), (header::IF_NONE_MATCH, &*format!("\"x\", W/{other}"))];
        assert_eq!(ask(&page, &again).await.status(), StatusCode::NOT_MODIFIED);
    }

    #[tokio::test]
    async fn who_does_not_want_gzip_does_not_get_it() {
        let page = Page::new("application/json", || ("{}".into(), None));
        for accepted in ["identity", "gzip;q=0", "gzip; q=0.000", "gzip;Q=0", "xgzip", ""] {
            let response = ask(&page, &[(header::ACCEPT_ENCODING, accepted)]).await;
            assert_eq!(response.headers().get("content-encoding"), None, "{accepted}");
        }
    }
}
