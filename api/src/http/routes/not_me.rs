//! The page behind the link of a code mail: for people, and the only one whose address is a secret. It is looked at by
//! GET, which mail scanners do too, and changes something by POST.

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
    http::{HeaderName, StatusCode},
};
use shared::not_me_link;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    app::App,
    domain::mail_suppression::MUTED_FOR,
    error::Error,
    http::{
        csp, language,
        problem::{Problem, responses},
    },
    registration::not_me::{self, Action, SuppressionStatus},
};

pub(crate) const PATTERN: &str = "/not-me/:token";

const ROBOTS: (HeaderName, &str) = (HeaderName::from_static("x-robots-tag"), "noindex, nofollow");

/// What the second button sends. Everything else that is posted means the first.
const UNMUTE: &[u8] = b"wish=unmute";

pub(crate) fn page(app: Arc<App>) -> impl Endpoint<Output = Response> + 'static {
    let looking = Arc::clone(&app);
    let look = make(move |request| show(Arc::clone(&looking), request)).boxed();
    get(look).post(make(move |request| change(Arc::clone(&app), request)).boxed())
}

async fn show(app: Arc<App>, request: Request) -> Result<Response> {
    let stand = match code(&app, &request) {
        Ok(code) => not_me::read_status(&app, code).await,
        Err(error) => Err(error),
    };
    let nothing_yet = NotMe::Ask { days: MUTED_FOR.whole_days() };
    answer(&app, &request, stand, nothing_yet)
}

async fn change(app: Arc<App>, mut request: Request) -> Result<Response> {
    let body = request.take_body().into_bytes().await?;
    let wish = if *body == *UNMUTE { Action::Unmute } else { Action::Mute };
    let stand = match code(&app, &request) {
        Ok(code) => not_me::change(&app, code, wish).await,
        Err(error) => Err(error),
    };
    answer(&app, &request, stand, NotMe::Lifted)
}

/// Whatever is no token of ours is known without asking anybody.
fn code(app: &App, request: &Request) -> Result<Uuid, Error> {
    let token = request.raw_path_param("token").unwrap_or_default();
    not_me_link::read(&app.code_secrets, token).ok_or(Error::NotFound)
}

/// What cannot be told in the language of the mail is told in that of the browser.
fn answer(app: &App, request: &Request, stand: Result<SuppressionStatus, Error>, unmuted: NotMe) -> Result<Response> {
    let preferred = || language::preferred(request.headers());
    match stand {
        Ok(SuppressionStatus { language, muted_until: Some(until) }) => {
            respond(app, language, NotMe::Muted { until: day(until) })
        }
        Ok(SuppressionStatus { language, muted_until: None }) => respond(app, language, unmuted),
        Err(error) => {
            responses::tell(&error);
            let is_outdated = matches!(error, Error::NotFound);
            let said = if is_outdated { NotMe::Outdated } else { NotMe::Away };
            let (mut response, problem) = (respond(app, preferred(), said)?, Problem::from(error));
            response.set_status(problem.status());
            response.headers_mut().extend(problem.headers);
            Ok(response)
        }
    }
}

fn respond(app: &App, language: Language, said: NotMe) -> Result<Response> {
    let page = pages::not_me(language, said, &app.public_url).map_err(InternalServerError)?;
    let (robots, policy) = (ROBOTS, csp::of_form(&page));
    Ok(Response::builder()
        .status(StatusCode::OK)
        .content_type("text/html; charset=utf-8")
        .header("content-security-policy", policy)
        .header(robots.0, robots.1)
        .body(page))
}

fn day(at: OffsetDateTime) -> Day {
    Day { day: at.day(), month: at.month().into(), year: at.year() }
}
