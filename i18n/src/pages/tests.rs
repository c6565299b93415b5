use super::*;

const URL: &str = "https://hall.example.org";

fn until(day: u8, month: u8) -> NotMe {
    NotMe::Muted { until: Day { day, month, year: 2027 } }
}

fn each() -> impl Iterator<Item = (Language, NotMe, String)> {
    let pages = [NotMe::Ask { days: 30 }, until(21, 12), NotMe::Lifted, NotMe::Outdated, NotMe::Away];
    let said = move |language| pages.map(|page| (language, page, not_me(language, page, URL).unwrap()));
    Language::ALL.iter().copied().flat_map(said)
}

#[test]
fn every_language_has_words_of_its_own_for_every_page() {
    let mut titles = std::collections::HashSet::new();
    for (language, page, html) in each() {
        assert!(html.starts_with("<!DOCTYPE html>"), "{html}");
        assert!(html.contains(&format!("<html lang=\"{}\">", language.tag())), "{html}");
        let title = html.split_once("<title>").unwrap().1.split_once("</title>").unwrap().0;
        assert!(!title.is_empty() && title.trim() == title, "{language:?} {page:?}: {title:?}");
        assert!(titles.insert(title.to_owned()), "{language:?} {page:?} has the title of another");
        assert_eq!(html.matches("<h1>").count(), 1, "{html}");
    }
}

#[test]
fn nothing_is_loaded_and_nothing_runs() {
    for (_, _, html) in each() {
        for outside in ["src=", "<script", "<link", "@import", "url(", "style=", " on", "<img", "action="] {
            let found =
                html.match_indices(outside).find(|(at, found)| *found != " on" || html[*at..].contains("=\"on"));
            assert!(found.is_none(), "{outside} in {html}");
        }
        assert_eq!(html.matches("http").count(), html.matches(URL).count(), "{html}");
    }
}

#[test]
fn there_is_one_button_where_there_is_something_to_decide() {
    for (_, page, html) in each() {
        let buttons = usize::from(matches!(page, NotMe::Ask { .. } | NotMe::Muted { .. }));
        assert_eq!((html.matches("<button").count(), html.matches("method=\"post\"").count()), (buttons, buttons));
    }
}

#[test]
fn days_are_said_as_people_say_them() {
    for (day, month, english, french) in [
        (21, 12, "Until 21 December 2027 you", "Jusqu’au 21 décembre 2027, vous"),
        (1, 1, "Until 1 January 2027 you", "Jusqu’au 1er janvier 2027, vous"),
        (2, 8, "Until 2 August 2027 you", "Jusqu’au 2 août 2027, vous"),
    ] {
        for (language, spoken) in [(Language::English, english), (Language::French, french)] {
            let html = not_me(language, until(day, month), URL).unwrap().replace(['\u{a0}', '\n'], " ");
            assert!(html.contains(spoken), "{spoken}: {html}");
        }
    }
}

#[test]
fn french_is_set_as_french_is() {
    for (_, _, html) in each().filter(|(language, ..)| *language == Language::French) {
        let words = html.split_once("<main>").unwrap().1.replace("&nbsp;", "\u{a0}").replace(URL, "");
        assert!(!words.contains('\''), "an apostrophe is ’: {words}");
        for (at, mark) in words.match_indices(['?', '!', ':', ';']) {
            assert!(words[..at].ends_with('\u{a0}'), "before {mark} the line does not break: {words}");
        }
    }
}
