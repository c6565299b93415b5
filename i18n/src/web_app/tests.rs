use super::*;

fn of(language: Language) -> String {
    render_page(
        language,
        WebApp { style: "body { margin: 0 }", script: "ready()", password_min_length: 37, docs: true },
    )
    .unwrap()
}

/// What stands between the tags, and in attributes that people are told.
fn spoken(html: &str) -> String {
    let body = html.split_once("</head>").unwrap().1.split_once("<script").unwrap().0;
    body.split('<').filter_map(|element| element.split_once('>')).map(|(_, words)| format!("{words}\n")).collect()
}

#[test]
fn every_language_has_words_of_its_own() {
    let mut seen = std::collections::HashMap::new();
    for &language in Language::ALL {
        let html = of(language);
        assert!(html.starts_with("<!DOCTYPE html>"), "{html}");
        assert!(html.contains(&format!("<html lang=\"{}\">", language.tag())), "{html}");
        assert_eq!(html.matches("<h1 ").count(), html.matches("<section ").count());
        let long = spoken(&html).lines().map(str::to_owned).filter(|line| line.len() > 20).collect::<Vec<_>>();
        assert!(long.len() > 50, "{long:?}");
        for line in long {
            assert_eq!(seen.insert(line.clone(), language).unwrap_or(language), language, "not translated: {line}");
        }
    }
}

#[test]
fn every_language_is_named_in_its_own_words_and_can_be_chosen() {
    for &language in Language::ALL {
        let html = of(language);
        for (tag, name) in [("en", "English"), ("fr", "Français")] {
            let this = if language.tag() == tag { " aria-current=\"true\"" } else { "" };
            let link = format!("<a href=\"/?lang={tag}\" hreflang=\"{tag}\" lang=\"{tag}\"{this}>{name}</a>");
            assert!(html.contains(&link), "{link}");
        }
        assert_eq!(html.matches("hreflang").count(), Language::ALL.len());
    }
}

#[test]
fn what_it_is_filled_with_stands_in_it() {
    for &language in Language::ALL {
        let html = of(language);
        assert!(html.contains("<style>body { margin: 0 }</style>") && html.contains(">ready()</script>"));
        assert_eq!(spoken(&html).matches("37").count(), 3, "{language:?} says thrice how long a password is");
        assert!(html.contains("href=\"/docs\""));
        let closed = WebApp { style: "", script: "", password_min_length: 8, docs: false };
        assert!(!render_page(language, closed).unwrap().contains("/docs"));
    }
}

#[test]
fn words_are_filled_in_with_the_same_in_every_language() {
    let blanks = |language: Language| {
        let html = of(language);
        let words = html.split("<i data-word=\"").skip(1).map(|word| {
            let (name, rest) = word.split_once("\">").unwrap();
            let text = rest.split_once("</i>").unwrap().0;
            assert!(!text.is_empty(), "{language:?} has nothing for {name}");
            let mut blanks: Vec<_> =
                text.split('{').skip(1).map(|part| part.split_once('}').unwrap().0.to_owned()).collect();
            blanks.sort();
            (name.to_owned(), blanks)
        });
        words.collect::<Vec<_>>()
    };
    for &language in Language::ALL {
        assert_eq!(blanks(language), blanks(Language::FALLBACK), "{language:?}");
    }
}

#[test]
fn french_is_set_as_french_is() {
    let words = spoken(&of(Language::French)).replace("&nbsp;", "\u{a0}");
    assert!(!words.contains('\'') && !words.contains("&#39;"), "an apostrophe is ’");
    for (at, mark) in words.match_indices(['?', '!', ':', ';']) {
        assert!(words[..at].ends_with('\u{a0}'), "before {mark} the line does not break: {words}");
    }
}
