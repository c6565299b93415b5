//! What the service says to people, in each of their languages; problem details are for programs, and stay English.
//!
//! Both processes need it: the API understands what somebody reads and keeps it, the worker writes in it.

#[macro_use]
mod locales;
pub mod accept_language;
pub mod lifetime;
pub mod mail;
pub mod pages;
pub mod web_app;

macro_rules! languages {
    ($($name:ident $tag:literal $text:literal $html:literal $not_me:literal $web_app:literal,)+) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Language {
            $($name,)+
        }

        impl Language {
            pub const ALL: &[Self] = &[$(Self::$name),+];

            pub fn tag(self) -> &'static str {
                match self {
                    $(Self::$name => $tag,)+
                }
            }
        }
    };
}

for_each_language!(languages);

impl Language {
    /// What is spoken when nothing is known of somebody.
    pub const FALLBACK: Self = Self::ALL[0];

    /// The language that was stored. One of a newer version is not known here: then it is the fallback.
    pub fn of_tag(tag: &str) -> Self {
        Self::ALL.iter().copied().find(|language| language.tag() == tag).unwrap_or(Self::FALLBACK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_read_again_and_what_is_unknown_is_english() {
        for language in Language::ALL {
            assert_eq!(Language::of_tag(language.tag()), *language);
        }
        for unknown in ["", "qaa", "FR", "fr-CA", "fr "] {
            assert_eq!(Language::of_tag(unknown), Language::English, "{unknown:?}");
        }
    }

    #[test]
    fn a_tag_is_in_lower_case_and_its_own() {
        for (n, language) in Language::ALL.iter().enumerate() {
            let tag = language.tag();
            assert!(!tag.is_empty() && tag.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{tag}");
            assert_eq!(Language::ALL.iter().position(|other| other.tag() == tag), Some(n), "{tag}");
        }
    }
}
