//! What the fuzzers of fuzz/ throw bytes at, and a test their seeds: what the service reads of a stranger before it
//! knows anything about them. Each function panics where a promise is broken.

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
    http::{caller::Caller, language, routes::users},
};

/// An address that is let in has one form, and nothing that means something in SMTP, in a header or in a list.
pub fn address(bytes: &[u8]) -> Option<String> {
    let address = EmailAddress::parse(&String::from_utf8_lossy(bytes)).ok()?;
    let text = address.as_str();
    assert!(EmailAddress::parse(text).is_ok_and(|again| again == address), "{text} has another form");
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !br#""<>(),:;\[]"#.contains(&byte);
    assert!(text.len() <= 254 && text.bytes().all(is_plain), "{text:?} may not stand in RCPT");
    assert!(text.split('@').count() == 2 && text.rsplit('@').all(|part| !part.is_empty()), "{text}");
    assert!(text.rsplit('@').next().is_some_and(|domain| domain.contains('.')), "{text} has no domain");
    Some(text.to_owned())
}

/// Who gets through a Basic header is who stands in it: the address before the first colon, the password after.
pub fn basic(bytes: &[u8]) {
    if let Some((email, password)) = claimed(bytes) {
        let scheme = bytes.iter().position(|byte| *byte == b' ').map_or(0, |space| space + 1);
        let decoded = BASE64.decode(bytes[scheme..].trim_ascii()).unwrap_or_default();
        assert_is_claimed(&decoded, &email, &password);
    }
    if let Some((email, password)) = claimed(format!("Basic {}", BASE64.encode(bytes)).as_bytes()) {
        assert_is_claimed(bytes, &email, &password);
    }
}

fn claimed(authorization: &[u8]) -> Option<(EmailAddress, String)> {
    let request = with_headers(header::AUTHORIZATION, &[authorization]);
    let given = auth::Basic::from_request(&request).ok()?;
    let (password, caller) = (given.password.clone(), Caller::of(&request, &TrustedProxies::default()));
    let credentials = users::credentials(users::Basic(given), None, caller).ok()?;
    Some((credentials.email, password))
}

fn assert_is_claimed(decoded: &[u8], email: &EmailAddress, password: &str) {
    let pair = str::from_utf8(decoded).ok().and_then(|text| text.split_once(':'));
    let Some((name, secret)) = pair else { panic!("{email:?} came out of what is no pair") };
    assert!(EmailAddress::parse(name).is_ok_and(|parsed| parsed == *email), "{email:?} is not who was named");
    assert_eq!(secret, password);
}

/// One header for each line. Whatever somebody sends, a proxy of ours writes on the right of it: nothing on its
/// left makes them somebody else.
pub fn forwarded(bytes: &[u8]) {
    let Ok(proxies) = TrustedProxies::parse("0.0.0.0, 10.0.0.0/8, fd00::/8") else { panic!("a list of networks") };
    let lines: Vec<_> =
        bytes.split(|byte| *byte == b'\n').filter(|line| HeaderValue::from_bytes(line).is_ok()).collect();
    let believed = |lines: &[&[u8]]| {
        let values: Vec<_> = lines.iter().filter_map(|line| HeaderValue::from_bytes(line).ok()).collect();
        let texts = values.iter().map(|value| value.to_str().unwrap_or("?"));
        proxies.client([0, 0, 0, 0].into(), texts)
    };
    let client = believed(&lines);
    let caller = Caller::of(&with_headers(HeaderName::from_static("x-forwarded-for"), &lines), &proxies);
    assert_eq!(caller.network, Network::of(client));
    if !proxies.trust(client) {
        for forged in [b"203.0.113.66".as_slice(), b"10.0.0.9", b"", b"?"] {
            assert_eq!(believed(&[&[forged], lines.as_slice()].concat()), client);
        }
    }
}

/// Who names a language first, and wants none more, is written to in it, whatever is named after.
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
    fn the_seeds_of_the_fuzzers_hold() {
        assert!(seeds("address").filter_map(|seed| super::address(&seed)).count() >= 3);
        seeds("basic").for_each(|seed| super::basic(&seed));
        seeds("forwarded").for_each(|seed| super::forwarded(&seed));
        seeds("languages").for_each(|seed| super::languages(&seed));
    }
}
