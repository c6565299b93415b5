//! The REST calls on mails, compatible with MailDev.

use poem::{
    IntoResponse, Response, Result,
    error::InternalServerError,
    handler,
    http::{StatusCode, header},
    web::{Data, Json, Path},
};
use uuid::Uuid;

use super::{super::Inbox, middleware::error_response};

/// The HTML of a mail is untrusted: it is displayed only, without scripts, forms or requests.
const MAIL_POLICY: &str =
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; frame-ancestors 'self'";

/// `GET /email`
#[handler]
pub(super) async fn list(inbox: Data<&Inbox>) -> Result<Response> {
    Ok(Json(inbox.list().await.map_err(internal_error)?).into_response())
}

/// `GET /email/:id`: marks the mail as read.
#[handler]
pub(super) async fn get(inbox: Data<&Inbox>, Path(id): Path<String>) -> Result<Response> {
    let Some(id) = parse_id(&id) else { return Ok(not_found()) };
    inbox.mark_as_read(id);
    Ok(inbox.get(id).await.map_err(internal_error)?.map_or_else(not_found, |mail| Json(mail).into_response()))
}

/// `GET /email/:id/html`
#[handler]
pub(super) async fn html(inbox: Data<&Inbox>, Path(id): Path<String>) -> Result<Response> {
    let Some(id) = parse_id(&id) else { return Ok(not_found()) };
    let Some(mail) = inbox.get(id).await.map_err(internal_error)? else { return Ok(not_found()) };
    let Some(html) = mail.html else { return Ok(error_response(StatusCode::NOT_FOUND, "This mail has no HTML part.")) };
    let html = html.with_content_type("text/html; charset=utf-8");
    Ok(html.with_header(header::CONTENT_SECURITY_POLICY, MAIL_POLICY).into_response())
}

/// `GET /email/:id/source`
#[handler]
pub(super) async fn source(inbox: Data<&Inbox>, Path(id): Path<String>) -> Result<Response> {
    let Some(id) = parse_id(&id) else { return Ok(not_found()) };
    let source = inbox.source(id).await.map_err(internal_error)?;
    Ok(source.map_or_else(not_found, |source| source.with_content_type("text/plain; charset=utf-8").into_response()))
}

/// `DELETE /email/:id`
#[handler]
pub(super) async fn delete(inbox: Data<&Inbox>, Path(id): Path<String>) -> Result<Response> {
    let Some(id) = parse_id(&id) else { return Ok(not_found()) };
    let was_deleted = inbox.delete(id).await.map_err(internal_error)?;
    Ok(if was_deleted { Json(true).into_response() } else { not_found() })
}

/// `DELETE /email/all`
#[handler]
pub(super) async fn delete_all(inbox: Data<&Inbox>) -> Result<Json<bool>> {
    inbox.delete_all().await.map_err(internal_error)?;
    Ok(Json(true))
}

fn parse_id(id: &str) -> Option<Uuid> {
    id.parse().ok()
}

/// The same text as MailDev.
fn not_found() -> Response {
    error_response(StatusCode::NOT_FOUND, "Email was not found")
}

fn internal_error(error: anyhow::Error) -> poem::Error {
    InternalServerError(std::io::Error::other(format!("{error:#}")))
}
