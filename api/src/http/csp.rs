//! What a page of ours may do: run what stands in it, and talk to where it came from.

use base64::{Engine, prelude::BASE64_STANDARD};
use sha2::{Digest, Sha256};

/// Whose styles a page may have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Styles {
    /// Those that stand in it.
    Own,
    /// Those, too, that it makes while it runs.
    Any,
}

/// What stands in the page is named by its hash, so that nothing can be slipped in.
pub(crate) fn of(page: &str, styles: Styles) -> String {
    let scripts = hashes(page, "script");
    let styles = if styles == Styles::Any { "'unsafe-inline'".to_owned() } else { hashes(page, "style") };
    format!(
        "default-src 'none'; script-src {scripts}; style-src {styles}; img-src 'self' data:; font-src 'self' data:; \
         connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )
}

/// The same without anything from elsewhere on this server: all that the page is stands in it.
pub(crate) fn of_whole(page: &str) -> String {
    let (scripts, styles) = (hashes(page, "script"), hashes(page, "style"));
    format!(
        "default-src 'none'; script-src {scripts}; style-src {styles}; img-src data:; connect-src 'self'; \
         frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )
}

/// For a page with a form and nothing that runs.
pub(crate) fn of_form(page: &str) -> String {
    let styles = hashes(page, "style");
    format!("default-src 'none'; style-src {styles}; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
}

fn hashes(page: &str, name: &str) -> String {
    let wanted = elements(page).filter(|element| element.name == name && !element.is_data);
    wanted.map(|element| format!("'sha256-{}'", hash(element.content))).collect::<Vec<_>>().join(" ")
}

struct Element<'a> {
    name: &'static str,
    /// It is not run.
    is_data: bool,
    content: &'a str,
}

/// Scripts and styles, as a browser finds them: what looks like one inside of another is none.
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

/// A browser hashes what it has parsed, and there every line ends in a line feed alone.
fn hash(content: &str) -> String {
    BASE64_STANDARD.encode(Sha256::digest(content.replace("\r\n", "\n").replace('\r', "\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_the_page_is_named_and_nothing_else() {
        let page = "<style>p { color: red }</style><script charset=\"UTF-8\">'<script><style>'\r\n</script><p><script\n \
                    type=\"application/json\">{}</script><script></script>";
        let found: Vec<_> = elements(page).map(|element| (element.name, element.is_data, element.content)).collect();
        let script = |is_data, content| ("script", is_data, content);
        let style = ("style", false, "p { color: red }");
        assert_eq!(found, [style, script(false, "'<script><style>'\r\n"), script(true, "{}"), script(false, "")]);

        assert_eq!(hash("a\r\nb"), hash("a\nb"));
        // As `openssl dgst -sha256 -binary | base64` has it.
        let (script, style) = ("'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='", STYLE);
        let policy = of(page, Styles::Own);
        assert!(policy.contains(&format!(" {script}; style-src {style};")), "{policy}");
        assert!(of(page, Styles::Any).contains("style-src 'unsafe-inline';"));
        let form = of_form(page);
        assert!(
            form.contains(&format!("style-src {STYLE}; form-action 'self';")) && !form.contains("script"),
            "{form}"
        );
    }

    const STYLE: &str = "'sha256-ngewhhP73WDIbgwseeu52VAAJgKdGUsu1IUQQsAm8m4='";
}
