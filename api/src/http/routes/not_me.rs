//! The "this was not me" page that every mail links to which a stranger can cause. Its URL contains a secret token.
//!
//! `GET` changes nothing, because mail scanners follow links; `POST` suppresses the mails of sign-ups with the email
//! address, or allows them again.

use std::sync::Arc;

use i18n::{
    Language,
    pages::{self, Day, NotMe},
};
use poem::{
    Endpoint, EndpointExt, Request, Response, Result,
    endpoint::make,
    error::{InternalServerError, ResponseError},
    get,
    http::{StatusCode, header},
};
use shared::mail_link::MailLink;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    app::App,
    domain::mail_suppression::SUPPRESSION_PERIOD,
    error::Error,
    http::{
        csp, language,
        problem::{Problem, responses},
    },
    registration::not_me::{self, Action, SuppressionStatus},
};

/// The form body of the button that lifts the suppression. Any other body means suppress.
const LIFT_FORM: &[u8] = b"wish=unmute";

/// The endpoint of `paths::NOT_ME_ROUTE`.
pub(crate) fn page(app: Arc<App>) -> impl Endpoint<Output = Response> + 'static {
    let app_of_get = Arc::clone(&app);
    let get_page = make(move |request| show(Arc::clone(&app_of_get), request)).boxed();
    let post_form = make(move |request| change(Arc::clone(&app), request)).boxed();
    get(get_page).post(post_form)
}

async fn show(app: Arc<App>, request: Request) -> Result<Response> {
    let status = match message_id(&app, &request) {
        Ok(id) => not_me::read_status(&app, id).await,
        Err(error) => Err(error),
    };
    let ask = NotMe::Ask { days: SUPPRESSION_PERIOD.whole_days() };
    respond(&app, &request, status, ask)
}

async fn change(app: Arc<App>, mut request: Request) -> Result<Response> {
    let body = request.take_body().into_bytes().await?;
    let action = if *body == *LIFT_FORM { Action::Lift } else { Action::Suppress };
    let status = match message_id(&app, &request) {
        Ok(id) => not_me::change(&app, id, action).await,
        Err(error) => Err(error),
    };
    respond(&app, &request, status, NotMe::Lifted)
}

/// The message id of the mail that contained the link. An invalid token is rejected without a database query.
fn message_id(app: &App, request: &Request) -> Result<Uuid, Error> {
    let token = request.raw_path_param("token").unwrap_or_default();
    MailLink::NotMe.read(&app.code_secrets, token).ok_or(Error::NotFound)
}

/// Renders the status in the language of the mail, or an error in the client's language. `lifted` is the page for an
/// email address whose mails are not suppressed.
fn respond(app: &App, request: &Request, status: Result<SuppressionStatus, Error>, lifted: NotMe) -> Result<Response> {
    match status {
        Ok(SuppressionStatus { language, suppressed_until: Some(until) }) => {
            render(app, language, NotMe::Suppressed { until: day(until) })
        }
        Ok(SuppressionStatus { language, suppressed_until: None }) => render(app, language, lifted),
        Err(error) => {
            let page = if matches!(error, Error::NotFound) { NotMe::InvalidLink } else { NotMe::Unavailable };
            error_response(request, error, |language| render(app, language, page))
        }
    }
}

fn render(app: &App, language: Language, page: NotMe) -> Result<Response> {
    Ok(html_response(pages::not_me(language, page, &app.public_url).map_err(InternalServerError)?))
}

/// The response to an error: a page in the client's language.
pub(crate) fn error_response(
    request: &Request,
    error: Error,
    page: impl FnOnce(Language) -> Result<Response>,
) -> Result<Response> {
    responses::log_server_error(&error);
    let mut response = page(language::preferred(request.headers()))?;
    let problem = Problem::from(error);
    response.set_status(problem.status());
    response.headers_mut().extend(problem.headers);
    Ok(response)
}

/// The response with a page behind a link in a mail.
pub(crate) fn html_response(html: String) -> Response {
    Response::builder()
        .status(StatusCode::OK)
        .content_type("text/html; charset=utf-8")
        .header(header::CONTENT_SECURITY_POLICY, csp::for_form(&html))
        .header("x-robots-tag", "noindex, nofollow")
        .body(html)
}

fn day(at: OffsetDateTime) -> Day {
    Day { day: at.day(), month: at.month().into(), year: at.year() }
}
