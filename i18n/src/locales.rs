//! The languages: each has one line here and a folder in `templates/`. Whatever is to be there for each of them is
//! generated from this list.

/// Name, tag (as in `Accept-Language`, in lower case), and the entrances to its folder. The first one is spoken to
/// whoever wants none of them.
macro_rules! for_each_language {
    ($generate:ident) => {
        $generate! {
            English "en" "en/mail.txt" "en/mail.html" "en/not_me.html" "en/web_app.html",
            French "fr" "fr/mail.txt" "fr/mail.html" "fr/not_me.html" "fr/web_app.html",
        }
    };
}
