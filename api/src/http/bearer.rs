//! The Bearer header, parsed at the door. Written by hand: the framework would tell whoever lacks a token nothing of
//! what to send, and keeps tokens in a type that prints them.

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
                description: Some("The token that logging in was answered with."),
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

/// One header, with one token. What cannot be a token is nobody's: no need to ask the database.
fn token(headers: &HeaderMap) -> Option<Token> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (only, None) = (given.next()?, given.next()) else { return None };
    let bytes = only.as_bytes();
    let (scheme, token) = bytes.split_at(bytes.iter().position(|&byte| byte == b' ')?);
    if scheme.eq_ignore_ascii_case(b"bearer") { Token::parse(token.trim_ascii_start()) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use poem::http::HeaderValue;

    fn is_token(given: &[&[u8]]) -> bool {
        let mut headers = HeaderMap::new();
        for value in given {
            headers.append(header::AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        }
        token(&headers).is_some()
    }

    #[test]
    fn a_bearer_header_is_one_scheme_and_one_token() {
        let token = Token::new([7; 32]).spell_out();
        let with = |before: &str, after: &str| format!("{before}{token}{after}").into_bytes();
        for good in [with("Bearer ", ""), with("bearer ", ""), with("BEARER   ", "")] {
            assert!(is_token(&[&good]), "{}", String::from_utf8_lossy(&good));
        }
        for odd in [with("", ""), with("Bearer", ""), with("Basic ", ""), with("Bearer ", "="), with("Bearer ", " x")] {
            assert!(!is_token(&[&odd]), "{}", String::from_utf8_lossy(&odd));
        }
        assert!(!is_token(&[]) && !is_token(&[b""]) && !is_token(&[b"Bearer "]) && !is_token(&[b"Bearer \xff"]));
        assert!(!is_token(&[&with("Bearer ", ""), &with("Bearer ", "")]), "which one is meant?");
    }
}
