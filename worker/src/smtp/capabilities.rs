//! What the mail server can do beyond the least, from its answer to EHLO. lettre keeps such a list too, but does not
//! know PIPELINING.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Its clones share what was heard: one is the stream's, and one is for who opened it, for the stream itself is
/// lettre's by then.
#[derive(Clone, Default)]
pub(crate) struct Capabilities {
    is_answer: bool,
    pipelining: Arc<AtomicBool>,
}

impl Capabilities {
    /// Whether several commands may be said at once (RFC 2920).
    pub(crate) fn pipelining(&self) -> bool {
        self.pipelining.load(Ordering::Relaxed)
    }

    /// We have said this. With EHLO all that was offered before is forgotten.
    pub(crate) fn said(&mut self, words: &[u8]) {
        self.is_answer = words.starts_with(b"EHLO ");
        if self.is_answer {
            self.pipelining.store(false, Ordering::Relaxed);
        }
    }

    /// The server has said this line.
    pub(crate) fn heard(&self, line: &[u8]) {
        if self.is_answer && is_offer(line, "PIPELINING") {
            self.pipelining.store(true, Ordering::Relaxed);
        }
    }
}

/// Whether a line is this word after its code.
pub(crate) fn is_offer(line: &[u8], word: &str) -> bool {
    line.get(4..).is_some_and(|text| text.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_is_one_word_after_the_code() {
        for line in ["250-PIPELINING\r\n", "250 PIPELINING\r\n", "250-Pipelining \r\n"] {
            assert!(is_offer(line.as_bytes(), "PIPELINING"), "{line}");
        }
        for line in ["250-NOPIPELINING\r\n", "250-PIPELINING=1\r\n", "250-8BITMIME PIPELINING\r\n", "250\r\n", "\r\n"] {
            assert!(!is_offer(line.as_bytes(), "PIPELINING"), "{line}");
        }
    }

    #[test]
    fn only_the_answer_to_the_last_ehlo_counts() {
        let mut offers = Capabilities::default();
        let opener = offers.clone();
        offers.heard(b"220 PIPELINING\r\n");
        assert!(!opener.pipelining(), "the greeting offers nothing");
        offers.said(b"EHLO localhost\r\n");
        offers.heard(b"250-PIPELINING\r\n");
        offers.heard(b"250 SIZE 1\r\n");
        offers.said(b"NOOP\r\n");
        assert!(opener.pipelining());
        offers.said(b"EHLO localhost\r\n");
        offers.heard(b"250 SIZE 1\r\n");
        assert!(!opener.pipelining(), "it is not offered any more");
    }
}
