//! The passwords that everybody tries first.

use std::cmp::Ordering;

/// One a line, lower case, sorted by their bytes. Made by us from what is commonly known to be common, see
/// `scripts/common-passwords`; with `--check` it says whether this is still what it makes.
const LIST: &str = include_str!("common_passwords.txt");

/// Halves the text as it stands: an index of its lines would have to be made first, and be larger than the list.
pub(crate) fn contains(lower: &str) -> bool {
    let mut left = LIST;
    while !left.is_empty() {
        let (before, line, after) = around_the_middle(left);
        left = match lower.cmp(line) {
            Ordering::Less => before,
            Ordering::Equal => return true,
            Ordering::Greater => after,
        };
    }
    false
}

/// The line in the middle, between the lines before and those after it.
fn around_the_middle(text: &str) -> (&str, &str, &str) {
    let middle = text.floor_char_boundary(text.len() / 2);
    let start = text[..middle].rfind('\n').map_or(0, |end| end + 1);
    let (before, rest) = text.split_at(start);
    let (line, after) = rest.split_once('\n').unwrap_or((rest, ""));
    (before, line, after)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use unicode_normalization::is_nfc;

    use super::*;

    #[test]
    fn the_list_holds_only_what_could_be_chosen_at_all() {
        for line in LIST.lines() {
            assert!(line.chars().count() >= 8 && line == line.trim() && line == line.to_lowercase(), "{line:?}");
            assert!(is_nfc(line) && !line.contains(char::is_control), "{line:?}");
        }
    }

    #[test]
    fn the_list_is_ten_thousand_lines_in_the_order_that_the_search_needs() {
        assert_eq!(LIST.lines().count(), 10_000);
        assert!(LIST.ends_with('\n') && LIST.lines().is_sorted_by(|one, next| one < next));
    }

    #[test]
    fn every_line_is_found_and_its_neighbours_are_not() {
        let lines: HashSet<_> = LIST.lines().collect();
        for line in LIST.lines() {
            assert!(contains(line), "{line:?}");
            let longer = ["x", "\n", " "].map(|end| format!("{line}{end}"));
            let shorter = line.char_indices().map(|(end, _)| &line[..end]);
            for neighbour in shorter.chain(longer.iter().map(String::as_str)) {
                assert_eq!(contains(neighbour), lines.contains(neighbour), "{neighbour:?}");
            }
        }
    }

    #[test]
    fn what_is_before_after_or_across_the_lines_is_not_found() {
        for stranger in ["", "\n", " ", "\u{10ffff}", "correct horse", "password\npassword!"] {
            assert!(!contains(stranger), "{stranger:?}");
        }
    }

    #[test]
    fn what_everybody_knows_to_be_common_is() {
        for known in [
            "password",
            "password1",
            "12345678",
            "qwertyuiop",
            "1qaz2wsx",
            "iloveyou",
            "trustno1",
            "p@ssw0rd",
            "dragon123",
            "liverpool",
            "aa123456",
            "changeme",
            "summer2025",
            "01011990",
            "contraseña",
            "motdepasse",
            "gfhjkm123",
        ] {
            assert!(contains(known), "{known:?}");
        }
    }
}
