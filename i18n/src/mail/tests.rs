//! Tests of the rendered mails, in every language.

use super::*;

const SERVICE: &str = "Vestibule";
const URL: &str = "https://example.org";
const NOT_ME: &str = "https://example.org/not-me/AZUAAAAAcACAAAAAAAAAAf-2rJp0fX7n0r8bQ3Lx_9k";

fn lifetime(seconds: u32) -> Lifetime {
    Lifetime::of_seconds(seconds)
}

fn code(seconds: u32) -> Mail<'static> {
    Mail::Code { digits: "0427", lifetime: lifetime(seconds), not_me: NOT_ME }
}

fn reset_code(seconds: u32) -> Mail<'static> {
    Mail::ResetCode { digits: "0427", lifetime: lifetime(seconds), not_me: NOT_ME }
}

fn render(language: Language, mail: Mail<'_>) -> RenderedMail {
    super::render(language, mail, SERVICE, URL).unwrap()
}

/// Every mail in every language.
fn all_mails() -> impl Iterator<Item = (Language, Mail<'static>, RenderedMail)> {
    Language::ALL
        .iter()
        .flat_map(|language| Mail::EXAMPLES.iter().map(move |mail| (*language, *mail, render(*language, *mail))))
}

/// The text of the HTML part, without tags.
fn without_tags(html: &str) -> String {
    html.split('<').map(|piece| piece.split_once('>').map_or(piece, |(_, text)| text)).collect()
}

/// Replaces runs of spaces and line breaks by one space.
fn normalize_spaces(text: &str) -> String {
    text.replace("&nbsp;", "\u{a0}").split([' ', '\n']).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

#[test]
fn every_language_translates_every_mail() {
    let mut subjects = std::collections::HashSet::new();
    for (language, mail, RenderedMail { subject, text, html }) in all_mails() {
        assert!(!subject.is_empty() && !subject.contains(['\n', '\r']), "{language:?} {mail:?}: {subject:?}");
        assert!(subject.trim() == subject && !subject.contains(|c: char| c.is_ascii_digit()), "{subject:?}");
        assert!(subjects.insert(subject), "{language:?} {mail:?} has the same subject as another mail");
        for part in [&text, &html] {
            assert!(part.contains(SERVICE) && part.contains(URL), "{language:?} {mail:?}: {part}");
            assert_eq!(part.matches("http").count(), part.matches(URL).count(), "{part}");
            assert!(!part.contains("src="), "the mail loads something from outside");
        }
        assert!(html.starts_with("<!DOCTYPE html>"), "{html}");
        assert!(html.contains(&format!("<html lang=\"{}\">", language.tag())), "{html}");
    }
}

#[test]
fn both_parts_have_the_same_content() {
    for (language, mail, RenderedMail { text, html, .. }) in all_mails() {
        let (text, html) = (normalize_spaces(&text), normalize_spaces(&without_tags(&html)));
        let sentences = |text: &str| text.replace(URL, "").matches(['.', '?', '!', ':']).count();
        assert_eq!(sentences(&text), sentences(&html), "{language:?} {mail:?}:\n{text}\n{html}");
        let first = text.split(['!', '.', '?']).next().unwrap();
        assert!(html.contains(first), "{language:?} {mail:?}: {first:?} is not in\n{html}");
    }
}

#[test]
fn only_code_mails_have_the_code_alone_on_a_line() {
    for (language, mail, RenderedMail { text, html, .. }) in all_mails() {
        let digits: Vec<_> =
            text.lines().filter(|line| !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit())).collect();
        assert_eq!(digits, Vec::from_iter(mail.digits()), "{language:?} {mail:?}: {text}");
        assert_eq!(html.matches("0427").count(), usize::from(mail.digits().is_some()), "{html}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}

#[test]
fn mails_that_a_stranger_can_cause_have_the_not_me_link() {
    for (language, mail, RenderedMail { text, html, .. }) in all_mails() {
        let links = match mail {
            Mail::Activated | Mail::PasswordChanged | Mail::AccountDeleted => 0,
            Mail::Code { .. }
            | Mail::AlreadyRegistered { .. }
            | Mail::ResetCode { .. }
            | Mail::NoAccount { .. }
            | Mail::Unlock { .. } => 1,
        };
        assert_eq!(text.lines().filter(|line| *line == NOT_ME).count(), links, "{language:?} {mail:?}: {text}");
        assert_eq!(html.matches(&format!("href=\"{NOT_ME}\"")).count(), links, "{language:?} {mail:?}: {html}");
    }
}

#[test]
fn lifetimes_are_formatted_in_words() {
    for (seconds, english, french) in [
        (1, "1 second", "1 seconde"),
        (45, "45 seconds", "45 secondes"),
        (60, "1 minute", "1 minute"),
        (90, "1 minute and 30 seconds", "1 minute et 30 secondes"),
        (120, "2 minutes", "2 minutes"),
        (3600, "1 hour", "1 heure"),
        (7262, "2 hours and 1 minute and 2 seconds", "2 heures et 1 minute et 2 secondes"),
    ] {
        for (language, expected) in [
            (Language::English, format!("valid for {english} from")),
            (Language::French, format!("valable {french} à")),
        ] {
            for mail in [code(seconds), reset_code(seconds)] {
                let rendered = render(language, mail);
                assert!(
                    normalize_spaces(&rendered.text).replace('\u{a0}', " ").contains(&expected),
                    "{expected}: {}",
                    rendered.text
                );
                let html = normalize_spaces(&without_tags(&rendered.html)).replace('\u{a0}', " ");
                assert!(html.contains(&expected), "{expected}: {html}");
            }
        }
    }
}

#[test]
fn french_mails_follow_french_typography() {
    for (_, _, RenderedMail { subject, text, html }) in
        all_mails().filter(|(language, ..)| *language == Language::French)
    {
        let html = normalize_spaces(&without_tags(html.split("</title>").nth(1).unwrap()));
        for part in [&subject, &text.replace(NOT_ME, "").replace(URL, ""), &html] {
            assert!(!part.contains('\''), "the apostrophe must be ’: {part}");
            for (at, mark) in part.match_indices(['?', '!', ':', ';']) {
                assert!(part[..at].ends_with('\u{a0}'), "no non-breaking space before {mark}: {part}");
            }
        }
    }
}

#[test]
fn service_name_is_escaped_in_html_and_plain_in_text() {
    for language in Language::ALL {
        let rendered = super::render(*language, code(60), "Ham & <b>Eggs</b>", URL).unwrap();
        assert!(rendered.text.contains("Ham & <b>Eggs</b>"), "{}", rendered.text);
        assert!(
            rendered.html.contains("Ham &#38; &#60;b&#62;Eggs") && !rendered.html.contains("<b>"),
            "{}",
            rendered.html
        );
    }
}
