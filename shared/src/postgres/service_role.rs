//! The role of API and worker if the schema belongs to another one: it reads and writes rows, and cannot change the schema.

use anyhow::{Context, Result};
use deadpool_postgres::PoolError;
use postgres_protocol::password::scram_sha_256;
use secrecy::SecretString;
use tokio_postgres::{Client, error::SqlState};

use super::{hosts, pool, timeouts};

/// Creates the role, or gives it another password. A password is passed as a verifier, so that no log of Postgres contains it.
const SET_LOGIN: &str = "SELECT format('%s ROLE %I LOGIN PASSWORD %L',
    CASE WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = $1::text) THEN 'ALTER' ELSE 'CREATE' END, $1::text, $2::text)";

const EXISTS: &str = "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1::text)";

/// Up to Postgres 14 every role may create tables in the schema.
const GRANT: &str = "SELECT format('REVOKE CREATE ON SCHEMA %1$I FROM PUBLIC; GRANT USAGE ON SCHEMA %1$I TO %2$I;
    GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %1$I TO %2$I;
    REVOKE INSERT, UPDATE, DELETE ON migrations FROM %2$I', current_schema(), $1::text)";

/// The role of `DATABASE_URL`.
pub(super) struct ServiceRole<'a> {
    url: &'a SecretString,
    name: String,
    password: Option<Vec<u8>>,
}

impl<'a> ServiceRole<'a> {
    /// The role of `url`, or `None` if that is also the role of `owner_url`.
    pub(super) fn unless_owner(url: &'a SecretString, owner_url: &SecretString) -> Result<Option<Self>> {
        let (service, owner) = (hosts("DATABASE_URL", url)?, hosts("MIGRATE_DATABASE_URL", owner_url)?);
        let (service, owner) = (&service.configs[0], &owner.configs[0]);
        let name = service.get_user().filter(|name| Some(*name) != owner.get_user());
        let password = service.get_password().map(<[u8]>::to_vec);
        Ok(name.map(|name| Self { url, name: name.to_owned(), password }))
    }

    /// Creates the role if it is missing, and lets it read and write the rows of all tables.
    pub(super) async fn prepare(&self, owner: &Client) -> Result<()> {
        // Through a connection pooler, the login of a role that does not exist fails in another way.
        let exists: bool = owner.query_one(EXISTS, &[&self.name]).await?.get(0);
        if !exists || !self.can_log_in().await? {
            let verifier = self.password.as_deref().map(scram_sha_256);
            let statement: String = owner.query_one(SET_LOGIN, &[&self.name, &verifier]).await?.get(0);
            owner.batch_execute(&statement).await.context("cannot create the role of DATABASE_URL")?;
            tracing::info!(role = self.name, "role of the service created, or its password changed");
        }
        let statement: String = owner.query_one(GRANT, &[&self.name]).await?.get(0);
        owner.batch_execute(&statement).await.context("cannot grant access to the role of DATABASE_URL")
    }

    /// Gives the role its timeouts, as itself: the owner of the schema may not be allowed to change the role.
    pub(super) async fn store_timeouts(&self) -> Result<()> {
        timeouts::store_missing(&*pool(self.url, 1)?.get().await?).await
    }

    /// A role that can log in is left as it is, so the owner of the schema needs no right to change it.
    async fn can_log_in(&self) -> Result<bool> {
        match pool(self.url, 1)?.get().await {
            Ok(_) => Ok(true),
            Err(PoolError::Backend(error)) if is_rejected_login(&error) => Ok(false),
            Err(error) => Err(error).context("cannot connect to DATABASE_URL"),
        }
    }
}

/// Whether Postgres or PgBouncer, which has one code for all errors, rejects the login.
fn is_rejected_login(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_some_and(|error| match *error.code() {
        SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION_SPECIFICATION => true,
        SqlState::PROTOCOL_VIOLATION => error.message().contains("authentication failed"),
        _ => false,
    })
}
