//! Fills the templates; text and HTML of a mail say the same.

use anyhow::ensure;
use askama::Template;

use super::Content;

#[derive(Template)]
pub(super) enum Text<'a> {
    #[template(path = "code.txt")]
    Code { service: &'a str, url: &'a str, digits: &'a str, lifetime: String },
    #[template(path = "already_registered.txt")]
    AlreadyRegistered { service: &'a str, url: &'a str },
    #[template(path = "activated.txt")]
    Activated { service: &'a str, url: &'a str },
}

#[derive(Template)]
pub(super) enum Html<'a> {
    #[template(path = "code.html")]
    Code { service: &'a str, url: &'a str, digits: &'a str, lifetime: String },
    #[template(path = "already_registered.html")]
    AlreadyRegistered { service: &'a str, url: &'a str },
    #[template(path = "activated.html")]
    Activated { service: &'a str, url: &'a str },
}

impl<'a> Text<'a> {
    pub(super) fn of(content: &Content<'a>, service: &'a str, url: &'a str) -> anyhow::Result<Text<'a>> {
        Ok(match *content {
            Content::Code { digits, lifetime_seconds } => {
                Text::Code { service, url, digits: checked(digits)?, lifetime: lifetime(lifetime_seconds) }
            }
            Content::AlreadyRegistered => Text::AlreadyRegistered { service, url },
            Content::Activated => Text::Activated { service, url },
        })
    }
}

impl<'a> Html<'a> {
    pub(super) fn of(content: &Content<'a>, service: &'a str, url: &'a str) -> anyhow::Result<Html<'a>> {
        Ok(match *content {
            Content::Code { digits, lifetime_seconds } => {
                Html::Code { service, url, digits: checked(digits)?, lifetime: lifetime(lifetime_seconds) }
            }
            Content::AlreadyRegistered => Html::AlreadyRegistered { service, url },
            Content::Activated => Html::Activated { service, url },
        })
    }
}

fn checked(digits: &str) -> anyhow::Result<&str> {
    let good = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    ensure!(good, "the code is not made of digits");
    Ok(digits)
}

/// `1 minute`, `45 seconds`, `2 minutes and 30 seconds`.
fn lifetime(seconds: u32) -> String {
    let parts = [(seconds / 3600, "hour"), (seconds / 60 % 60, "minute"), (seconds % 60, "second")];
    let spoken = parts.into_iter().filter(|(number, _)| *number > 0).map(|(number, unit)| match number {
        1 => format!("1 {unit}"),
        _ => format!("{number} {unit}s"),
    });
    spoken.collect::<Vec<_>>().join(" and ")
}

#[cfg(test)]
mod tests {
    use super::lifetime;

    #[test]
    fn lifetimes_are_said_as_people_say_them() {
        let said = [(1, "1 second"), (45, "45 seconds"), (60, "1 minute"), (120, "2 minutes")];
        for (seconds, words) in said {
            assert_eq!(lifetime(seconds), words);
        }
        assert_eq!(lifetime(90), "1 minute and 30 seconds");
        assert_eq!(lifetime(3600), "1 hour");
    }
}
