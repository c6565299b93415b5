//! Localised texts of mails and pages. Problem details are read by programs and are always in English.
//!
//! Both processes need this crate: the API negotiates a user's language, stores it and renders the pages; the worker
//! renders the mails.

#[macro_use]
mod locales;
pub mod accept_language;
pub mod lifetime;
pub mod mail;
pub mod pages;
pub mod web_app;

macro_rules! languages {
    ($($name:ident $tag:literal $settings:literal,)+) => {
        /// A language that the service supports.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Language {
            $($name,)+
        }

        impl Language {
            /// Every supported language; the first one is the fallback.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The language tag in lower case, as in `Accept-Language`, the `lang` attribute and the database.
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
    /// Used when a user's language is unknown or not supported.
    pub const FALLBACK: Self = Self::ALL[0];

    /// Parses a stored tag. A tag that this version does not know (a newer version may have stored it) gives the
    /// fallback.
    pub fn of_tag(tag: &str) -> Self {
        Self::ALL.iter().copied().find(|language| language.tag() == tag).unwrap_or(Self::FALLBACK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tag_round_trips_and_unknown_tags_give_the_fallback() {
        for language in Language::ALL {
            assert_eq!(Language::of_tag(language.tag()), *language);
        }
        for unknown in ["", "qaa", "FR", "fr-CA", "fr "] {
            assert_eq!(Language::of_tag(unknown), Language::English, "{unknown:?}");
        }
    }

    macro_rules! settings {
        ($($language:ident $tag:literal $settings:literal,)+) => {
            [$(($tag, $settings, include_str!(concat!("../", $settings)))),+]
        };
    }

    #[test]
    fn settings_name_the_folder_of_the_language() {
        for (tag, path, settings) in for_each_language!(settings) {
            assert_eq!(path, format!("templates/{tag}/askama.toml"));
            assert!(settings.contains(&format!("dirs = [\"templates/{tag}\", \"templates\"]")), "{path}: {settings}");
        }
    }

    #[test]
    fn tags_are_unique_and_lower_case() {
        for (index, language) in Language::ALL.iter().enumerate() {
            let tag = language.tag();
            assert!(!tag.is_empty() && tag.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{tag}");
            assert_eq!(Language::ALL.iter().position(|other| other.tag() == tag), Some(index), "{tag}");
        }
    }
}
