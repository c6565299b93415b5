//! Renders the web app in each language.
//!
//! All languages share the frame `templates/web_app_layout.html`. The file of a language sets a variable for each text;
//! a missing text does not compile.

use askama::{Result, Template};

use crate::Language;

/// The parameters of the page besides its texts.
#[derive(Clone, Copy)]
pub struct WebApp<'a> {
    /// The style sheet, inlined.
    pub style: &'a str,
    /// The script, inlined as a module.
    pub script: &'a str,
    /// The minimum length of a password, in characters.
    pub password_min_length: usize,
    /// Whether the API documentation is served at `/docs`.
    pub docs: bool,
}

/// The part of a language's template that is rendered.
#[derive(Clone, Copy)]
enum Part<'a> {
    /// The language's name in that language.
    Name,
    /// The whole page.
    Page(WebApp<'a>),
}

/// A link of the language menu.
struct LanguageLink {
    tag: &'static str,
    name: String,
    /// Whether this is the language of the page.
    is_current: bool,
}

/// Renders the web app in this language, with links to the other languages.
pub fn render_page(language: Language, web_app: WebApp<'_>) -> Result<String> {
    let link = |other: &Language| {
        let name = render(*other, Part::Name, &[])?;
        Ok(LanguageLink { tag: other.tag(), name, is_current: *other == language })
    };
    let links = Language::ALL.iter().map(link).collect::<Result<Vec<_>>>()?;
    render(language, Part::Page(web_app), &links)
}

macro_rules! web_app {
    ($($language:ident $tag:literal $settings:literal,)+) => {
        fn render(language: Language, part: Part<'_>, language_links: &[LanguageLink]) -> Result<String> {
            match language {
                $(Language::$language => {
                    #[derive(Template)]
                    #[template(path = "web_app.html", config = $settings)]
                    struct WebAppPage<'a> {
                        part: Part<'a>,
                        language_links: &'a [LanguageLink],
                        tag: &'static str,
                    }

                    WebAppPage { part, language_links, tag: $tag }.render()
                })+
            }
        }
    };
}

for_each_language!(web_app);

#[cfg(test)]
mod tests;
