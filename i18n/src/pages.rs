//! Renders the pages that links in mails lead to, in each language.

use askama::{Result, Template};

use crate::Language;

/// The state that the not-me page shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotMe {
    /// Nothing was done yet: shows the button that closes the sign-up and suppresses sign-up mails.
    Ask {
        /// How long mails are suppressed after the button is pressed.
        days: i64,
    },
    /// The sign-up is closed and sign-up mails are suppressed; shows the button that allows them again.
    Suppressed { until: Day },
    /// The suppression was lifted: the owner of the email address can sign up again.
    Lifted,
    /// The link is invalid, or the code that it names no longer exists; the page does not reveal which.
    InvalidLink,
    /// The request failed on the server side and nothing was changed.
    Unavailable,
}

/// A calendar date.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day {
    /// From 1 to 31.
    pub day: u8,
    /// From 1 to 12.
    pub month: u8,
    pub year: i32,
}

/// The state that the unlock page shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlock {
    /// Nothing was done yet: shows the button that lets this browser in.
    Ask {
        /// How many passwords the browser can then try.
        attempts: usize,
    },
    /// This browser is let in.
    Done { attempts: usize },
    /// The link was used already, or is too old.
    Ended,
    /// The link is invalid, or what it names no longer exists; the page does not reveal which.
    InvalidLink,
    /// The request failed on the server side and nothing was changed.
    Unavailable,
}

macro_rules! pages {
    ($($language:ident $tag:literal $settings:literal,)+) => {
        /// Renders the not-me page. `url` is the public URL of the service.
        pub fn not_me(language: Language, page: NotMe, url: &str) -> Result<String> {
            match language {
                $(Language::$language => {
                    #[derive(Template)]
                    #[template(path = "not_me.html", config = $settings)]
                    struct NotMePage<'a> {
                        page: NotMe,
                        url: &'a str,
                        tag: &'static str,
                    }

                    NotMePage { page, url, tag: $tag }.render()
                })+
            }
        }

        /// Renders the unlock page. `url` is the public URL of the service.
        pub fn unlock(language: Language, page: Unlock, url: &str) -> Result<String> {
            match language {
                $(Language::$language => {
                    #[derive(Template)]
                    #[template(path = "unlock.html", config = $settings)]
                    struct UnlockPage<'a> {
                        page: Unlock,
                        url: &'a str,
                        tag: &'static str,
                    }

                    UnlockPage { page, url, tag: $tag }.render()
                })+
            }
        }
    };
}

for_each_language!(pages);

#[cfg(test)]
mod tests;
