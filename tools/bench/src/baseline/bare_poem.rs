//! Minimal poem server: one route always returns the same JSON problem, the baseline for rejections; another reads a user
//! by primary key, the baseline for requests with a session token.

use std::sync::Arc;

use anyhow::Result;
use poem::{
    EndpointExt, IntoResponse, Response, Route, Server,
    error::InternalServerError,
    get, handler,
    http::StatusCode,
    listener::TcpAcceptor,
    post,
    web::{Data, Json},
};
use serde_json::{Value, json};
use tokio_postgres::{Client, Statement};
use uuid::Uuid;

use crate::{environment::database, report::progress::print};

#[handler]
fn reject(_body: String) -> Response {
    let problem = json!({
        "type": "http://localhost:8000/problems/too-many-requests",
        "title": "Too many requests",
        "status": 429,
        "detail": "Try again later.",
        "request_id": "6f9619ff-8b86-4011-b42d-00cf4fc964ff",
        "scope": "address",
        "retry_after": 3600,
    });
    Json(problem).with_status(StatusCode::TOO_MANY_REQUESTS).into_response()
}

/// The only user of a database.
struct User {
    database: Client,
    select: Statement,
    id: Uuid,
}

impl User {
    async fn open(database_url: &str) -> Result<Self> {
        let database = database::connect(database_url).await?;
        let id = database.query_one("SELECT id FROM users", &[]).await?.get(0);
        let select = database.prepare("SELECT email FROM users WHERE id = $1").await?;
        Ok(Self { database, select, id })
    }
}

#[handler]
async fn current_user(Data(user): Data<&Arc<User>>) -> poem::Result<Json<Value>> {
    let row = user.database.query_one(&user.select, &[&user.id]).await.map_err(InternalServerError)?;
    let email: &str = row.get(0);
    Ok(Json(json!({ "id": user.id.to_string(), "email": email, "activated_at": "2026-01-01T00:00:00Z" })))
}

/// Serves until the process is killed.
pub(crate) fn serve(database_url: Option<&str>) -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let mut routes = Route::new().at("/v1/users", post(reject));
        if let Some(url) = database_url {
            routes = routes.at("/v1/users/me", get(current_user).data(Arc::new(User::open(url).await?)));
        }
        print(&format!("bare={}", listener.local_addr()?));
        Ok(Server::new_with_acceptor(TcpAcceptor::from_tokio(listener)?).run(routes).await?)
    })
}
