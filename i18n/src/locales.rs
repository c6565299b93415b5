//! The list of supported languages (locales): each has one line here and a folder in `templates/`. The enum and the
//! templates of every language are generated from this list. CONTRIBUTING.md says how to add a language.

/// Calls `$generate!` with the given arguments and one line for each language: its name, its tag (as in
/// `Accept-Language`, in lower case) and the askama settings that name its folder. The first language is the fallback.
macro_rules! for_each_language {
    ($generate:ident $($arguments:tt)*) => {
        $generate! {
            $($arguments)*
            English "en" "templates/en/askama.toml",
            French "fr" "templates/fr/askama.toml",
        }
    };
}
