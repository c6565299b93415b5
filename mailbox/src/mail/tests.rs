use super::*;

fn parsed(source: &str) -> Value {
    serde_json::to_value(Mail::parse(Uuid::nil(), ReadStatus::Unread, "/x.eml".into(), source.as_bytes())).unwrap()
}

#[test]
fn json_has_the_members_of_maildev() {
    let mail = parsed(
        "Return-Path: <bounce@example.com>\r\nX-Envelope-To: <ada@example.com>\r\n\
         Received: from [127.0.0.1] ([127.0.0.1]) by localhost with ESMTP id x; today\r\n\
         From: =?utf-8?b?QcOvZGE=?= <from@example.com>\r\nTo: ada@example.com\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\
         Message-ID: <1@example.com>\r\nDate: Sat, 21 Nov 2026 12:00:00 +0100\r\nX-Twice: a\r\nX-Twice: b\r\nX-Twice: c\r\n\
         \r\nhello\r\n0042\r\n",
    );
    let expected = json!({
        "id": Uuid::nil(), "time": "1970-01-01T00:00:00Z", "read": false, "priority": "normal", "attachments": [],
        "from": [{ "address": "from@example.com", "name": "Aïda" }], "to": [{ "address": "ada@example.com", "name": "" }],
        "subject": "Grüße", "text": "hello\n0042\n", "messageId": "1@example.com", "date": "2026-11-21T11:00:00Z",
        "headers": {
            "from": "Aïda <from@example.com>", "to": "ada@example.com", "subject": "Grüße",
            "message-id": "<1@example.com>", "date": "Sat, 21 Nov 2026 12:00:00 +0100", "x-twice": ["a", "b", "c"],
        },
        "envelope": {
            "from": { "address": "bounce@example.com", "args": false },
            "to": [{ "address": "ada@example.com", "args": false }], "host": "[127.0.0.1]", "remoteAddress": "127.0.0.1",
        },
        "source": "/x.eml", "size": 225, "sizeHuman": "225 Bytes",
    });
    assert_eq!(mail, expected);
}

#[test]
fn html_only_mail_has_no_text() {
    let mail = parsed("Content-Type: text/html\r\n\r\n<p>hello</p>\r\n");
    assert_eq!((&mail["html"], mail.get("text")), (&json!("<p>hello</p>\n"), None));
}

#[test]
fn malformed_files_parse_to_a_mail() {
    for source in [
        "",
        "\r\n",
        "\0\0\0",
        "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x",
        ": \r\n :\r\n\r\n",
        "From: \u{fffd}<<>>",
    ] {
        assert_eq!(parsed(source)["size"], source.len());
    }
}

#[test]
fn human_sizes_have_the_format_of_maildev() {
    for (bytes, text) in
        [(0, "0 Bytes"), (1023, "1023 Bytes"), (1536, "1.5 KB"), (1_048_576, "1 MB"), (3333, "3.25 KB")]
    {
        assert_eq!(human_size(bytes), text);
    }
}

#[test]
fn unparseable_body_still_yields_the_headers() {
    let truncated = "Content-Type: multipart/mixed; boundary=b\r\n\r\n\
         --b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nh=\r\n--b--\r\n";
    let nested = "Content-Type: message/rfc822\r\n\r\n".repeat(30_000);
    for body in [truncated, &nested] {
        assert_eq!(parsed(&format!("Subject: broken\r\n{body}"))["subject"], "broken");
    }
}
