//! Capabilities (SMTP extensions) that the mail server lists in its EHLO reply. lettre keeps such a list, too, but
//! ignores PIPELINING.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// The capabilities of one connection. Clones share their state: the stream updates one, and the code that opened the
/// connection reads another, because lettre owns the stream by then.
#[derive(Clone, Default)]
pub(crate) struct Capabilities {
    is_ehlo_reply: bool,
    pipelining: Arc<AtomicBool>,
}

impl Capabilities {
    /// Whether several commands may be sent without waiting for replies (RFC 2920).
    pub(crate) fn pipelining(&self) -> bool {
        self.pipelining.load(Ordering::Relaxed)
    }

    /// Must be called with what was sent. EHLO resets the capabilities.
    pub(crate) fn on_sent(&mut self, bytes: &[u8]) {
        self.is_ehlo_reply = bytes.starts_with(b"EHLO ");
        if self.is_ehlo_reply {
            self.pipelining.store(false, Ordering::Relaxed);
        }
    }

    /// Must be called with each line of a reply.
    pub(crate) fn on_reply_line(&self, line: &[u8]) {
        if self.is_ehlo_reply && is_capability(line, "PIPELINING") {
            self.pipelining.store(true, Ordering::Relaxed);
        }
    }
}

/// Whether the line of an EHLO reply is exactly this keyword after its code.
pub(crate) fn is_capability(line: &[u8], keyword: &str) -> bool {
    line.get(4..).is_some_and(|text| text.trim_ascii().eq_ignore_ascii_case(keyword.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capability_is_one_keyword_after_the_code() {
        for line in ["250-PIPELINING\r\n", "250 PIPELINING\r\n", "250-Pipelining \r\n"] {
            assert!(is_capability(line.as_bytes(), "PIPELINING"), "{line}");
        }
        for line in ["250-NOPIPELINING\r\n", "250-PIPELINING=1\r\n", "250-8BITMIME PIPELINING\r\n", "250\r\n", "\r\n"] {
            assert!(!is_capability(line.as_bytes(), "PIPELINING"), "{line}");
        }
    }

    #[test]
    fn only_the_last_ehlo_reply_counts() {
        let mut capabilities = Capabilities::default();
        let reader = capabilities.clone();
        capabilities.on_reply_line(b"220 PIPELINING\r\n");
        assert!(!reader.pipelining(), "the greeting lists no capabilities");
        capabilities.on_sent(b"EHLO localhost\r\n");
        capabilities.on_reply_line(b"250-PIPELINING\r\n");
        capabilities.on_reply_line(b"250 SIZE 1\r\n");
        capabilities.on_sent(b"NOOP\r\n");
        assert!(reader.pipelining());
        capabilities.on_sent(b"EHLO localhost\r\n");
        capabilities.on_reply_line(b"250 SIZE 1\r\n");
        assert!(!reader.pipelining(), "not listed in the last reply");
    }
}
