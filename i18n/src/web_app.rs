//! The page that greets people, in each language. Its frame is one for all (`templates/web_app_layout.html`); a language's own
//! file gives each of its words a name, and one that is missing does not compile.

use askama::{Result, Template};

use crate::Language;

/// What the frame is filled with besides words.
#[derive(Clone, Copy)]
pub struct WebApp<'a> {
    pub style: &'a str,
    pub script: &'a str,
    pub password_min_length: usize,
    /// Whether there is a page for who writes programs.
    pub docs: bool,
}

/// What is asked of the file of a language.
#[derive(Clone, Copy)]
enum Part<'a> {
    /// How the language calls itself.
    Name,
    Page(WebApp<'a>),
}

/// How a page names another one, or itself.
struct Choice {
    tag: &'static str,
    name: String,
    is_this: bool,
}

pub fn render_page(language: Language, web_app: WebApp<'_>) -> Result<String> {
    let choice = |other: &Language| {
        let name = render(*other, Part::Name, &[])?;
        Ok(Choice { tag: other.tag(), name, is_this: *other == language })
    };
    let choices = Language::ALL.iter().map(choice).collect::<Result<Vec<_>>>()?;
    render(language, Part::Page(web_app), &choices)
}

macro_rules! web_app {
    ($($language:ident $tag:literal $text:literal $html:literal $not_me:literal $web_app:literal,)+) => {
        fn render(language: Language, part: Part<'_>, choices: &[Choice]) -> Result<String> {
            match language {
                $(Language::$language => {
                    #[derive(Template)]
                    #[template(path = $web_app)]
                    struct Page<'a> {
                        part: Part<'a>,
                        choices: &'a [Choice],
                        tag: &'static str,
                    }

                    Page { part, choices, tag: $tag }.render()
                })+
            }
        }
    };
}

for_each_language!(web_app);

#[cfg(test)]
mod tests;
