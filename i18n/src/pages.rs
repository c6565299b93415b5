//! The pages for people who come by a link in a mail, in each language.

use askama::{Result, Template};

use crate::Language;

/// What the page behind the link "this was not me" has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotMe {
    /// Nothing was done yet: a button, and for how many days it holds.
    Ask {
        days: i64,
    },
    Muted {
        until: Day,
    },
    Lifted,
    /// The link is wrong, or what it spoke of is gone: nobody is told which.
    Outdated,
    Away,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day {
    pub day: u8,
    pub month: u8,
    pub year: i32,
}

macro_rules! not_me {
    ($($language:ident $tag:literal $text:literal $html:literal $not_me:literal $web_app:literal,)+) => {
        /// `url` is where the service is found.
        pub fn not_me(language: Language, page: NotMe, url: &str) -> Result<String> {
            match language {
                $(Language::$language => {
                    #[derive(Template)]
                    #[template(path = $not_me)]
                    struct Page<'a> {
                        page: NotMe,
                        url: &'a str,
                        tag: &'static str,
                    }

                    Page { page, url, tag: $tag }.render()
                })+
            }
        }
    };
}

for_each_language!(not_me);

#[cfg(test)]
mod tests;
