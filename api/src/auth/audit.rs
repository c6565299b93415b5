//! The log of authentication events: one line of a stable form for each. docs/OPERATIONS.md documents them.
//!
//! Successes have the id of the user. Failures have none, whether there is an account or not (I-15). No line contains an
//! email address or a client address: the keys identify both only for a holder of the secret. Each function is called
//! after its event is committed.

use std::fmt::{self, Display};

use shared::telemetry::log::AUTH_EVENTS;
use uuid::Uuid;

use crate::domain::subject_keys::SubjectKeys;

/// The closed list of events, with their names in the log.
macro_rules! events {
    ($($name:ident = $text:literal,)+) => {
        #[derive(Clone, Copy)]
        enum Event { $($name,)+ }

        impl Event {
            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$name,)+];

            fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

events! {
    Activation = "activation",
    Login = "login",
    PasswordVerified = "password-verified",
    PasswordReset = "password-reset",
    PasswordChange = "password-change",
    Deletion = "deletion",
    WrongPassword = "wrong-password",
    AbortedAttempt = "aborted-attempt",
    WrongCode = "wrong-code",
    Lock = "lock",
}

/// An account was created, by the password and the code of a registration.
pub(crate) fn activation(user: Uuid, keys: &SubjectKeys) {
    log(Event::Activation, Some(user), keys);
}

/// A session was created.
pub(crate) fn login(user: Uuid, keys: &SubjectKeys) {
    log(Event::Login, Some(user), keys);
}

/// The password of an account was given where only one of a registration is of use, which confirmed it to the client.
pub(crate) fn password_verified(user: Uuid, keys: &SubjectKeys) {
    log(Event::PasswordVerified, Some(user), keys);
}

/// The password was replaced with a reset code.
pub(crate) fn password_reset(user: Uuid, keys: &SubjectKeys) {
    log(Event::PasswordReset, Some(user), keys);
}

/// The password was replaced in a session.
pub(crate) fn password_change(user: Uuid, keys: &SubjectKeys) {
    log(Event::PasswordChange, Some(user), keys);
}

/// The account was deleted.
pub(crate) fn deletion(user: Uuid, keys: &SubjectKeys) {
    log(Event::Deletion, Some(user), keys);
}

/// A password is none of the email address.
pub(crate) fn wrong_password(keys: &SubjectKeys) {
    log(Event::WrongPassword, None, keys);
}

/// A request was aborted while its password was verified, which counts as a wrong password.
pub(crate) fn aborted_attempt(keys: &SubjectKeys) {
    log(Event::AbortedAttempt, None, keys);
}

/// A code is not that of the registration or of the reset.
pub(crate) fn wrong_code(keys: &SubjectKeys) {
    log(Event::WrongCode, None, keys);
}

/// A failure began a lockout. Without the user, because unknown email addresses are locked as well.
pub(crate) fn lock(keys: &SubjectKeys) {
    log(Event::Lock, None, keys);
}

fn log(event: Event, user: Option<Uuid>, keys: &SubjectKeys) {
    tracing::info!(
        target: AUTH_EVENTS,
        event = event.name(),
        user = user.map(tracing::field::display),
        subject = %ShortKey(&keys.email),
        network = %ShortKey(&keys.network),
        "authentication event"
    );
}

/// The first 8 bytes of a subject key: enough to identify it.
struct ShortKey<'a>(&'a [u8; 32]);

impl Display for ShortKey<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..8].iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::{
        io::{Read, Seek},
        sync::Arc,
    };

    use serde_json::{Value, json};

    use super::*;
    use crate::domain::subject_keys::tests::keys;

    /// Runs this and returns the fields of each line that it logged.
    pub(in crate::auth) fn logged(run: impl FnOnce()) -> Vec<Value> {
        let file = Arc::new(tempfile::tempfile().unwrap());
        let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_writer(Arc::clone(&file)).finish();
        // As long as the process has only one subscriber, what another thread logs first, without it, is never logged.
        let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry());
        tracing::subscriber::with_default(subscriber, run);
        let (mut file, mut text) = (&*file, String::new());
        file.rewind().unwrap();
        file.read_to_string(&mut text).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The authentication events among these lines: name, user, and the first keys.
    pub(in crate::auth) fn events(lines: &[Value]) -> Vec<[Value; 4]> {
        let events = lines.iter().filter(|line| line["target"] == AUTH_EVENTS && line["level"] == "INFO");
        events.map(|event| ["event", "user", "subject", "network"].map(|field| event[field].clone())).collect()
    }

    #[test]
    fn success_is_logged_with_the_user() {
        let (keys, user) = (keys("ada@example.com", "203.0.113.7"), Uuid::from_u128(7));
        let lines = logged(|| {
            for log in [activation, login, password_verified, password_reset, password_change, deletion] {
                log(user, &keys);
            }
        });
        let names = ["activation", "login", "password-verified", "password-reset", "password-change", "deletion"];
        let (subject, network) = (ShortKey(&keys.email).to_string(), ShortKey(&keys.network).to_string());
        let expected = names.map(|name| [json!(name), json!(user), json!(subject), json!(network)]);
        assert_eq!(events(&lines), expected);
    }

    #[test]
    fn failure_is_logged_without_the_user() {
        let keys = keys("ada@example.com", "203.0.113.7");
        let lines =
            logged(|| [wrong_password, aborted_attempt, wrong_code, lock].into_iter().for_each(|log| log(&keys)));
        let (subject, network) = (ShortKey(&keys.email).to_string(), ShortKey(&keys.network).to_string());
        let expected = ["wrong-password", "aborted-attempt", "wrong-code", "lock"]
            .map(|name| [json!(name), json!(null), json!(subject), json!(network)]);
        assert_eq!(events(&lines), expected);
    }

    #[test]
    fn every_event_is_documented() {
        let document = include_str!("../../../docs/OPERATIONS.md");
        let (_, section) = document.split_once("\n## Authentication events\n").unwrap();
        let section = section.split("\n## ").next().unwrap_or(section);
        let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        assert_eq!(rows.collect::<Vec<_>>(), Event::ALL.iter().map(|event| event.name()).collect::<Vec<_>>());
    }

    #[test]
    fn short_key_is_sixteen_digits() {
        assert_eq!(ShortKey(&[0xab; 32]).to_string(), "ab".repeat(8));
        assert_eq!(ShortKey(&[7; 32]).to_string(), "07".repeat(8));
    }
}
