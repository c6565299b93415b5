//! `ENVIRONMENT` and `ALLOW_INSECURE`: what production rejects because it is public knowledge or readable on its way.

use anyhow::{Result, bail, ensure};

/// Passwords that are tried first by anyone who finds the server: the examples of this project and of its servers.
const WELL_KNOWN_PASSWORDS: [&str; 14] = [
    "admin",
    "changeme",
    "example",
    "guest",
    "password",
    "postgres",
    "postgresql",
    "rabbitmq",
    "root",
    "secret",
    "test",
    "user",
    "vestibule",
    "123456",
];

/// Where a process runs, and which checks of production its operator has disabled.
#[derive(Clone, Copy, Debug, Default)]
pub struct Environment {
    pub is_production: bool,
    /// `ALLOW_INSECURE=http`: pages, links and lookups without TLS.
    allows_http: bool,
    /// `ALLOW_INSECURE=smtp`: an unencrypted, example or development mail server.
    allows_smtp: bool,
}

impl Environment {
    /// Parses the values of `ENVIRONMENT` and `ALLOW_INSECURE`.
    pub fn parse(environment: &str, allow_insecure: &str) -> Result<Self> {
        let is_production = match environment {
            "production" => true,
            "development" => false,
            _ => bail!("ENVIRONMENT has an unknown value: it must be development or production"),
        };
        let mut parsed = Self { is_production, ..Self::default() };
        for item in allow_insecure.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            match item {
                "http" => parsed.allows_http = true,
                "smtp" => parsed.allows_smtp = true,
                _ => bail!("ALLOW_INSECURE has an unknown value: it must be http, smtp or both, like http,smtp"),
            }
        }
        Ok(parsed)
    }

    /// Rejects in production a login that everyone knows. `setting` is the name of the setting that contains it.
    pub fn check_login(self, setting: &str, user: &str, password: &str) -> Result<()> {
        let (user, password) = (user.to_lowercase(), password.to_lowercase());
        let is_well_known = password == user || WELL_KNOWN_PASSWORDS.contains(&password.as_str());
        ensure!(
            !self.is_production || !is_well_known,
            "{setting} has a well-known login: in production, set a user and a password of your own"
        );
        Ok(())
    }

    /// Rejects in production, unless `ALLOW_INSECURE` contains `http`, a `PUBLIC_URL` without TLS.
    pub(super) fn check_public_url(self, url: &str) -> Result<()> {
        ensure!(
            !self.is_production || self.allows_http || url.starts_with("https://"),
            "PUBLIC_URL is '{url}': in production it must begin with https://, or passwords and links are readable on \
            their way (ALLOW_INSECURE=http accepts it)"
        );
        Ok(())
    }

    /// Rejects in production, unless `ALLOW_INSECURE` contains `http`, a setting that has this problem.
    pub fn check_http(self, has_problem: bool, problem: &str) -> Result<()> {
        ensure!(!self.is_production || self.allows_http || !has_problem, "{problem} (ALLOW_INSECURE=http accepts it)");
        Ok(())
    }

    /// Rejects in production, unless `ALLOW_INSECURE` contains `smtp`, a mail setting that has this problem.
    pub fn check_mail(self, has_problem: bool, problem: &str) -> Result<()> {
        ensure!(!self.is_production || self.allows_smtp || !has_problem, "{problem} (ALLOW_INSECURE=smtp accepts it)");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_values_are_rejected() {
        assert!(Environment::parse("production", " http, smtp,").is_ok());
        let error = |environment, allowed| Environment::parse(environment, allowed).unwrap_err().to_string();
        assert!(error("test", "").starts_with("ENVIRONMENT has an unknown value"));
        assert!(error("production", "https").starts_with("ALLOW_INSECURE has an unknown value"));
    }

    #[test]
    fn production_rejects_logins_that_everyone_knows() {
        let production = Environment::parse("production", "http,smtp").unwrap();
        for (user, password) in [("ada", "Ada"), ("app", "Postgres"), ("guest", "guest"), ("vestibule", "VESTIBULE")] {
            assert!(production.check_login("X", user, password).is_err(), "{user}:{password}");
            assert!(Environment::default().check_login("X", user, password).is_ok());
        }
        assert!(production.check_login("X", "vestibule", "kj3h4kjh23k4").is_ok());
    }

    #[test]
    fn operator_can_allow_what_is_readable_on_its_way() {
        let check = |environment, allowed| {
            let environment = Environment::parse(environment, allowed).unwrap();
            let url = environment.check_public_url("http://sign-up.example.com").is_ok();
            let lookup = environment.check_http(true, "X is unencrypted").is_ok();
            (url, lookup, environment.check_mail(true, "SMTP_URL is unencrypted").is_ok())
        };
        assert_eq!(check("production", ""), (false, false, false));
        assert_eq!(check("production", "http"), (true, true, false));
        assert_eq!(check("production", "smtp"), (false, false, true));
        assert_eq!(check("development", ""), (true, true, true));
    }
}
