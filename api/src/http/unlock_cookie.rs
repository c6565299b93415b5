//! The cookie of a browser in which the owner of a locked account has opened an unlock link. It authenticates nothing:
//! the browser may only try passwords where others may not.

use poem::http::{HeaderMap, HeaderValue, header};

use crate::domain::{
    policy::UNLOCK_TTL,
    session::{Token, TokenHash},
};

const NAME: &str = "vestibule-unlock";

/// Browsers accept this name only over https and for this host alone.
const SECURE_NAME: &str = "__Host-vestibule-unlock";

fn is_secure(public_url: &str) -> bool {
    public_url.starts_with("https://")
}

/// The hash of the cookie of a request; `None` if there is none, or it is malformed.
pub(crate) fn read(headers: &HeaderMap, public_url: &str) -> Option<TokenHash> {
    let expected = if is_secure(public_url) { SECURE_NAME } else { NAME };
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|cookie| cookie.trim().split_once('='));
    let (_, token) = pairs.find(|(name, _)| *name == expected)?;
    Token::parse(token.as_bytes()).map(|token| token.hash())
}

/// The value of `Set-Cookie`.
pub(crate) fn set(token: &Token, public_url: &str) -> Option<HeaderValue> {
    let (name, secure) = if is_secure(public_url) { (SECURE_NAME, "; Secure") } else { (NAME, "") };
    let (token, age) = (token.expose(), UNLOCK_TTL.whole_seconds());
    let mut value: HeaderValue =
        format!("{name}={token}; Path=/; Max-Age={age}; HttpOnly; SameSite=Strict{secure}").parse().ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HTTPS: &str = "https://example.org";
    const HTTP: &str = "http://localhost:8000";

    fn read_from(cookies: &[&str], public_url: &str) -> Option<TokenHash> {
        let value = |cookie: &&str| (header::COOKIE, cookie.parse().unwrap());
        read(&cookies.iter().map(value).collect(), public_url)
    }

    #[test]
    fn cookie_is_found_among_others_by_the_name_of_the_scheme() {
        let token = Token::new([7; 32]);
        for (public_url, name, other) in [(HTTPS, SECURE_NAME, NAME), (HTTP, NAME, SECURE_NAME)] {
            let own = format!("{name}={}", token.expose());
            assert_eq!(read_from(&[&own], public_url), Some(token.hash()));
            assert_eq!(read_from(&[&format!("a=b; {own};c=d")], public_url), Some(token.hash()));
            assert_eq!(read_from(&["a=b", &own], public_url), Some(token.hash()));
            assert_eq!(read_from(&[&format!("{other}={}", token.expose())], public_url), None);
            assert_eq!(read_from(&[&format!("{own}A"), "a", ""], public_url), None);
        }
    }

    #[test]
    fn cookie_is_for_this_host_and_unreadable_by_scripts() {
        let token = Token::new([7; 32]);
        let text = |url| set(&token, url).unwrap().to_str().unwrap().replace(&token.expose(), "TOKEN");
        let attributes = "Path=/; Max-Age=86400; HttpOnly; SameSite=Strict";
        assert_eq!(text(HTTP), format!("vestibule-unlock=TOKEN; {attributes}"));
        assert_eq!(text(HTTPS), format!("__Host-vestibule-unlock=TOKEN; {attributes}; Secure"));
    }
}
