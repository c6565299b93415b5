//! Renders the subject, text part and HTML part of every mail in each language. Both parts have the same content.

use askama::{Result, Template};

use crate::{
    Language,
    lifetime::{Lifetime, Unit},
};

/// A rendered mail.
#[derive(Debug)]
pub struct RenderedMail {
    /// Never contains a code: subjects are shown on lock screens and written to the logs of mail servers.
    pub subject: String,
    /// The plain-text part; a code is alone on its line.
    pub text: String,
    /// The HTML part.
    pub html: String,
}

macro_rules! mails {
    ($(
        $(#[$doc:meta])+
        $kind:ident $({ $($(#[$field_doc:meta])* $field:ident: $type:ty = $example:expr),+ $(,)? })? = $path:literal,
    )+) => {
        /// The kind and the content of a mail.
        #[derive(Clone, Copy, Debug)]
        pub enum Mail<'a> {
            $($(#[$doc])+ $kind $({ $($(#[$field_doc])* $field: $type,)+ })?,)+
        }

        impl Mail<'static> {
            /// One mail of every kind, for tests.
            #[doc(hidden)]
            pub const EXAMPLES: &'static [Self] = &[$(Self::$kind $({ $($field: $example,)+ })?),+];
        }

        /// Renders a mail. `service` is the display name of the service, `url` its public URL.
        pub fn render(language: Language, mail: Mail<'_>, service: &str, url: &str) -> Result<RenderedMail> {
            match mail {
                $(Mail::$kind $({ $($field,)+ })? => {
                    for_each_language!(render_in_each_language language ($path { $($($field: $type,)+)? } service url))
                })+
            }
        }
    };
}

macro_rules! render_in_each_language {
    ($selected:ident $mail:tt $($language:ident $tag:literal $settings:literal,)+) => {
        match $selected {
            $(Language::$language => render!($mail $tag $settings),)+
        }
    };
}

// askama compiles a template into the type that names it, so each kind has types of its own in each language.
macro_rules! render {
    (($path:literal { $($field:ident: $type:ty,)* } $service:ident $url:ident) $tag:literal $settings:literal) => {{
        #[derive(Template)]
        #[template(path = $path, config = $settings, block = "subject", escape = "none")]
        struct Subject;

        #[derive(Template)]
        #[template(path = $path, config = $settings, block = "text", escape = "none")]
        struct Text<'a> {
            $($field: $type,)*
            service: &'a str,
            url: &'a str,
        }

        #[derive(Template)]
        #[template(path = $path, config = $settings, block = "document")]
        struct Html<'a> {
            $($field: $type,)*
            service: &'a str,
            url: &'a str,
            tag: &'static str,
        }

        Ok(RenderedMail {
            subject: Subject.render()?,
            text: Text { $($field,)* service: $service, url: $url }.render()?,
            html: Html { $($field,)* service: $service, url: $url, tag: $tag }.render()?,
        })
    }};
}

// The table of mails: the fields of each kind with an example, and the template in the folder of each language. A
// language that lacks a template, or whose template lacks a part or a field, does not compile without warnings.
mails! {
    /// The code that activates a new account.
    Code {
        digits: &'a str = "0427",
        /// How long the code is valid after the mail server accepted the mail.
        lifetime: Lifetime = Lifetime::of_seconds(90),
        /// URL of the page where the owner of the address reports that they did not cause the mail.
        not_me: &'a str = "https://example.org/not-me/AZUAAAAAcACAAAAAAAAAAf-2rJp0fX7n0r8bQ3Lx_9k",
    } = "mails/code.html",
    /// A sign-up for an email address that already has an account.
    AlreadyRegistered {
        /// URL of the page where the owner of the address reports that they did not cause the mail.
        not_me: &'a str = "https://example.org/not-me/AZUAAAAAcACAAAAAAAAAAf-2rJp0fX7n0r8bQ3Lx_9k",
    } = "mails/already_registered.html",
    /// The account was activated.
    Activated = "mails/activated.html",
    /// The code that sets a new password.
    ResetCode {
        digits: &'a str = "0427",
        /// How long the code is valid after the mail server accepted the mail.
        lifetime: Lifetime = Lifetime::of_seconds(600),
        /// URL of the page where the owner of the address reports that they did not cause the mail.
        not_me: &'a str = "https://example.org/not-me/AZUAAAAAcACAAAAAAAAAAf-2rJp0fX7n0r8bQ3Lx_9k",
    } = "mails/reset_code.html",
    /// A new password was requested for an email address that has no account.
    NoAccount {
        /// URL of the page where the owner of the address reports that they did not cause the mail.
        not_me: &'a str = "https://example.org/not-me/AZUAAAAAcACAAAAAAAAAAf-2rJp0fX7n0r8bQ3Lx_9k",
    } = "mails/no_account.html",
    /// The password of the account was changed.
    PasswordChanged = "mails/password_changed.html",
    /// The account was deleted.
    AccountDeleted = "mails/account_deleted.html",
    /// Wrong passwords have locked the account.
    Unlock {
        /// URL of the page that lets the browser in.
        link: &'a str = "https://example.org/unlock/AZUAAAAAcACAAAAAAAAAAf-2rJp0fX7n0r8bQ3Lx_9k",
        /// URL of the page where the owner of the address reports that they did not cause the mail.
        not_me: &'a str = "https://example.org/not-me/AZUAAAAAcACAAAAAAAAAAf-2rJp0fX7n0r8bQ3Lx_9k",
    } = "mails/unlock.html",
}

impl<'a> Mail<'a> {
    /// The code that the mail contains.
    pub fn digits(self) -> Option<&'a str> {
        match self {
            Self::Code { digits, .. } | Self::ResetCode { digits, .. } => Some(digits),
            Self::AlreadyRegistered { .. }
            | Self::Activated
            | Self::NoAccount { .. }
            | Self::PasswordChanged
            | Self::AccountDeleted
            | Self::Unlock { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests;
