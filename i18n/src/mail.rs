//! Renders the subject, text part and HTML part of every mail in each language. Both parts have the same content.

use askama::{Result, Template};

use crate::{
    Language,
    lifetime::{Lifetime, Unit},
};

/// The kind and the content of a mail. A language that lacks the template of a kind does not compile.
#[derive(Clone, Copy, Debug)]
pub enum Mail<'a> {
    /// The code that activates a new account.
    Code {
        digits: &'a str,
        /// How long the code is valid after the mail server accepted the mail.
        lifetime: Lifetime,
        /// URL of the page where the owner of the address reports that they did not sign up.
        not_me: &'a str,
    },
    /// A sign-up for an email address that already has an account.
    AlreadyRegistered,
    /// The account was activated.
    Activated,
    /// The code that sets a new password.
    ResetCode {
        digits: &'a str,
        /// How long the code is valid after the mail server accepted the mail.
        lifetime: Lifetime,
    },
    /// A new password was requested for an email address that has no account.
    NoAccount,
    /// The password of the account was changed.
    PasswordChanged,
}

/// A rendered mail.
#[derive(Debug)]
pub struct Words {
    /// Never contains a code: subjects are shown on lock screens and written to the logs of mail servers.
    pub subject: String,
    /// The plain-text part; a code is alone on its line.
    pub text: String,
    /// The HTML part.
    pub html: String,
}

// askama compiles a template into the type that names it, so each language gets its own types.
macro_rules! words {
    ($($language:ident $tag:literal $settings:literal,)+) => {
        /// Renders a mail. `service` is the display name of the service, `url` its public URL.
        pub fn words(language: Language, mail: Mail<'_>, service: &str, url: &str) -> Result<Words> {
            match language {
                $(Language::$language => {
                    #[derive(Template)]
                    #[template(path = "mail.txt", config = $settings, block = "subject")]
                    struct Subject<'a> {
                        mail: Mail<'a>,
                    }

                    #[derive(Template)]
                    #[template(path = "mail.txt", config = $settings, block = "text")]
                    struct Text<'a> {
                        mail: Mail<'a>,
                        service: &'a str,
                        url: &'a str,
                    }

                    #[derive(Template)]
                    #[template(path = "mail.html", config = $settings)]
                    struct Html<'a> {
                        mail: Mail<'a>,
                        service: &'a str,
                        url: &'a str,
                        tag: &'static str,
                    }

                    Ok(Words {
                        subject: Subject { mail }.render()?,
                        text: Text { mail, service, url }.render()?,
                        html: Html { mail, service, url, tag: $tag }.render()?,
                    })
                })+
            }
        }
    };
}

for_each_language!(words);

#[cfg(test)]
mod tests;
