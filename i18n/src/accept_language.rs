//! Which of our languages somebody likes best, going by what their browser says (RFC 9110, 12.5.4).

use crate::Language;

/// Browsers send a handful. What comes after so many is not looked at.
const MOST_RANGES: usize = 32;

/// One of the list: `fr-CA;q=0.8`.
struct Range<'a> {
    /// A tag or the beginning of one, or `*`, which is for all that are not named.
    tag: &'a str,
    /// In thousandths; with 0 it is not wanted.
    weight: u16,
}

/// The one with the greatest weight; of several such, the one that is named first, and a named one before those that
/// are only not excluded. The fallback if none is wanted; what cannot be read is as if it were not there.
pub fn preferred(accept_language: &str) -> Language {
    let ranges: Vec<_> = accept_language.split(',').take(MOST_RANGES).filter_map(Range::parse).collect();
    let liked = |language: &Language| liking(&ranges, *language);
    // The last one of those that are equal is what `max_by_key` finds, hence backwards.
    let best = Language::ALL.iter().copied().rev().filter(|language| liked(language).0 > 0).max_by_key(liked);
    best.unwrap_or(Language::FALLBACK)
}

/// What is greater is liked better: the weight, and how many ranges stand behind the one that names it.
fn liking(ranges: &[Range<'_>], language: Language) -> (u16, usize) {
    let naming = ranges.iter().rev().enumerate().filter(|(_, range)| range.names(language.tag()));
    let named = naming.map(|(behind, range)| (range.weight, behind + 1)).max();
    let any = || ranges.iter().filter(|range| range.tag == "*").map(|range| (range.weight, 0)).max();
    named.or_else(any).unwrap_or_default()
}

impl<'a> Range<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(|part| part.trim_matches([' ', '\t']));
        let tag = parts.next().filter(|tag| *tag == "*" || is_tag(tag))?;
        let weight = parts.next().map_or(Some(1000), weight)?;
        parts.next().is_none().then_some(Self { tag, weight })
    }

    /// French is what to give to whoever wants that of Canada; and if we had only that, whoever wants any French.
    fn names(&self, tag: &str) -> bool {
        let subtags = self.tag.split('-').zip(tag.split('-'));
        subtags.into_iter().all(|(wanted, ours)| wanted.eq_ignore_ascii_case(ours))
    }
}

fn is_tag(text: &str) -> bool {
    text.split('-').all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// `q=` and a number from 0 to 1 with at most three digits behind the point.
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

    /// `qaa` is set aside for private use: whatever is added here, it stays a language that nobody speaks.
    fn all(cases: &[(&str, Language)]) {
        for (header, expected) in cases {
            assert_eq!(preferred(header), *expected, "{header:?}");
        }
    }

    #[test]
    fn the_greatest_weight_wins() {
        all(&[
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
    fn of_equals_the_first_wins_and_a_named_one_before_any() {
        all(&[
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
    fn what_is_not_wanted_is_not_given_unless_there_is_nothing_else() {
        all(&[
            ("fr;q=0", English),
            ("fr;q=0.000, en;q=0.001", English),
            ("en;q=0, fr;q=0.1", French),
            ("en;q=0", English),
            ("*;q=0", English),
            ("*;q=0, fr;q=0.2", French),
        ]);
    }

    #[test]
    fn what_cannot_be_read_is_as_if_it_were_not_there() {
        for odd in [
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
            all(&[(odd, English), (&format!("{odd}, en;q=0.1"), English), (&format!("{odd}, fr;q=0.1"), French)]);
        }
    }

    #[test]
    fn only_so_many_are_looked_at() {
        let after = |others: usize| format!("{}fr", "qaa,".repeat(others));
        all(&[(&after(MOST_RANGES - 1), French), (&after(MOST_RANGES), English), (&after(100_000), English)]);
    }

    proptest! {
        #[test]
        fn whatever_is_named_after_it_the_first_without_a_doubt_is_spoken(rest in "([enfr*;,=.q01é -]|en|fr|;q=){0,40}") {
            for language in Language::ALL {
                prop_assert_eq!(preferred(&format!("{},{rest}", language.tag())), *language);
            }
        }
    }
}
