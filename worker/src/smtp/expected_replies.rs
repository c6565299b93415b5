//! Counts the replies that the mail server still has to send: one for each command, and one for an email with its final
//! dot.

/// The number of outstanding replies on a connection.
pub(crate) struct ExpectedReplies {
    replies: usize,
    /// An email follows DATA: its lines are not commands.
    is_email_next: bool,
}

impl ExpectedReplies {
    /// The state of a new connection: the server sends a greeting first.
    pub(crate) fn greeting() -> ExpectedReplies {
        ExpectedReplies { replies: 1, is_email_next: false }
    }

    /// Must be called with what was sent: complete commands, or a complete email with its final dot.
    pub(crate) fn on_sent(&mut self, bytes: &[u8]) {
        let is_email = std::mem::take(&mut self.is_email_next);
        self.replies = if is_email { 1 } else { bytes.iter().filter(|byte| **byte == b'\n').count() };
        self.is_email_next = !is_email && (bytes == b"DATA\r\n" || bytes.ends_with(b"\nDATA\r\n"));
    }

    /// Must be called with each line of a reply. The last line of a reply has no hyphen after its code.
    pub(crate) fn on_reply_line(&mut self, line: &[u8]) {
        if line.get(3) != Some(&b'-') {
            self.replies = self.replies.saturating_sub(1);
        }
    }

    /// Whether no reply is outstanding.
    pub(crate) fn is_empty(&self) -> bool {
        self.replies == 0
    }
}

#[cfg(test)]
mod tests {
    use super::ExpectedReplies;

    /// Counts the replies that are expected after these commands.
    fn replies_to(expected: &mut ExpectedReplies, sent: &str) -> usize {
        expected.on_sent(sent.as_bytes());
        let mut received = 0;
        while !expected.is_empty() {
            expected.on_reply_line(b"250-more\r\n");
            expected.on_reply_line(b"250 \r\n");
            received += 1;
        }
        received
    }

    #[test]
    fn each_command_and_each_email_has_one_reply() {
        let mut expected = ExpectedReplies::greeting();
        assert!(!expected.is_empty());
        expected.on_reply_line(b"220 here\r\n");
        assert!(expected.is_empty());
        assert_eq!(replies_to(&mut expected, "EHLO localhost\r\n"), 1);
        assert_eq!(replies_to(&mut expected, "MAIL FROM:<a@x.io>\r\n"), 1);
        assert_eq!(replies_to(&mut expected, "DATA\r\n"), 1);
        assert_eq!(replies_to(&mut expected, "Subject: one\r\n\r\nEHLO\r\nDATA\r\n.\r\n"), 1);
        assert_eq!(replies_to(&mut expected, "MAIL FROM:<a@x.io>\r\nRCPT TO:<b@x.io>\r\nDATA\r\n"), 3);
        assert_eq!(replies_to(&mut expected, "Subject: two\r\n\r\nhello\r\n.\r\n"), 1);
        assert_eq!(replies_to(&mut expected, "EHLO xDATA\r\n"), 1);
        assert_eq!(replies_to(&mut expected, "MAIL FROM:<a@x.io>\r\nRCPT TO:<b@x.io>\r\nDATA\r\n"), 3);
        assert_eq!(replies_to(&mut expected, "Subject: three\r\n\r\nhello\r\n.\r\n"), 1);
        assert_eq!(replies_to(&mut expected, "QUIT\r\n"), 1);
    }
}
