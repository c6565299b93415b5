//! How many replies the mail server owes us: one to each command, and one to a email with its dot.

pub(crate) struct ExpectedReplies {
    replies: usize,
    /// After DATA comes a email: its lines are no commands.
    is_letter_next: bool,
}

impl ExpectedReplies {
    /// The server speaks first.
    pub(crate) fn greeting() -> ExpectedReplies {
        ExpectedReplies { replies: 1, is_letter_next: false }
    }

    /// We have said this: whole commands, or a whole email with its dot.
    pub(crate) fn said(&mut self, words: &[u8]) {
        let is_letter = std::mem::take(&mut self.is_letter_next);
        self.replies = if is_letter { 1 } else { words.iter().filter(|byte| **byte == b'\n').count() };
        self.is_letter_next = !is_letter && (words == b"DATA\r\n" || words.ends_with(b"\nDATA\r\n"));
    }

    /// The last line of a reply is the one without a hyphen after its code.
    pub(crate) fn heard(&mut self, line: &[u8]) {
        if line.get(3) != Some(&b'-') {
            self.replies = self.replies.saturating_sub(1);
        }
    }

    pub(crate) fn is_nothing(&self) -> bool {
        self.replies == 0
    }
}

#[cfg(test)]
mod tests {
    use super::ExpectedReplies;

    /// How many replies can be heard after these words until nothing is due.
    fn replies(due: &mut ExpectedReplies, words: &str) -> usize {
        due.said(words.as_bytes());
        let mut heard = 0;
        while !due.is_nothing() {
            due.heard(b"250-more\r\n");
            due.heard(b"250 \r\n");
            heard += 1;
        }
        heard
    }

    #[test]
    fn each_command_has_its_reply_and_a_letter_has_one() {
        let mut due = ExpectedReplies::greeting();
        assert!(!due.is_nothing());
        due.heard(b"220 here\r\n");
        assert!(due.is_nothing());
        assert_eq!(replies(&mut due, "EHLO localhost\r\n"), 1);
        assert_eq!(replies(&mut due, "MAIL FROM:<a@x.io>\r\n"), 1);
        assert_eq!(replies(&mut due, "DATA\r\n"), 1);
        assert_eq!(replies(&mut due, "Subject: one\r\n\r\nEHLO\r\nDATA\r\n.\r\n"), 1);
        assert_eq!(replies(&mut due, "MAIL FROM:<a@x.io>\r\nRCPT TO:<b@x.io>\r\nDATA\r\n"), 3);
        assert_eq!(replies(&mut due, "Subject: two\r\n\r\nhello\r\n.\r\n"), 1);
        assert_eq!(replies(&mut due, "EHLO xDATA\r\n"), 1);
        assert_eq!(replies(&mut due, "MAIL FROM:<a@x.io>\r\nRCPT TO:<b@x.io>\r\nDATA\r\n"), 3);
        assert_eq!(replies(&mut due, "Subject: three\r\n\r\nhello\r\n.\r\n"), 1);
        assert_eq!(replies(&mut due, "QUIT\r\n"), 1);
    }
}
