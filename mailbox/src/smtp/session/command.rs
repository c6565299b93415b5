//! Parser of SMTP commands.

const BAD_SYNTAX: &str = "501 5.5.4 Syntax error in the arguments of the command.";
const BAD_ADDRESS: &str = "501 5.1.3 Invalid address; expected one like <ada@example.com>.";
const UNKNOWN: &str = "500 5.5.1 Unknown command.";
const NOT_IMPLEMENTED: &str = "502 5.5.1 This server does not implement the command.";
const UNKNOWN_PARAMETER: &str = "555 5.5.4 This server does not support the parameter.";

/// RFC 5321 allows 256 bytes for an address with its angle brackets.
const MAX_ADDRESS_BYTES: usize = 254;

/// A parsed command. Its strings contain printable ASCII only.
#[derive(Debug, PartialEq)]
pub(super) enum Command {
    Hello {
        host: String,
        extended: bool,
    },
    Mail {
        from: String,
        size: Option<usize>,
    },
    Rcpt {
        to: String,
    },
    Data,
    Rset,
    Noop,
    Vrfy,
    Quit,
    /// The first line of an HTTP request.
    Http,
}

impl Command {
    /// Parses one line; an error is the reply to send.
    ///
    /// Control characters are rejected because the arguments are written into the headers of the stored file.
    pub(super) fn parse(line: &[u8]) -> Result<Command, &'static str> {
        let printable = |byte: &u8| matches!(byte, b' '..=b'~');
        let line = str::from_utf8(line).ok().filter(|line| line.bytes().all(|byte| printable(&byte)));
        let line = line.ok_or("500 5.5.2 A command must be one line of printable ASCII.")?.trim_end();
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        match (&*verb.to_ascii_uppercase(), rest) {
            _ if line.contains(" HTTP/") => Ok(Command::Http),
            ("EHLO", host) => Ok(Command::Hello { host: host_name(host)?, extended: true }),
            ("HELO", host) => Ok(Command::Hello { host: host_name(host)?, extended: false }),
            ("MAIL", rest) => mail(rest),
            ("RCPT", rest) => rcpt(rest),
            ("DATA", "") => Ok(Command::Data),
            ("RSET", "") => Ok(Command::Rset),
            ("QUIT", "") => Ok(Command::Quit),
            ("NOOP", _) => Ok(Command::Noop),
            ("VRFY", user) if !user.is_empty() => Ok(Command::Vrfy),
            ("DATA" | "RSET" | "QUIT" | "VRFY", _) => Err(BAD_SYNTAX),
            ("EXPN" | "HELP" | "TURN" | "ETRN" | "AUTH" | "STARTTLS" | "BDAT", _) => Err(NOT_IMPLEMENTED),
            _ => Err(UNKNOWN),
        }
    }
}

fn host_name(host: &str) -> Result<String, &'static str> {
    let is_valid = !host.is_empty() && host.len() <= 255 && !host.contains(' ');
    if is_valid { Ok(host.to_owned()) } else { Err("501 5.5.4 EHLO and HELO need exactly one host name.") }
}

fn mail(rest: &str) -> Result<Command, &'static str> {
    let (from, parameters) = split_path(rest, "FROM:")?;
    let mut size = None;
    for parameter in parameters.split_ascii_whitespace() {
        match parameter.split_once('=').map(|(name, value)| (name.to_ascii_uppercase(), value)) {
            Some((name, value)) if name == "SIZE" => size = Some(value.parse().map_err(|_| BAD_SYNTAX)?),
            Some((name, value)) if name == "BODY" && is_body_type(value) => {}
            _ => return Err(UNKNOWN_PARAMETER),
        }
    }
    // The null sender `<>` marks mails that must not be replied to, such as bounces.
    if from.is_empty() || is_address(from) {
        Ok(Command::Mail { from: from.to_owned(), size })
    } else {
        Err(BAD_ADDRESS)
    }
}

fn rcpt(rest: &str) -> Result<Command, &'static str> {
    let (to, parameters) = split_path(rest, "TO:")?;
    if !parameters.trim().is_empty() {
        return Err(UNKNOWN_PARAMETER);
    }
    if is_address(to) || to.eq_ignore_ascii_case("postmaster") {
        Ok(Command::Rcpt { to: to.to_owned() })
    } else {
        Err(BAD_ADDRESS)
    }
}

