//! Tests of the SMTP client against a fake mail server that can misbehave at every step.

use std::{sync::Arc, time::Duration};

use crate::smtp::{
    Email, SendOutcome,
    client::{SmtpClient, send_outcome},
    config::{SmtpConfig, Timeouts},
    health::SmtpHealth,
};

mod connection_reuse;
mod faults;
mod lockstep_stream;
mod muted;
mod pipelining;
mod pool;
mod rendered_mail;
mod tls_and_auth;

use support::fake_smtp::{FakeSmtpServer, behaviour::Behaviour};

impl SmtpClient {
    async fn send(&mut self, email: &Email) -> SendOutcome {
        send_outcome(&self.deliver(email).await)
    }
}

fn email(to: &str) -> Email {
    Email {
        from: "no-reply@example.com".parse().unwrap(),
        to: to.parse().unwrap(),
        bytes: b"Subject: hello\r\n\r\nfirst\r\n.second\r\n..third\r\n".to_vec(),
        is_muted: false,
    }
}

/// A health record for tests that do not check it.
fn health() -> Arc<SmtpHealth> {
    Arc::new(SmtpHealth::new(&shared::telemetry::metrics::Registry::default()))
}

/// Two mail servers: one with PIPELINING and one without.
async fn mail_servers() -> [FakeSmtpServer; 2] {
    [FakeSmtpServer::start().await, FakeSmtpServer::without_pipelining().await]
}

/// A client with the default timeouts.
fn client(mail_server: &FakeSmtpServer) -> SmtpClient {
    SmtpClient::new(Arc::new(SmtpConfig::parse(&mail_server.url()).unwrap()))
}

/// A client with short timeouts, for tests in which the server never answers.
fn client_with_short_timeouts(mail_server: &FakeSmtpServer) -> SmtpClient {
    let mut config = SmtpConfig::parse(&mail_server.url()).unwrap();
    let short = Duration::from_secs(1);
    config.timeouts = Timeouts { connect: short, step: short, end_of_data: short };
    SmtpClient::new(Arc::new(config))
}

/// Sends an email over a new connection on which the server misbehaves.
async fn send_into(mail_server: &FakeSmtpServer, fault: Behaviour) -> SendOutcome {
    mail_server.next_connection(fault);
    let never_answers = matches!(fault, Behaviour::Silence(_) | Behaviour::Drip(..));
    let mut client = if never_answers { client_with_short_timeouts(mail_server) } else { client(mail_server) };
    let sent = client.send(&email("ann@example.org")).await;
    assert!(client.idle.is_none(), "{fault:?} left a connection open");
    assert!(mail_server.mails_to("ann@example.org").is_empty(), "{fault:?} delivered the mail");
    sent
}

fn transient(reason: &str) -> SendOutcome {
    SendOutcome::TransientFailure(reason.into())
}

fn permanent(reason: &str) -> SendOutcome {
    SendOutcome::PermanentFailure(reason.into())
}

/// Sends an email that must be accepted.
async fn assert_sends(client: &mut SmtpClient, to: &str) {
    assert_eq!(client.send(&email(to)).await, SendOutcome::Accepted, "to {to}");
}
