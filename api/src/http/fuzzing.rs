//! Entry points of the fuzz targets in `fuzz/`: the parsers of what unauthenticated clients send.
//!
//! Each function panics when a property of its parser does not hold. A test runs them with the seeds of `fuzz/`.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use i18n::Language;
use poem::{
    Request,
    http::{HeaderName, HeaderValue, header},
};
use poem_openapi::auth::{self, BasicAuthorization};

use crate::{
    domain::{
        email::EmailAddress,
        network::{Network, TrustedProxies},
    },
    http::{language, request_context::RequestContext, routes::users},
};

/// An accepted email address has one canonical form and no character with a meaning in SMTP, in headers or in lists.
pub fn address(bytes: &[u8]) -> Option<String> {
    let address = EmailAddress::parse(&String::from_utf8_lossy(bytes)).ok()?;
    let text = address.as_str();
    assert!(EmailAddress::parse(text).is_ok_and(|again| again == address), "{text} is not in its canonical form");
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !br#""<>(),:;\[]"#.contains(&byte);
    assert!(text.len() <= 254 && text.bytes().all(is_plain), "{text:?} is not allowed in RCPT");
    assert!(text.split('@').count() == 2 && text.rsplit('@').all(|part| !part.is_empty()), "{text}");
    assert!(text.rsplit('@').next().is_some_and(|domain| domain.contains('.')), "{text} has no domain");
    Some(text.to_owned())
}

/// The credentials of a Basic header are those it contains: the email address before the first colon, the password
/// after it.
pub fn basic(bytes: &[u8]) {
    if let Some((email, password)) = parse_basic(bytes) {
        let credentials_at = bytes.iter().position(|byte| *byte == b' ').map_or(0, |space| space + 1);
        let decoded = BASE64.decode(bytes[credentials_at..].trim_ascii()).unwrap_or_default();
        assert_contains(&decoded, &email, &password);
    }
    if let Some((email, password)) = parse_basic(format!("Basic {}", BASE64.encode(bytes)).as_bytes()) {
        assert_contains(bytes, &email, &password);
    }
}

fn parse_basic(authorization: &[u8]) -> Option<(EmailAddress, String)> {
    let request = with_headers(header::AUTHORIZATION, &[authorization]);
    let basic = auth::Basic::from_request(&request).ok()?;
    let password = basic.password.clone();
    let context = RequestContext::new(&request, &TrustedProxies::default(), "");
    let credentials = users::credentials(users::Basic(basic), None, context).ok()?;
    Some((credentials.email, password))
}

fn assert_contains(decoded: &[u8], email: &EmailAddress, password: &str) {
    let pair = str::from_utf8(decoded).ok().and_then(|text| text.split_once(':'));
    let Some((name, secret)) = pair else { panic!("{email:?} was parsed from bytes that are no pair") };
    assert!(
        EmailAddress::parse(name).is_ok_and(|parsed| parsed == *email),
        "{email:?} is not the address in the header"
    );
    assert_eq!(secret, password);
}

/// One `X-Forwarded-For` header for each line. A trusted proxy appends on the right: entries that a client forges on
/// the left do not change the client's network.
pub fn forwarded(bytes: &[u8]) {
    let Ok(proxies) = TrustedProxies::parse("0.0.0.0, 10.0.0.0/8, fd00::/8") else {
        panic!("cannot parse the list of networks")
    };
    let lines: Vec<_> =
        bytes.split(|byte| *byte == b'\n').filter(|line| HeaderValue::from_bytes(line).is_ok()).collect();
    let client_of = |lines: &[&[u8]]| {
        let values: Vec<_> = lines.iter().filter_map(|line| HeaderValue::from_bytes(line).ok()).collect();
        let texts = values.iter().map(|value| value.to_str().unwrap_or("?"));
        proxies.client([0, 0, 0, 0].into(), texts)
    };
    let client = client_of(&lines);
    let context = RequestContext::new(&with_headers(HeaderName::from_static("x-forwarded-for"), &lines), &proxies, "");
    assert_eq!(context.client.network, Network::of(client));
    if !proxies.trust(client) {
        for forged in [b"203.0.113.66".as_slice(), b"10.0.0.9", b"", b"?"] {
            assert_eq!(client_of(&[&[forged], lines.as_slice()].concat()), client);
        }
    }
}

/// A language that is named first, without a quality value, is preferred whatever follows.
pub fn languages(bytes: &[u8]) {
    let preferred = |lines: &[&[u8]]| language::preferred(with_headers(header::ACCEPT_LANGUAGE, lines).headers());
    preferred(&[bytes]);
    for language in Language::ALL {
        assert_eq!(preferred(&[language.tag().as_bytes(), bytes]), *language);
    }
}

fn with_headers(name: HeaderName, values: &[&[u8]]) -> Request {
    let mut request = Request::default();
    for value in values.iter().filter_map(|value| HeaderValue::from_bytes(value).ok()) {
        request.headers_mut().append(&name, value);
    }
    request
}

#[cfg(test)]
mod tests {
    fn seeds(target: &str) -> impl Iterator<Item = Vec<u8>> {
        let folder = format!("{}/../fuzz/corpus-seeds/{target}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_dir(folder).unwrap().map(|seed| std::fs::read(seed.unwrap().path()).unwrap())
    }

    #[test]
    fn fuzz_seeds_pass() {
        assert!(seeds("address").filter_map(|seed| super::address(&seed)).count() >= 3);
        seeds("basic").for_each(|seed| super::basic(&seed));
        seeds("forwarded").for_each(|seed| super::forwarded(&seed));
        seeds("languages").for_each(|seed| super::languages(&seed));
    }
}
