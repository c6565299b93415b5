//! The SMTP dialogue of one connection, from the greeting to QUIT.

use std::{io, sync::Arc};

use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::fake_smtp::{
    behaviour::Stage,
    ledger::{Attempt, Ledger},
    login,
    mail::Mail,
    settings::{FakeSmtpSettings, Protection},
    wire::{Wire, closed},
};

/// What all connections of a server share.
pub(super) struct Shared {
    pub(super) settings: FakeSmtpSettings,
    pub(super) acceptor: Option<TlsAcceptor>,
    pub(super) ledger: Ledger,
}

/// The state of one connection.
struct Session {
    shared: Arc<Shared>,
    wire: Wire,
    /// The number of the connection, counting from 1.
    number: usize,
    encrypted: bool,
    logged_in: bool,
    from: Option<String>,
    to: Vec<String>,
}

/// Accepts connections and serves each in a task.
pub(super) async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let (tcp, _) = listener.accept().await.expect("a listener that accepts");
        tokio::spawn(serve(shared.clone(), tcp));
    }
}

async fn serve(shared: Arc<Shared>, tcp: TcpStream) {
    let (number, behaviour) = shared.ledger.write(|records| {
        records.connections += 1;
        (records.connections, records.next_connections.pop_front().or(records.every_connection))
    });
    tcp.set_nodelay(true).expect("a socket that can be set");
    let mut wire = Wire::new(tcp);
    wire.add_script(behaviour);
    let mut session = Session { shared, wire, number, encrypted: false, logged_in: false, from: None, to: Vec::new() };
    // Every connection ends with an error, caused by its script or by the client.
    let _ = session.run().await;
}

impl Session {
    async fn run(&mut self) -> io::Result<()> {
        if self.shared.settings.protection == Protection::Implicit {
            self.encrypt().await?;
        }
        self.wire.scripted_reply(Stage::Greeting, "220 mail.example.com ESMTP").await?;
        loop {
            let line = self.wire.read_line().await?;
            let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
            match verb.to_ascii_uppercase().as_str() {
                "EHLO" if rest.is_empty() => self.wire.reply("501 5.5.4 who?").await?,
                "EHLO" => self.ehlo().await?,
                "STARTTLS" if self.offers_starttls() => self.starttls().await?,
                "AUTH" if self.shared.settings.login.is_some() => self.auth(rest).await?,
                "MAIL" => self.mail(rest).await?,
                "RCPT" => self.rcpt(rest).await?,
                "DATA" => self.data().await?,
                "RSET" => {
                    self.reset_envelope();
                    self.wire.discard_delivery_scripts();
                    self.wire.reply("250 2.0.0 forgotten").await?;
                }
                "NOOP" => self.wire.reply("250 2.0.0 still here").await?,
                "QUIT" => {
                    self.shared.ledger.write(|records| records.quits += 1);
                    self.wire.reply("221 2.0.0 goodbye").await?;
                    return Err(closed());
                }
                _ => self.wire.reply("500 5.5.1 what?").await?,
            }
        }
    }

    async fn ehlo(&mut self) -> io::Result<()> {
        self.reset_envelope();
        let mut lines = vec!["250-mail.example.com".to_owned(), "250-8BITMIME".to_owned()];
        if self.shared.settings.pipelining {
            lines.push("250-PIPELINING".into());
        }
        if self.offers_starttls() {
            lines.push("250-STARTTLS".into());
        }
        if self.shared.settings.login.is_some() {
            lines.push(format!("250-AUTH {}", self.shared.settings.mechanisms));
        }
        lines.push("250 SIZE 1000000".into());
        self.wire.scripted_reply(Stage::Ehlo, &lines.join("\r\n")).await.map(drop)
    }

    fn offers_starttls(&self) -> bool {
        self.shared.settings.protection == Protection::StartTls && !self.encrypted
    }

    async fn starttls(&mut self) -> io::Result<()> {
        if self.wire.scripted_reply(Stage::StartTls, "220 2.0.0 go ahead").await? {
            self.encrypt().await?;
        }
        Ok(())
    }

    async fn encrypt(&mut self) -> io::Result<()> {
        let acceptor = self.shared.acceptor.clone().expect("a certificate when there is TLS");
        self.wire.start_tls(&acceptor).await?;
        self.encrypted = true;
        Ok(())
    }

    async fn auth(&mut self, rest: &str) -> io::Result<()> {
        let Some(credentials) = login::read_credentials(&mut self.wire, rest, self.shared.settings.mechanisms).await?
        else {
            return Ok(());
        };
        self.shared.ledger.write(|records| records.logins.push(credentials.clone()));
        if self.shared.settings.login != Some((&credentials.0, &credentials.1)) {
            return self.wire.reply("535 5.7.8 wrong").await;
        }
        self.logged_in = self.wire.scripted_reply(Stage::Auth, "235 2.7.0 welcome").await?;
        Ok(())
    }

    async fn mail(&mut self, rest: &str) -> io::Result<()> {
        if self.wire.has_buffered_data() {
            self.shared.ledger.write(|records| records.pipelined += 1);
        }
        self.reset_envelope();
        if self.shared.settings.login.is_some() && !self.logged_in {
            return self.wire.reply("530 5.7.0 log in first").await;
        }
        if self.wire.scripted_reply(Stage::Mail, "250 2.1.0 sender ok").await? {
            self.from = Some(parse_address(rest));
        }
        Ok(())
    }

    async fn rcpt(&mut self, rest: &str) -> io::Result<()> {
        if self.from.is_none() {
            return self.wire.reply("503 5.5.1 MAIL first").await;
        }
        let to = parse_address(rest);
        let attempt = Attempt { to: to.clone(), connection: self.number, at: tokio::time::Instant::now() };
        let behaviour = self.shared.ledger.write(|records| {
            records.attempts.push(attempt);
            let general =
                records.later.filter(|(after, _)| records.mails.len() >= *after).map(|(_, behaviour)| behaviour);
            records.scripts.get_mut(&to).and_then(|script| script.pop_front()).or(general)
        });
        self.wire.add_script(behaviour);
        if self.wire.scripted_reply(Stage::Rcpt, "250 2.1.5 recipient ok").await? {
            self.to.push(to);
        }
        Ok(())
    }

    async fn data(&mut self) -> io::Result<()> {
        if self.to.is_empty() {
            return self.wire.reply("503 5.5.1 RCPT first").await;
        }
        if !self.wire.scripted_reply(Stage::Data, "354 go on, end with a dot").await? {
            return Ok(());
        }
        let raw = self.wire.read_mail().await?;
        let from = self.from.take().unwrap_or_default();
        let to = std::mem::take(&mut self.to);
        let number = self.number;
        let ledger = self.shared.ledger.clone();
        let accept = move || {
            let mails = to.iter().map(|to| Mail::parse(&from, to, &raw, number));
            ledger.write(|records| records.mails.extend(mails));
        };
        self.wire.scripted_reply_after(Stage::Dot, "250 2.0.0 accepted", accept).await?;
        self.reset_envelope();
        Ok(())
    }

    /// Forgets sender and recipients.
    fn reset_envelope(&mut self) {
        self.from = None;
        self.to.clear();
    }
}

/// The address in `FROM:<a@x.io> SIZE=1`.
fn parse_address(rest: &str) -> String {
    let after = rest.split_once('<').map(|(_, after)| after).unwrap_or_default();
    after.split('>').next().unwrap_or_default().to_owned()
}
