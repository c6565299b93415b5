//! The dialogue of one connection, from the greeting to QUIT.

use std::{io, sync::Arc};

use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::fake_smtp::{
    behaviour::Stage,
    ledger::{Attempt, Ledger},
    login,
    mail::Mail,
    settings::{Protection, Settings},
    wire::{Wire, over},
};

/// What all connections of a mail_server share.
pub(super) struct ServerConfig {
    pub(super) settings: Settings,
    pub(super) acceptor: Option<TlsAcceptor>,
    pub(super) book: Ledger,
}

struct Session {
    house: Arc<ServerConfig>,
    wire: Wire,
    number: usize,
    encrypted: bool,
    logged_in: bool,
    from: Option<String>,
    to: Vec<String>,
}

pub(super) async fn listen(listener: TcpListener, house: Arc<ServerConfig>) {
    loop {
        let (tcp, _) = listener.accept().await.expect("a listener that accepts");
        tokio::spawn(serve(house.clone(), tcp));
    }
}

async fn serve(house: Arc<ServerConfig>, tcp: TcpStream) {
    let (number, behaviour) = house.book.write(|state| {
        state.connections += 1;
        (state.connections, state.next_connections.pop_front().or(state.every_connection))
    });
    tcp.set_nodelay(true).expect("a socket that can be set");
    let mut wire = Wire::new(tcp);
    wire.plan(behaviour);
    let mut session = Session { house, wire, number, encrypted: false, logged_in: false, from: None, to: Vec::new() };
    // An error is how every connection ends, by the script's will or by the client's.
    let _ = session.run().await;
}

impl Session {
    async fn run(&mut self) -> io::Result<()> {
        if self.house.settings.protection == Protection::Implicit {
            self.encrypt().await?;
        }
        self.wire.answer(Stage::Greeting, "220 mail.example.com ESMTP").await?;
        loop {
            let line = self.wire.line().await?;
            let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
            match verb.to_ascii_uppercase().as_str() {
                "EHLO" if rest.is_empty() => self.wire.say("501 5.5.4 who?").await?,
                "EHLO" => self.ehlo().await?,
                "STARTTLS" if self.offers_starttls() => self.starttls().await?,
                "AUTH" if self.house.settings.login.is_some() => self.auth(rest).await?,
                "MAIL" => self.mail(rest).await?,
                "RCPT" => self.rcpt(rest).await?,
                "DATA" => self.data().await?,
                "RSET" => {
                    self.start_over();
                    self.wire.forget_delivery();
                    self.wire.say("250 2.0.0 forgotten").await?;
                }
                "NOOP" => self.wire.say("250 2.0.0 still here").await?,
                "QUIT" => {
                    self.house.book.write(|state| state.goodbyes += 1);
                    self.wire.say("221 2.0.0 goodbye").await?;
                    return Err(over());
                }
                _ => self.wire.say("500 5.5.1 what?").await?,
            }
        }
    }

    async fn ehlo(&mut self) -> io::Result<()> {
        self.start_over();
        let mut lines = vec!["250-mail.example.com".to_owned(), "250-8BITMIME".to_owned()];
        if self.house.settings.pipelining {
            lines.push("250-PIPELINING".into());
        }
        if self.offers_starttls() {
            lines.push("250-STARTTLS".into());
        }
        if self.house.settings.login.is_some() {
            lines.push(format!("250-AUTH {}", self.house.settings.mechanisms));
        }
        lines.push("250 SIZE 1000000".into());
        self.wire.answer(Stage::Ehlo, &lines.join("\r\n")).await.map(drop)
    }

    fn offers_starttls(&self) -> bool {
        self.house.settings.protection == Protection::StartTls && !self.encrypted
    }

    async fn starttls(&mut self) -> io::Result<()> {
        if self.wire.answer(Stage::StartTls, "220 2.0.0 go ahead").await? {
            self.encrypt().await?;
        }
        Ok(())
    }

    async fn encrypt(&mut self) -> io::Result<()> {
        let acceptor = self.house.acceptor.clone().expect("a certificate when there is TLS");
        self.wire.secure(&acceptor).await?;
        self.encrypted = true;
        Ok(())
    }

    async fn auth(&mut self, rest: &str) -> io::Result<()> {
        let Some(given) = login::hear(&mut self.wire, rest, self.house.settings.mechanisms).await? else {
            return Ok(());
        };
        self.house.book.write(|state| state.logins.push(given.clone()));
        if self.house.settings.login != Some((&given.0, &given.1)) {
            return self.wire.say("535 5.7.8 wrong").await;
        }
        self.logged_in = self.wire.answer(Stage::Auth, "235 2.7.0 welcome").await?;
        Ok(())
    }

    async fn mail(&mut self, rest: &str) -> io::Result<()> {
        if self.wire.has_more() {
            self.house.book.write(|state| state.said_at_once += 1);
        }
        self.start_over();
        if self.house.settings.login.is_some() && !self.logged_in {
            return self.wire.say("530 5.7.0 log in first").await;
        }
        if self.wire.answer(Stage::Mail, "250 2.1.0 sender ok").await? {
            self.from = Some(address(rest));
        }
        Ok(())
    }

    async fn rcpt(&mut self, rest: &str) -> io::Result<()> {
        if self.from.is_none() {
            return self.wire.say("503 5.5.1 MAIL first").await;
        }
        let to = address(rest);
        let attempt = Attempt { to: to.clone(), connection: self.number, at: tokio::time::Instant::now() };
        let behaviour = self.house.book.write(|state| {
            state.attempts.push(attempt);
            let general = state.later.filter(|(after, _)| state.mails.len() >= *after).map(|(_, behaviour)| behaviour);
            state.scripts.get_mut(&to).and_then(|script| script.pop_front()).or(general)
        });
        self.wire.plan(behaviour);
        if self.wire.answer(Stage::Rcpt, "250 2.1.5 recipient ok").await? {
            self.to.push(to);
        }
        Ok(())
    }

    async fn data(&mut self) -> io::Result<()> {
        if self.to.is_empty() {
            return self.wire.say("503 5.5.1 RCPT first").await;
        }
        if !self.wire.answer(Stage::Data, "354 go on, end with a dot").await? {
            return Ok(());
        }
        let raw = self.wire.mail().await?;
        let from = self.from.take().unwrap_or_default();
        let (to, number, book) = (std::mem::take(&mut self.to), self.number, self.house.book.clone());
        let accept = move || {
            let mails = to.iter().map(|to| Mail::parse(&from, to, &raw, number));
            book.write(|state| state.mails.extend(mails));
        };
        self.wire.answer_after(Stage::Dot, "250 2.0.0 accepted", accept).await?;
        self.start_over();
        Ok(())
    }

    fn start_over(&mut self) {
        self.from = None;
        self.to.clear();
    }
}

/// `FROM:<a@x.io> SIZE=1` → `a@x.io`
fn address(rest: &str) -> String {
    let after = rest.split_once('<').map(|(_, after)| after).unwrap_or_default();
    after.split('>').next().unwrap_or_default().to_owned()
}
