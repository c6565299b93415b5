//! The passwords that everybody tries first.

/// One a line, lower case. Made by us from what is commonly known to be common.
const LIST: &str = include_str!("common_passwords.txt");

pub(crate) fn contains(lower: &str) -> bool {
    LIST.lines().any(|common| common == lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_holds_only_what_could_be_chosen_at_all() {
        for line in LIST.lines() {
            assert!(line.len() >= 8 && line == line.trim() && line == line.to_lowercase(), "{line:?}");
        }
        assert!(contains("password") && contains("12345678") && !contains("") && !contains("correct horse"));
    }
}
