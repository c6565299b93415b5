//! Content security policies (CSP) of the HTML pages: inline scripts and styles are allowed by hash, and requests may
//! go to this server only.

use base64::{Engine, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};

/// Which styles the policy allows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum StylePolicy {
    /// The `<style>` elements of the page, by hash.
    Hashed,
    /// All inline styles, also those that a script creates (`'unsafe-inline'`).
    UnsafeInline,
}

/// The policy of a docs page. Images and fonts of this server are allowed besides the page's own scripts.
pub(crate) fn for_docs(page: &str, styles: StylePolicy) -> String {
    let scripts = hashes(page, "script");
    let styles = match styles {
        StylePolicy::Hashed => hashes(page, "style"),
        StylePolicy::UnsafeInline => "'unsafe-inline'".to_owned(),
    };
    format!(
        "default-src 'none'; script-src {scripts}; style-src {styles}; img-src 'self' data:; font-src 'self' data:; \
         connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )
}

/// The policy of a page that contains all its resources: nothing but API requests may leave it.
pub(crate) fn for_self_contained(page: &str) -> String {
    let scripts = hashes(page, "script");
    let styles = hashes(page, "style");
    format!(
        "default-src 'none'; script-src {scripts}; style-src {styles}; img-src data:; connect-src 'self'; \
         frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )
}

/// The policy of a page with a form and without scripts.
pub(crate) fn for_form(page: &str) -> String {
    let styles = hashes(page, "style");
    format!("default-src 'none'; style-src {styles}; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
}

/// The hashes of all elements with this name, as a CSP source list.
fn hashes(page: &str, name: &str) -> String {
    let inline = elements(page).filter(|element| element.name == name && !element.is_data);
    inline.map(|element| format!("'sha256-{}'", hash(element.content))).collect::<Vec<_>>().join(" ")
}

struct Element<'a> {
    name: &'static str,
    /// A `<script>` that contains JSON. Browsers do not run it.
    is_data: bool,
    content: &'a str,
}

/// The scripts and styles of a page, as a browser parses them: a tag inside another element's content is text.
fn elements(mut page: &str) -> impl Iterator<Item = Element<'_>> {
    std::iter::from_fn(move || {
        let found = ["script", "style"].map(|name| page.find(&format!("<{name}")).map(|at| (at, name)));
        let (at, name) = found.into_iter().flatten().min()?;
        let (attributes, content) = page[at..].split_once('>')?;
        let (content, after) = content.split_once(&format!("</{name}"))?;
        page = after;
        Some(Element { name, is_data: attributes.contains("application/json"), content })
    })
}

/// Hashes the content as a browser does: after parsing, all line endings are line feeds.
fn hash(content: &str) -> String {
    BASE64_STANDARD.encode(Sha256::digest(content.replace("\r\n", "\n").replace('\r', "\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policy_lists_exactly_the_inline_elements() {
        let page = "<style>p { color: red }</style><script charset=\"UTF-8\">'<script><style>'\r\n</script><p><script\n \
                    type=\"application/json\">{}</script><script></script>";
        let found: Vec<_> = elements(page).map(|element| (element.name, element.is_data, element.content)).collect();
        let script = |is_data, content| ("script", is_data, content);
        let style = ("style", false, "p { color: red }");
        assert_eq!(found, [style, script(false, "'<script><style>'\r\n"), script(true, "{}"), script(false, "")]);

        assert_eq!(hash("a\r\nb"), hash("a\nb"));
        // Computed with `openssl dgst -sha256 -binary | base64`.
        let script = "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='";
        let policy = for_docs(page, StylePolicy::Hashed);
        assert!(policy.contains(&format!(" {script}; style-src {STYLE};")), "{policy}");
        assert!(for_docs(page, StylePolicy::UnsafeInline).contains("style-src 'unsafe-inline';"));
        let form = for_form(page);
        assert!(
            form.contains(&format!("style-src {STYLE}; form-action 'self';")) && !form.contains("script"),
            "{form}"
        );
    }

    const STYLE: &str = "'sha256-ngewhhP73WDIbgwseeu52VAAJgKdGUsu1IUQQsAm8m4='";
}
