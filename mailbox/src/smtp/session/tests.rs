use super::*;

struct Client(Session);

impl Client {
    fn new() -> Client {
        Client(Session::new([127, 0, 0, 1].into()))
    }

    /// Has said everything up to the text of a mail.
    fn in_a_mail() -> Client {
        let mut client = Client::new();
        for (line, code) in [("EHLO me", 250), ("MAIL FROM:<a@x.io>", 250), ("RCPT TO:<b@x.io>", 250), ("DATA", 354)] {
            assert_eq!(client.code(line), code);
        }
        client
    }

    fn reply(&mut self, line: &str) -> String {
        match self.0.hear(Line::Whole(line.as_bytes())) {
            Answer::Say(reply) => reply.into_owned(),
            Answer::Leave(reply) => reply.into(),
            Answer::Nothing | Answer::Keep(_) => panic!("no reply to {line}"),
        }
    }

    fn code(&mut self, line: &str) -> u16 {
        self.reply(line)[..3].parse().unwrap()
    }

    fn text(&mut self, line: &[u8]) {
        assert!(matches!(self.0.hear(Line::Whole(line)), Answer::Nothing), "{line:?}");
    }

    fn dot(&mut self) -> Delivery {
        let Answer::Keep(delivery) = self.0.hear(Line::Whole(b".")) else { panic!("nothing to keep") };
        delivery
    }
}

#[test]
fn a_mail_goes_through_and_the_next_one_begins_anew() {
    let mut client = Client::in_a_mail();
    client.text(b"Subject: hello");
    client.text(b"");
    let Delivery { envelope, message } = client.dot();
    assert_eq!(message, b"Subject: hello\r\n\r\n");
    let (from, to, host) = ("a@x.io".into(), vec!["b@x.io".into()], "me".into());
    assert_eq!(envelope, Envelope { from, to, host, remote_address: [127, 0, 0, 1].into() });
    assert_eq!(client.code("DATA"), 503);
    assert_eq!(client.code("MAIL FROM:<>"), 250);
    assert!(matches!(client.0.hear(Line::Whole(b"QUIT")), Answer::Leave(_)));
}

#[test]
fn commands_out_of_order_are_refused() {
    let mut client = Client::new();
    for (line, code) in [
        ("MAIL FROM:<a@x.io>", 503),
        ("HELO me", 250),
        ("RCPT TO:<b@x.io>", 503),
        ("DATA", 503),
        ("MAIL FROM:<a@x.io>", 250),
        ("DATA", 503),
        ("MAIL FROM:<a@x.io>", 503),
        ("RCPT TO:<b@x.io>", 250),
        ("RSET", 250),
        ("RCPT TO:<b@x.io>", 503),
        ("MAIL FROM:<a@x.io>", 250),
        ("EHLO me again", 501),
        ("RCPT TO:<b@x.io>", 250),
        ("EHLO me-again", 250),
        ("RCPT TO:<b@x.io>", 503),
        ("NOOP", 250),
        ("VRFY ada", 252),
        ("AUTH PLAIN", 502),
        ("WHATEVER", 500),
    ] {
        assert_eq!(client.code(line), code, "{line}");
    }
}

#[test]
fn the_extensions_are_announced_to_those_who_ask() {
    let expected = "250-localhost\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 SIZE 1048576";
    assert_eq!(Client::new().reply("EHLO me"), expected);
    assert_eq!(Client::new().reply("HELO me"), "250 localhost");
}

#[test]
fn a_dot_that_was_stuffed_in_is_taken_out() {
    let mut client = Client::in_a_mail();
    for line in ["..", "...", "..hidden", ".lone", "end."] {
        client.text(line.as_bytes());
    }
    assert_eq!(client.dot().message, b".\r\n..\r\n.hidden\r\nlone\r\nend.\r\n");
}

/// CVE-2023-51764 and its relatives: what only looks like the end must not end a mail.
#[test]
fn no_second_mail_is_smuggled_in() {
    let mut client = Client::in_a_mail();
    let smuggled: [&[u8]; 5] = [b"x\n.\nMAIL FROM:<eve@x.io>", b"x\n.", b".\n", b"\r.\r", b".\r"];
    for line in smuggled {
        client.text(line);
    }
    client.text(b"MAIL FROM:<eve@x.io>");
    let Delivery { envelope, message } = client.dot();
    assert_eq!(envelope.from, "a@x.io");
    assert!(message.ends_with(b"MAIL FROM:<eve@x.io>\r\n"));
}

#[test]
fn the_largest_mail_is_taken_and_one_byte_more_is_not() {
    let line = [b'x'; 1022];
    for (more, fits) in [(0, true), (1, false)] {
        let mut client = Client::in_a_mail();
        for _ in 0..MAX_MAIL_BYTES / 1024 - 1 {
            client.text(&line);
        }
        client.text(&[b'x'; 1023][..1022 + more]);
        if fits {
            assert_eq!(client.dot().message.len(), MAX_MAIL_BYTES);
        } else {
            client.text(b"however short the rest is");
            assert_eq!(client.code("."), 552);
            assert_eq!(client.code("MAIL FROM:<a@x.io>"), 250);
        }
    }
}

#[test]
fn a_mail_that_says_it_is_too_large_is_refused_before_it_is_sent() {
    let mut client = Client::new();
    client.code("EHLO me");
    assert_eq!(client.code("MAIL FROM:<a@x.io> SIZE=1048577"), 552);
    assert_eq!(client.code("RCPT TO:<b@x.io>"), 503);
    assert_eq!(client.code("MAIL FROM:<a@x.io> SIZE=1048576"), 250);
}

#[test]
fn a_line_that_is_too_long_is_refused_and_its_mail_with_it() {
    let mut client = Client::new();
    assert!(matches!(client.0.hear(Line::TooLong), Answer::Say(reply) if reply.starts_with("500")));
    let mut client = Client::in_a_mail();
    assert!(matches!(client.0.hear(Line::TooLong), Answer::Nothing));
    client.text(b"short");
    assert_eq!(client.code("."), 554);
}

#[test]
fn the_hundred_and_first_recipient_is_refused() {
    let mut client = Client::new();
    client.code("EHLO me");
    client.code("MAIL FROM:<a@x.io>");
    for number in 0..100 {
        assert_eq!(client.code(&format!("RCPT TO:<{number}@x.io>")), 250);
    }
    assert_eq!(client.code("RCPT TO:<100@x.io>"), 452);
    assert_eq!(client.code("DATA"), 354);
    assert_eq!(client.dot().envelope.to.len(), 100);
}

/// A web page can make its visitor's browser POST to any port of this machine.
#[test]
fn a_browser_is_shown_the_door() {
    let mut client = Client::new();
    assert!(matches!(client.0.hear(Line::Whole(b"POST / HTTP/1.1")), Answer::Leave(_)));
}