fn is_body_type(value: &str) -> bool {
    ["7BIT", "8BITMIME"].iter().any(|known| known.eq_ignore_ascii_case(value))
}

/// Splits `FROM:<ada@example.com> SIZE=1` into the text between the brackets and the text after them.
fn split_path<'a>(rest: &'a str, keyword: &str) -> Result<(&'a str, &'a str), &'static str> {
    let (start, path) = rest.split_at_checked(keyword.len()).ok_or(BAD_SYNTAX)?;
    let path = path.trim_start().strip_prefix('<').filter(|_| start.eq_ignore_ascii_case(keyword)).ok_or(BAD_SYNTAX)?;
    let (mut quoted, mut escaped) = (false, false);
    let end = path.find(|letter| {
        let ends = letter == '>' && !quoted;
        quoted ^= letter == '"' && !escaped;
        escaped = letter == '\\' && quoted && !escaped;
        ends
    });
    let (address, rest) = path.split_at(end.ok_or(BAD_SYNTAX)?);
    let rest = &rest[1..];
    if rest.is_empty() || rest.starts_with(' ') { Ok((address, rest)) } else { Err(BAD_SYNTAX) }
}

/// Whether the text has the syntax of an address; whether the address exists does not matter here.
fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let is_quoted = local.len() > 2 && local.starts_with('"') && local.ends_with('"');
    let is_plain = !local.is_empty() && !local.contains([' ', '"', '<', '@']);
    text.len() <= MAX_ADDRESS_BYTES
        && (is_quoted || is_plain)
        && !domain.is_empty()
        && !domain.contains([' ', '"', '<'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, u16> {
        Command::parse(line.as_bytes()).map_err(|reply| reply[..3].parse().unwrap())
    }

    #[test]
    fn commands_are_case_insensitive() {
        let mail = |from: &str, size| Ok(Command::Mail { from: from.into(), size });
        assert_eq!(parse("mail from:<a@x.io>"), mail("a@x.io", None));
        assert_eq!(parse("MAIL FROM: <> body=8bitmime SIZE=12"), mail("", Some(12)));
        assert_eq!(parse(r#"RCPT TO:<"a > \" b"@x.io>"#), Ok(Command::Rcpt { to: r#""a > \" b"@x.io"#.into() }));
        assert_eq!(parse("Rcpt To:<Postmaster>"), Ok(Command::Rcpt { to: "Postmaster".into() }));
        assert_eq!(parse("ehlo [::1]  "), Ok(Command::Hello { host: "[::1]".into(), extended: true }));
        assert_eq!(parse("noop anything"), Ok(Command::Noop));
        assert_eq!(parse("VRFY ada"), Ok(Command::Vrfy));
        assert_eq!(parse("POST /x HTTP/1.1"), Ok(Command::Http));
    }

    #[test]
    fn malformed_commands_are_rejected() {
        for (line, code) in [
            ("", 500),
            ("HULLO", 500),
            ("EHLO", 501),
            ("EHLO a b", 501),
            ("HELO", 501),
            ("MAIL", 501),
            ("MAIL FROM:a@x.io", 501),
            ("MAIL FROM:<a@x.io", 501),
            ("MAIL FROM:<a@x.io>SIZE=1", 501),
            ("MAIL FROM:<a@x.io> SIZE=x", 501),
            ("MAIL FROM:<a@x.io> SMTPUTF8", 555),
            ("MAIL FROM:<a@x.io> BODY=BINARYMIME", 555),
            ("MAIL TO:<a@x.io>", 501),
            ("RCPT TO:<>", 501),
            ("RCPT TO:<ada>", 501),
            ("RCPT TO:<a b@x.io>", 501),
            ("RCPT TO:<a@x.io> NOTIFY=NEVER", 555),
            ("RCPT TO:<a@b@x.io>", 501),
            ("RCPT TO:<@x.io>", 501),
            ("DATA now", 501),
            ("RSET x", 501),
            ("VRFY", 501),
            ("STARTTLS", 502),
            ("HELP", 502),
            ("RCPT TO:<ä@x.io>", 500),
            ("RCPT TO:<a\r@x.io>", 500),
            ("NOOP\0", 500),
        ] {
            assert_eq!(parse(line), Err(code), "{line}");
        }
        assert_eq!(parse(&format!("RCPT TO:<{}@x.io>", "a".repeat(250))), Err(501));
    }
}
