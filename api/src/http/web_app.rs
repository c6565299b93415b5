//! `GET /`: the page that greets people, in each language. All of it is one answer, and what it does, anybody can do:
//! it asks the API and nobody else.

use i18n::{
    Language,
    web_app::{WebApp, render_page},
};
use poem::{
    Endpoint, Request, Response, Result,
    endpoint::make,
    get,
    http::{HeaderValue, Uri, header},
};

use crate::http::{cached_page::Page, csp, language};

const STYLE: &str = include_str!("web_app/app.css");

/// One script, for a browser; for us a file for each of its reasons, in the order in which they need each other.
const SCRIPT: &str = concat!(
    "\n",
    include_str!("web_app/page.js"),
    include_str!("web_app/clock.js"),
    include_str!("web_app/ask.js"),
    include_str!("web_app/boxes.js"),
    include_str!("web_app/watch.js"),
    include_str!("web_app/minute.js"),
    include_str!("web_app/sign_up.js"),
    include_str!("web_app/account.js"),
    include_str!("web_app/forgot.js"),
    include_str!("web_app/start.js"),
);

pub(crate) fn page(password_min_length: usize, docs: bool) -> impl Endpoint<Output = Response> + 'static {
    let pages = Language::ALL.iter().map(|&language| (language, in_language(language, password_min_length, docs)));
    let pages = pages.collect::<Vec<_>>();
    get(make(move |request| {
        let page = find(&pages, wanted(&request)).cloned();
        async move { answer(page, request).await }
    }))
}

fn in_language(language: Language, password_min_length: usize, docs: bool) -> Page {
    Page::new("text/html; charset=utf-8", move || {
        let web_app = WebApp { style: STYLE, script: SCRIPT, password_min_length, docs };
        // Its words were checked when it was compiled.
        let page = render_page(language, web_app).unwrap_or_default();
        let policy = csp::of_whole(&page);
        (page, Some(policy))
    })
}

fn find(pages: &[(Language, Page)], wanted: Language) -> Option<&Page> {
    pages.iter().find(|(language, _)| *language == wanted).map(|(_, page)| page)
}

async fn answer(page: Option<Page>, request: Request) -> Result<Response> {
    // There is one for each language.
    let mut response = match page {
        Some(page) => page.call(request).await?,
        None => return Err(poem::error::NotFoundError.into()),
    };
    response.headers_mut().append(header::VARY, HeaderValue::from_static("Accept-Language"));
    Ok(response)
}

/// Who chooses a language has it, whatever their browser says.
fn wanted(request: &Request) -> Language {
    chosen(request.uri()).unwrap_or_else(|| language::preferred(request.headers()))
}

fn chosen(uri: &Uri) -> Option<Language> {
    let tag = uri.query()?.split('&').find_map(|pair| pair.strip_prefix("lang="))?;
    Language::ALL.iter().copied().find(|language| language.tag() == tag)
}
