//! Language negotiation: selects a supported language for an `Accept-Language` header (RFC 9110, 12.5.4).

use crate::Language;

/// Browsers send a handful of language ranges; further ones are ignored, to bound the work for one request.
const MAX_RANGES: usize = 32;

/// One language range of the header: `fr-CA;q=0.8`.
struct LanguageRange<'a> {
    /// A tag, a prefix of one, or `*`, which matches every language that no other range matches.
    tag: &'a str,
    /// The quality value in thousandths; 0 excludes the language.
    weight: u16,
}

/// The supported language with the greatest weight.
///
/// Of several with the same weight, the one whose range comes first wins, and a range that names the language wins over
/// `*`. Without an acceptable language it is the fallback. Malformed ranges are ignored.
pub fn preferred(accept_language: &str) -> Language {
    let ranges: Vec<_> = accept_language.split(',').take(MAX_RANGES).filter_map(LanguageRange::parse).collect();
    let preference_of = |language: &Language| preference(&ranges, *language);
    // `max_by_key` returns the last of several equal elements, hence `rev`.
    let acceptable = Language::ALL.iter().copied().rev().filter(|language| preference_of(language).weight > 0);
    let best = acceptable.max_by_key(preference_of);
    best.unwrap_or(Language::FALLBACK)
}

/// How much the client prefers a language; a greater value wins.
#[derive(Default, PartialEq, Eq, PartialOrd, Ord)]
struct Preference {
    weight: u16,
    /// Greater for a range that comes earlier in the header, 0 for `*`.
    rank: usize,
}

fn preference(ranges: &[LanguageRange<'_>], language: Language) -> Preference {
    let matching = ranges.iter().rev().enumerate().filter(|(_, range)| range.matches(language.tag()));
    let named = matching.map(|(following, range)| Preference { weight: range.weight, rank: following + 1 }).max();
    let wildcards = ranges.iter().filter(|range| range.tag == "*");
    let wildcard = || wildcards.map(|range| Preference { weight: range.weight, rank: 0 }).max();
    named.or_else(wildcard).unwrap_or_default()
}

impl<'a> LanguageRange<'a> {
    /// Parses one element of the header, or returns `None` if it is malformed.
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(|part| part.trim_matches([' ', '\t']));
        let tag = parts.next().filter(|tag| *tag == "*" || is_tag(tag))?;
        let weight = parts.next().map_or(Some(1000), weight)?;
        parts.next().is_none().then_some(Self { tag, weight })
    }

    /// Whether the range or the tag is a prefix of the other: `fr-CA` matches `fr`, and `fr` would match `fr-CA`.
    fn matches(&self, tag: &str) -> bool {
        let mut subtags = self.tag.split('-').zip(tag.split('-'));
        subtags.all(|(requested, supported)| requested.eq_ignore_ascii_case(supported))
    }
}

fn is_tag(text: &str) -> bool {
    text.split('-').all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// Parses `q=` and a number from 0 to 1 with at most three decimals, into thousandths.
fn weight(parameter: &str) -> Option<u16> {
    let (name, value) = parameter.split_once('=')?;
    let (whole, digits) = value.split_once('.').unwrap_or((value, ""));
    let is_number = digits.len() <= 3 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let thousandths = format!("{digits:0<3}").parse().ok().filter(|_| is_number && name.eq_ignore_ascii_case("q"))?;
    match (whole, thousandths) {
        ("0", _) => Some(thousandths),
        ("1", 0) => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use Language::{English, French};

    /// The cases use `qaa`, which is reserved for private use: it stays unsupported whichever languages are added.
    fn assert_preferred(cases: &[(&str, Language)]) {
        for (header, expected) in cases {
            assert_eq!(preferred(header), *expected, "{header:?}");
        }
    }

    #[test]
    fn greatest_weight_wins() {
        assert_preferred(&[
            ("fr", French),
            ("en", English),
            ("fr-CA, en;q=0.5", French),
            ("en;q=0.5, fr-CA", French),
            ("qaa-DE, qaa;q=0.9, en;q=0.8, fr;q=0.7", English),
            ("qaa, fr;q=0.001", French),
            ("en;q=0.998, fr;q=0.999", French),
            ("en;q=0.9, fr;q=0.90", English),
            ("FR-ca", French),
            ("fr;Q=1.000\t, en ; q=0.9", French),
            ("en;q=0.3, fr-CH;q=0.2, fr-FR;q=0.4", French),
        ]);
    }

    #[test]
    fn equal_weights_prefer_the_first_and_a_named_range() {
        assert_preferred(&[
            ("fr, en", French),
            ("en, fr", English),
            ("qaa, en;q=0.5, fr;q=0.5", English),
            ("*", English),
            ("*, fr", French),
            ("fr;q=0.5, *", English),
            ("fr;q=0.5, *;q=0.1", French),
            ("en;q=0, *", Language::ALL[1]),
            ("en-GB;q=0, *;q=0.1", Language::ALL[1]),
        ]);
    }

    #[test]
    fn excluded_languages_are_used_only_as_the_fallback() {
        assert_preferred(&[
            ("fr;q=0", English),
            ("fr;q=0.000, en;q=0.001", English),
            ("en;q=0, fr;q=0.1", French),
            ("en;q=0", English),
            ("*;q=0", English),
            ("*;q=0, fr;q=0.2", French),
        ]);
    }

    #[test]
    fn malformed_ranges_are_ignored() {
        for malformed in [
            "",
            ",",
            ";",
            "fr_CA",
            "french-speaking",
            "fr-",
            "-fr",
            "f r",
            "fr;q=",
            "fr;q=1.1",
            "fr;q=2",
            "fr;q=.5",
            "fr;q=0.1234",
            "fr;q=-1",
            "fr;q=1e0",
            "fr;q =1",
            "fr;level=1",
            "fr;q=1;q=0",
            "fra",
            "frr",
            "*-fr",
            "fr*",
            "ｆｒ",
            "français",
            "\"fr\"",
        ] {
            assert_preferred(&[
                (malformed, English),
                (&format!("{malformed}, en;q=0.1"), English),
                (&format!("{malformed}, fr;q=0.1"), French),
            ]);
        }
    }

    #[test]
    fn ranges_after_the_maximum_are_ignored() {
        let after = |others: usize| format!("{}fr", "qaa,".repeat(others));
        assert_preferred(&[
            (&after(MAX_RANGES - 1), French),
            (&after(MAX_RANGES), English),
            (&after(100_000), English),
        ]);
    }

    proptest! {
        #[test]
        fn first_range_without_a_weight_wins_over_any_rest(rest in "([enfr*;,=.q01é -]|en|fr|;q=){0,40}") {
            for language in Language::ALL {
                prop_assert_eq!(preferred(&format!("{},{rest}", language.tag())), *language);
            }
        }
    }
}
