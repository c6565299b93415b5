//! Tests of the rendered pages, in every language.

use super::*;

const URL: &str = "https://hall.example.org";

fn suppressed_until(day: u8, month: u8) -> NotMe {
    NotMe::Suppressed { until: Day { day, month, year: 2027 } }
}

/// A page in one language: whether it has a button, and its HTML.
struct Rendered {
    language: Language,
    has_button: bool,
    html: String,
}

/// Every state of the not-me page, or of the unlock page, in one language.
fn states(language: Language, is_unlock: bool) -> Vec<Rendered> {
    let rendered = |has_button, html: Result<String>| Rendered { language, has_button, html: html.unwrap() };
    if is_unlock {
        let pages = [
            Unlock::Ask { attempts: 20 },
            Unlock::Done { attempts: 20 },
            Unlock::Ended,
            Unlock::InvalidLink,
            Unlock::Unavailable,
        ];
        return pages.map(|page| rendered(matches!(page, Unlock::Ask { .. }), unlock(language, page, URL))).into();
    }
    let pages =
        [NotMe::Ask { days: 30 }, suppressed_until(21, 12), NotMe::Lifted, NotMe::InvalidLink, NotMe::Unavailable];
    let has_button = |page| matches!(page, NotMe::Ask { .. } | NotMe::Suppressed { .. });
    pages.map(|page| rendered(has_button(page), not_me(language, page, URL))).into()
}

/// Every state of each page in every language.
fn all_pages() -> impl Iterator<Item = Rendered> {
    Language::ALL.iter().flat_map(|&language| [false, true].map(|is_unlock| states(language, is_unlock))).flatten()
}

#[test]
fn every_language_translates_every_page() {
    for is_unlock in [false, true] {
        let mut titles = std::collections::HashSet::new();
        for Rendered { language, html, .. } in Language::ALL.iter().flat_map(|&language| states(language, is_unlock)) {
            assert!(html.starts_with("<!DOCTYPE html>"), "{html}");
            assert!(html.contains(&format!("<html lang=\"{}\">", language.tag())), "{html}");
            let title = html.split_once("<title>").unwrap().1.split_once("</title>").unwrap().0;
            assert!(!title.is_empty() && title.trim() == title, "{language:?}: {title:?}");
            assert!(titles.insert(title.to_owned()), "{language:?}: {title:?} is the title of another page");
            assert_eq!(html.matches("<h1>").count(), 1, "{html}");
        }
    }
}

#[test]
fn pages_load_nothing_and_have_no_script() {
    for Rendered { html, .. } in all_pages() {
        for outside in ["src=", "<script", "<link", "@import", "url(", "style=", " on", "<img", "action="] {
            let found =
                html.match_indices(outside).find(|(at, found)| *found != " on" || html[*at..].contains("=\"on"));
            assert!(found.is_none(), "{outside} in {html}");
        }
        assert_eq!(html.matches("http").count(), html.matches(URL).count(), "{html}");
    }
}

#[test]
fn pages_with_a_decision_have_one_button() {
    for Rendered { has_button, html, .. } in all_pages() {
        let buttons = usize::from(has_button);
        assert_eq!((html.matches("<button").count(), html.matches("method=\"post\"").count()), (buttons, buttons));
    }
}

#[test]
fn dates_are_formatted_in_words() {
    for (day, month, english, french) in [
        (21, 12, "Until 21 December 2027 you", "Jusqu’au 21 décembre 2027, vous"),
        (1, 1, "Until 1 January 2027 you", "Jusqu’au 1er janvier 2027, vous"),
        (2, 8, "Until 2 August 2027 you", "Jusqu’au 2 août 2027, vous"),
    ] {
        for (language, expected) in [(Language::English, english), (Language::French, french)] {
            let html = not_me(language, suppressed_until(day, month), URL).unwrap().replace(['\u{a0}', '\n'], " ");
            assert!(html.contains(expected), "{expected}: {html}");
        }
    }
}

#[test]
fn french_pages_follow_french_typography() {
    for Rendered { html, .. } in all_pages().filter(|page| page.language == Language::French) {
        let text = html.split_once("<main>").unwrap().1.replace("&nbsp;", "\u{a0}").replace(URL, "");
        assert!(!text.contains('\''), "the apostrophe must be ’: {text}");
        for (at, mark) in text.match_indices(['?', '!', ':', ';']) {
            assert!(text[..at].ends_with('\u{a0}'), "no non-breaking space before {mark}: {text}");
        }
    }
}
