//! The list of supported languages (locales): each has one line here and a folder in `templates/`. The enum and the
//! templates of every language are generated from this list. CONTRIBUTING.md says how to add a language.

/// Calls `$generate!` with one line for each language: its name, its tag (as in `Accept-Language`, in lower case) and
/// the top-level templates of its folder. The first language is the fallback.
macro_rules! for_each_language {
    ($generate:ident) => {
        $generate! {
            English "en" "en/mail.txt" "en/mail.html" "en/not_me.html" "en/web_app.html",
            French "fr" "fr/mail.txt" "fr/mail.html" "fr/not_me.html" "fr/web_app.html",
        }
    };
}
