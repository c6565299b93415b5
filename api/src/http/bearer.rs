//! Extracts the bearer token of a session from the `Authorization` header.
//!
//! Not done with poem-openapi's type: its 401 has no `WWW-Authenticate` header, and its `Debug` prints the token.

use poem::{
    Request, RequestBody, Result,
    http::{HeaderMap, header},
};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    registry::{MetaSecurityScheme, Registry},
};

use super::problem::Problem;
use crate::{domain::session::Token, error::Error};

/// The bearer token of the request. Extraction fails with 401 if there is none that is well-formed.
pub(crate) struct Bearer(pub(crate) Token);

const NAME: &str = "Bearer";

impl<'a> ApiExtractor<'a> for Bearer {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::SecurityScheme];

    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        registry.create_security_scheme(
            NAME,
            MetaSecurityScheme {
                ty: "http",
                description: Some("The token that `POST /v1/users/login` returned."),
                name: None,
                key_in: None,
                scheme: Some("bearer"),
                bearer_format: None,
                flows: None,
                openid_connect_url: None,
            },
        );
    }

    fn security_schemes() -> Vec<&'static str> {
        vec![NAME]
    }

    async fn from_request(
        request: &'a Request,
        _: &mut RequestBody,
        _: ExtractParamOptions<Self::ParamType>,
    ) -> Result<Self> {
        token(request.headers()).map(Self).ok_or_else(|| Problem::from(Error::NoSession).into())
    }
}

/// The token of exactly one `Authorization` header. A malformed token is rejected here, without a database query.
fn token(headers: &HeaderMap) -> Option<Token> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let bytes = values.next()?.as_bytes();
    if values.next().is_some() {
        return None;
    }
    let (scheme, token) = bytes.split_at(bytes.iter().position(|&byte| byte == b' ')?);
    if scheme.eq_ignore_ascii_case(b"bearer") { Token::parse(token.trim_ascii_start()) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use poem::http::HeaderValue;

    fn is_token(values: &[&[u8]]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        }
        token(&headers).is_some()
    }

    #[test]
    fn bearer_header_is_one_scheme_and_one_token() {
        let token = Token::new([7; 32]).expose();
        let with = |before: &str, after: &str| format!("{before}{token}{after}").into_bytes();
        for valid in [with("Bearer ", ""), with("bearer ", ""), with("BEARER   ", "")] {
            assert!(is_token(&[&valid]), "{}", String::from_utf8_lossy(&valid));
        }
        for invalid in
            [with("", ""), with("Bearer", ""), with("Basic ", ""), with("Bearer ", "="), with("Bearer ", " x")]
        {
            assert!(!is_token(&[&invalid]), "{}", String::from_utf8_lossy(&invalid));
        }
        assert!(!is_token(&[]) && !is_token(&[b""]) && !is_token(&[b"Bearer "]) && !is_token(&[b"Bearer \xff"]));
        assert!(!is_token(&[&with("Bearer ", ""), &with("Bearer ", "")]), "two headers are ambiguous");
    }
}
