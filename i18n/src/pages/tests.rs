//! Tests of the rendered not-me page, in every language.

use super::*;

const URL: &str = "https://hall.example.org";

fn suppressed_until(day: u8, month: u8) -> NotMe {
    NotMe::Suppressed { until: Day { day, month, year: 2027 } }
}

/// Every state of the page in every language.
fn all_pages() -> impl Iterator<Item = (Language, NotMe, String)> {
    let pages =
        [NotMe::Ask { days: 30 }, suppressed_until(21, 12), NotMe::Lifted, NotMe::InvalidLink, NotMe::Unavailable];
    let render = move |language| pages.map(|page| (language, page, not_me(language, page, URL).unwrap()));
    Language::ALL.iter().copied().flat_map(render)
}

#[test]
fn every_language_translates_every_page() {
    let mut titles = std::collections::HashSet::new();
    for (language, page, html) in all_pages() {
        assert!(html.starts_with("<!DOCTYPE html>"), "{html}");
        assert!(html.contains(&format!("<html lang=\"{}\">", language.tag())), "{html}");
        let title = html.split_once("<title>").unwrap().1.split_once("</title>").unwrap().0;
        assert!(!title.is_empty() && title.trim() == title, "{language:?} {page:?}: {title:?}");
        assert!(titles.insert(title.to_owned()), "{language:?} {page:?} has the same title as another page");
        assert_eq!(html.matches("<h1>").count(), 1, "{html}");
    }
}

#[test]
fn pages_load_nothing_and_have_no_script() {
    for (_, _, html) in all_pages() {
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
    for (_, page, html) in all_pages() {
        let buttons = usize::from(matches!(page, NotMe::Ask { .. } | NotMe::Suppressed { .. }));
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
    for (_, _, html) in all_pages().filter(|(language, ..)| *language == Language::French) {
        let text = html.split_once("<main>").unwrap().1.replace("&nbsp;", "\u{a0}").replace(URL, "");
        assert!(!text.contains('\''), "the apostrophe must be ’: {text}");
        for (at, mark) in text.match_indices(['?', '!', ':', ';']) {
            assert!(text[..at].ends_with('\u{a0}'), "no non-breaking space before {mark}: {text}");
        }
    }
}
