use super::*;

struct Client(Session);

impl Client {
    fn new() -> Client {
        Client(Session::new([127, 0, 0, 1].into()))
    }

    /// A client that has sent everything up to and including DATA.
    fn after_data() -> Client {
        let mut client = Client::new();
        for (line, code) in [("EHLO me", 250), ("MAIL FROM:<a@x.io>", 250), ("RCPT TO:<b@x.io>", 250), ("DATA", 354)] {
            assert_eq!(client.code(line), code);
        }
        client
    }

    fn reply(&mut self, line: &str) -> String {
        match self.0.handle_line(Line::Complete(line.as_bytes())) {
            Action::Reply(reply) => reply.into_owned(),
            Action::ReplyAndClose(reply) => reply.into(),
            Action::Continue | Action::Store(_) => panic!("no reply to {line}"),
        }
    }

    fn code(&mut self, line: &str) -> u16 {
        self.reply(line)[..3].parse().unwrap()
    }

    fn send_text(&mut self, line: &[u8]) {
        assert!(matches!(self.0.handle_line(Line::Complete(line)), Action::Continue), "{line:?}");
    }

    fn end_message(&mut self) -> ReceivedMail {
        let Action::Store(mail) = self.0.handle_line(Line::Complete(b".")) else { panic!("no mail to store") };
        mail
    }
}

#[test]
fn session_is_reset_after_a_mail() {
    let mut client = Client::after_data();
    client.send_text(b"Subject: hello");
    client.send_text(b"");
    let ReceivedMail { envelope, message } = client.end_message();
    assert_eq!(message, b"Subject: hello\r\n\r\n");
    let expected = Envelope {
        from: "a@x.io".into(),
        to: vec!["b@x.io".into()],
        host: "me".into(),
        remote_address: [127, 0, 0, 1].into(),
    };
    assert_eq!(envelope, expected);
    assert_eq!(client.code("DATA"), 503);
    assert_eq!(client.code("MAIL FROM:<>"), 250);
    assert!(matches!(client.0.handle_line(Line::Complete(b"QUIT")), Action::ReplyAndClose(_)));
}

#[test]
fn out_of_order_commands_are_rejected() {
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
fn ehlo_announces_the_extensions_and_helo_does_not() {
    let expected = "250-localhost\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 SIZE 1048576";
    assert_eq!(Client::new().reply("EHLO me"), expected);
    assert_eq!(Client::new().reply("HELO me"), "250 localhost");
}

#[test]
fn dot_stuffing_is_removed() {
    let mut client = Client::after_data();
    for line in ["..", "...", "..hidden", ".lone", "end."] {
        client.send_text(line.as_bytes());
    }
    assert_eq!(client.end_message().message, b".\r\n..\r\n.hidden\r\nlone\r\nend.\r\n");
}

/// SMTP smuggling (CVE-2023-51764 and similar): a sequence that only resembles CRLF.CRLF must not end a message.
#[test]
fn smuggled_second_mail_stays_text() {
    let mut client = Client::after_data();
    let smuggled: [&[u8]; 5] = [b"x\n.\nMAIL FROM:<eve@x.io>", b"x\n.", b".\n", b"\r.\r", b".\r"];
    for line in smuggled {
        client.send_text(line);
    }
    client.send_text(b"MAIL FROM:<eve@x.io>");
    let ReceivedMail { envelope, message } = client.end_message();
    assert_eq!(envelope.from, "a@x.io");
    assert!(message.ends_with(b"MAIL FROM:<eve@x.io>\r\n"));
}

#[test]
fn size_limit_is_exact() {
    let line = [b'x'; 1022];
    for (more, fits) in [(0, true), (1, false)] {
        let mut client = Client::after_data();
        for _ in 0..MAX_MESSAGE_BYTES / 1024 - 1 {
            client.send_text(&line);
        }
        client.send_text(&[b'x'; 1023][..1022 + more]);
        if fits {
            assert_eq!(client.end_message().message.len(), MAX_MESSAGE_BYTES);
        } else {
            client.send_text(b"a short line after the limit");
            assert_eq!(client.code("."), 552);
            assert_eq!(client.code("MAIL FROM:<a@x.io>"), 250);
        }
    }
}

#[test]
fn declared_size_above_the_limit_is_rejected() {
    let mut client = Client::new();
    client.code("EHLO me");
    assert_eq!(client.code("MAIL FROM:<a@x.io> SIZE=1048577"), 552);
    assert_eq!(client.code("RCPT TO:<b@x.io>"), 503);
    assert_eq!(client.code("MAIL FROM:<a@x.io> SIZE=1048576"), 250);
}

#[test]
fn too_long_line_rejects_its_message() {
    let mut client = Client::new();
    assert!(matches!(client.0.handle_line(Line::TooLong), Action::Reply(reply) if reply.starts_with("500")));
    let mut client = Client::after_data();
    assert!(matches!(client.0.handle_line(Line::TooLong), Action::Continue));
    client.send_text(b"short");
    assert_eq!(client.code("."), 554);
}

#[test]
fn recipient_101_is_rejected() {
    let mut client = Client::new();
    client.code("EHLO me");
    client.code("MAIL FROM:<a@x.io>");
    for number in 0..100 {
        assert_eq!(client.code(&format!("RCPT TO:<{number}@x.io>")), 250);
    }
    assert_eq!(client.code("RCPT TO:<100@x.io>"), 452);
    assert_eq!(client.code("DATA"), 354);
    assert_eq!(client.end_message().envelope.to.len(), 100);
}

/// A web page can make its visitor's browser POST to any port of this machine.
#[test]
fn http_request_closes_the_connection() {
    let mut client = Client::new();
    assert!(matches!(client.0.handle_line(Line::Complete(b"POST / HTTP/1.1")), Action::ReplyAndClose(_)));
}
