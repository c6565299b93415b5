//! The page that lets one browser in to a locked account. Its URL, which is in a mail, contains a secret token.
//!
//! `GET` changes nothing, because mail scanners follow links; `POST` sets the cookie, once.

use std::sync::Arc;

use i18n::{
    Language,
    pages::{self, Unlock},
};
use poem::{
    Endpoint, EndpointExt, Request, Response, Result, endpoint::make, error::InternalServerError, get, http::header,
};
use shared::mail_link::MailLink;
use uuid::Uuid;

use crate::{
    app::App,
    auth::unlock::{self, LinkStatus},
    domain::policy::UNLOCKED_BROWSER_LOCKOUT,
    error::Error,
    http::{
        routes::not_me::{error_response, html_response},
        unlock_cookie,
    },
};

/// The endpoint of `paths::UNLOCK_ROUTE`.
pub(crate) fn page(app: Arc<App>) -> impl Endpoint<Output = Response> + 'static {
    let app_of_get = Arc::clone(&app);
    let get_page = make(move |request| show(Arc::clone(&app_of_get), request)).boxed();
    let post_form = make(move |request| open(Arc::clone(&app), request)).boxed();
    get(get_page).post(post_form)
}

async fn show(app: Arc<App>, request: Request) -> Result<Response> {
    let status = match link_id(&app, &request) {
        Ok(id) => unlock::read_status(&app, id).await,
        Err(error) => Err(error),
    };
    match status {
        Ok((language, LinkStatus::Valid)) => {
            render(&app, language, Unlock::Ask { attempts: UNLOCKED_BROWSER_LOCKOUT.attempts })
        }
        Ok((language, LinkStatus::Ended)) => render(&app, language, Unlock::Ended),
        Err(error) => render_error(&app, &request, error),
    }
}

async fn open(app: Arc<App>, request: Request) -> Result<Response> {
    let opened = match link_id(&app, &request) {
        // The page of another site must not replace the cookie of this browser by that of its own link.
        Ok(_) if request.header("sec-fetch-site").is_some_and(|site| site != "same-origin") => Err(Error::NotFound),
        Ok(id) => unlock::open(&app, id).await,
        Err(error) => Err(error),
    };
    match opened {
        Ok((language, Some(cookie))) => {
            let done = Unlock::Done { attempts: UNLOCKED_BROWSER_LOCKOUT.attempts };
            let mut response = render(&app, language, done)?;
            response
                .headers_mut()
                .extend(unlock_cookie::set(&cookie, &app.public_url).map(|it| (header::SET_COOKIE, it)));
            Ok(response)
        }
        Ok((language, None)) => render(&app, language, Unlock::Ended),
        Err(error) => render_error(&app, &request, error),
    }
}

/// The id of the link. An invalid token is rejected without a database query.
fn link_id(app: &App, request: &Request) -> Result<Uuid, Error> {
    let token = request.raw_path_param("token").unwrap_or_default();
    MailLink::Unlock.read(&app.code_secrets, token).ok_or(Error::NotFound)
}

fn render_error(app: &App, request: &Request, error: Error) -> Result<Response> {
    let page = if matches!(error, Error::NotFound) { Unlock::InvalidLink } else { Unlock::Unavailable };
    error_response(request, error, |language| render(app, language, page))
}

fn render(app: &App, language: Language, page: Unlock) -> Result<Response> {
    Ok(html_response(pages::unlock(language, page, &app.public_url).map_err(InternalServerError)?))
}
