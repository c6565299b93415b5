//! Tests of the rendered web app, in every language.

use super::*;

fn page(language: Language) -> String {
    render_page(
        language,
        WebApp { style: "body { margin: 0 }", script: "ready()", password_min_length: 37, docs: true },
    )
    .unwrap()
}

/// The text between the tags of the body.
fn visible_text(html: &str) -> String {
    let body = html.split_once("</head>").unwrap().1.split_once("<script").unwrap().0;
    body.split('<').filter_map(|element| element.split_once('>')).map(|(_, text)| format!("{text}\n")).collect()
}

#[test]
fn every_language_translates_every_text() {
    let mut seen = std::collections::HashMap::new();
    for &language in Language::ALL {
        let html = page(language);
        assert!(html.starts_with("<!DOCTYPE html>"), "{html}");
        assert!(html.contains(&format!("<html lang=\"{}\">", language.tag())), "{html}");
        assert_eq!(html.matches("<h1 ").count(), html.matches("<section ").count());
        let long = visible_text(&html).lines().map(str::to_owned).filter(|line| line.len() > 20).collect::<Vec<_>>();
        assert!(long.len() > 50, "{long:?}");
        for line in long {
            assert_eq!(seen.insert(line.clone(), language).unwrap_or(language), language, "not translated: {line}");
        }
    }
}

#[test]
fn language_menu_links_every_language_by_its_own_name() {
    for &language in Language::ALL {
        let html = page(language);
        for (tag, name) in [("en", "English"), ("fr", "Français")] {
            let current = if language.tag() == tag { " aria-current=\"true\"" } else { "" };
            let link = format!("<a href=\"/?lang={tag}\" hreflang=\"{tag}\" lang=\"{tag}\"{current}>{name}</a>");
            assert!(html.contains(&link), "{link}");
        }
        assert_eq!(html.matches("hreflang").count(), Language::ALL.len());
    }
}

#[test]
fn page_contains_its_parameters() {
    for &language in Language::ALL {
        let html = page(language);
        assert!(html.contains("<style>body { margin: 0 }</style>") && html.contains(">ready()</script>"));
        assert_eq!(
            visible_text(&html).matches("37").count(),
            3,
            "{language:?} must state the minimum password length three times"
        );
        assert!(html.contains("href=\"/docs\""));
        let without_docs = WebApp { style: "", script: "", password_min_length: 8, docs: false };
        assert!(!render_page(language, without_docs).unwrap().contains("/docs"));
    }
}

#[test]
fn placeholders_are_the_same_in_every_language() {
    let placeholders = |language: Language| {
        let html = page(language);
        let messages = html.split("<i data-message=\"").skip(1).map(|element| {
            let (name, rest) = element.split_once("\">").unwrap();
            let text = rest.split_once("</i>").unwrap().0;
            assert!(!text.is_empty(), "{language:?} has no text for {name}");
            let mut names: Vec<_> =
                text.split('{').skip(1).map(|part| part.split_once('}').unwrap().0.to_owned()).collect();
            names.sort();
            (name.to_owned(), names)
        });
        messages.collect::<Vec<_>>()
    };
    for &language in Language::ALL {
        assert_eq!(placeholders(language), placeholders(Language::FALLBACK), "{language:?}");
    }
}

#[test]
fn french_page_follows_french_typography() {
    let text = visible_text(&page(Language::French)).replace("&nbsp;", "\u{a0}");
    assert!(!text.contains('\'') && !text.contains("&#39;"), "the apostrophe must be ’");
    for (at, mark) in text.match_indices(['?', '!', ':', ';']) {
        assert!(text[..at].ends_with('\u{a0}'), "no non-breaking space before {mark}: {text}");
    }
}
