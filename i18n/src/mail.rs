//! The mails: what there is to tell, and its words in each language. Text and HTML of a mail say the same.

use askama::{Result, Template};

use crate::{
    Language,
    lifetime::{Lifetime, Unit},
};

/// What a mail has to say. Each language has words for all of them, or it does not compile.
#[derive(Clone, Copy, Debug)]
pub enum Mail<'a> {
    /// With the link for whom it was not.
    Code {
        digits: &'a str,
        lifetime: Lifetime,
        not_me: &'a str,
    },
    AlreadyRegistered,
    Activated,
    ResetCode {
        digits: &'a str,
        lifetime: Lifetime,
    },
    /// Somebody asked for another password where there is no account.
    NoAccount,
    PasswordChanged,
}

/// The words of one mail.
#[derive(Debug)]
pub struct Words {
    /// Never with a code in it: subjects stand on lock screens and in the logs of mail servers.
    pub subject: String,
    pub text: String,
    pub html: String,
}

/// The templates of a language are types of their own, because askama reads each template when its type is compiled.
macro_rules! words {
    ($($language:ident $tag:literal $text:literal $html:literal $not_me:literal $web_app:literal,)+) => {
        /// `service` is what the service calls itself, `url` where it is found.
        pub fn words(language: Language, mail: Mail<'_>, service: &str, url: &str) -> Result<Words> {
            match language {
                $(Language::$language => {
                    #[derive(Template)]
                    #[template(path = $text, block = "subject")]
                    struct Subject<'a> {
                        mail: Mail<'a>,
                    }

                    #[derive(Template)]
                    #[template(path = $text, block = "text")]
                    struct Text<'a> {
                        mail: Mail<'a>,
                        service: &'a str,
                        url: &'a str,
                    }

                    #[derive(Template)]
                    #[template(path = $html)]
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
