//! Minimal poem server that always returns the same JSON problem: the baseline for rejections.

use anyhow::Result;
use poem::{IntoResponse, Response, Route, Server, handler, http::StatusCode, listener::TcpAcceptor, post, web::Json};
use serde_json::json;

use crate::report::progress::print;

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

/// Serves until the process is killed.
pub(crate) fn serve() -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        print(&format!("bare={}", listener.local_addr()?));
        let server = Server::new_with_acceptor(TcpAcceptor::from_tokio(listener)?);
        Ok(server.run(Route::new().at("/v1/users", post(reject))).await?)
    })
}
