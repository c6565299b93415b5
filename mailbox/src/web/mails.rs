//! The REST calls, as MailDev answers them.

use poem::{
    IntoResponse, Response, Result,
    error::InternalServerError,
    handler,
    http::{StatusCode, header},
    web::{Data, Json, Path},
};
use uuid::Uuid;

use super::{super::Inbox, edge};

/// Whatever the HTML of a mail tries, it is only looked at.
const MAIL_POLICY: &str =
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'none'; frame-ancestors 'self'";

#[handler]
pub(super) async fn all(inbox: Data<&Inbox>) -> Result<Response> {
    Ok(Json(inbox.mails().await.map_err(failure)?).into_response())
}

#[handler]
pub(super) async fn one(inbox: Data<&Inbox>, Path(id): Path<String>) -> Result<Response> {
    let Some(id) = parse(&id) else { return Ok(unknown()) };
    inbox.mark_as_seen(id);
    Ok(inbox.mail(id).await.map_err(failure)?.map_or_else(unknown, |mail| Json(mail).into_response()))
}

#[handler]
pub(super) async fn html(inbox: Data<&Inbox>, Path(id): Path<String>) -> Result<Response> {
    let Some(id) = parse(&id) else { return Ok(unknown()) };
    let Some(mail) = inbox.mail(id).await.map_err(failure)? else { return Ok(unknown()) };
    let Some(html) = mail.html else { return Ok(edge::refuse(StatusCode::NOT_FOUND, "This mail has no HTML.")) };
    let html = html.with_content_type("text/html; charset=utf-8");
    Ok(html.with_header(header::CONTENT_SECURITY_POLICY, MAIL_POLICY).into_response())
}

#[handler]
pub(super) async fn source(inbox: Data<&Inbox>, Path(id): Path<String>) -> Result<Response> {
    let Some(id) = parse(&id) else { return Ok(unknown()) };
    let source = inbox.source(id).await.map_err(failure)?;
    Ok(source.map_or_else(unknown, |source| source.with_content_type("text/plain; charset=utf-8").into_response()))
}

#[handler]
pub(super) async fn remove(inbox: Data<&Inbox>, Path(id): Path<String>) -> Result<Response> {
    let Some(id) = parse(&id) else { return Ok(unknown()) };
    let was_there = inbox.remove(id).await.map_err(failure)?;
    Ok(if was_there { Json(true).into_response() } else { unknown() })
}

#[handler]
pub(super) async fn remove_all(inbox: Data<&Inbox>) -> Result<Json<bool>> {
    inbox.clear().await.map_err(failure)?;
    Ok(Json(true))
}

fn parse(id: &str) -> Option<Uuid> {
    id.parse().ok()
}

fn unknown() -> Response {
    edge::refuse(StatusCode::NOT_FOUND, "Email was not found")
}

fn failure(error: anyhow::Error) -> poem::Error {
    InternalServerError(std::io::Error::other(format!("{error:#}")))
}
