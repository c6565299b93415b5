//! `GET /`: the web app, one page per language.
//!
//! HTML, style and script are one response. The script uses only the public API and sends requests nowhere else.

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

use crate::http::{
    cached_page::{CachedPage, Rendered},
    csp, language,
};

const STYLE: &str = include_str!("web_app/app.css");

/// The same icon as in the page's `<link rel="icon">`.
const ICON: &str = include_str!("web_app/favicon.svg");

/// The script of the page, one module for the browser. Each file may use what the files before it define.
const SCRIPT: &str = concat!(
    "\n",
    include_str!("web_app/dom.js"),
    include_str!("web_app/server_clock.js"),
    include_str!("web_app/api_client.js"),
    include_str!("web_app/code_input.js"),
    include_str!("web_app/receipt_watch.js"),
    include_str!("web_app/countdown.js"),
    include_str!("web_app/sign_up.js"),
    include_str!("web_app/account.js"),
    include_str!("web_app/password_reset.js"),
    include_str!("web_app/main.js"),
);

/// The endpoint of the icon. Browsers request it for pages that name no icon, such as the docs.
pub(crate) fn favicon() -> impl Endpoint<Output = Response> + 'static {
    get(CachedPage::new("image/svg+xml", || Rendered { content: ICON.to_owned(), csp: None }))
}

/// The endpoint of the web app. It links to the docs pages if they are served.
pub(crate) fn page(password_min_length: usize, with_docs: bool) -> impl Endpoint<Output = Response> + 'static {
    let pages = Language::ALL.iter().map(|&language| (language, localized(language, password_min_length, with_docs)));
    let pages = pages.collect::<Vec<_>>();
    get(make(move |request| {
        let page = find(&pages, requested_language(&request)).cloned();
        async move { respond(page, request).await }
    }))
}

fn localized(language: Language, password_min_length: usize, docs: bool) -> CachedPage {
    CachedPage::new("text/html; charset=utf-8", move || {
        let web_app = WebApp { style: STYLE, script: SCRIPT, password_min_length, docs };
        // Rendering cannot fail: the templates were checked at compile time.
        let content = render_page(language, web_app).unwrap_or_default();
        let csp = Some(csp::for_self_contained(&content));
        Rendered { content, csp }
    })
}

fn find(pages: &[(Language, CachedPage)], language: Language) -> Option<&CachedPage> {
    pages.iter().find(|(of_page, _)| *of_page == language).map(|(_, page)| page)
}

async fn respond(page: Option<CachedPage>, request: Request) -> Result<Response> {
    // Every language has a page, so this is never `None`.
    let Some(page) = page else { return Err(poem::error::NotFoundError.into()) };
    let mut response = page.call(request).await?;
    response.headers_mut().append(header::VARY, HeaderValue::from_static("Accept-Language"));
    Ok(response)
}

/// `?lang=` takes precedence over `Accept-Language`.
fn requested_language(request: &Request) -> Language {
    language_of_query(request.uri()).unwrap_or_else(|| language::preferred(request.headers()))
}

fn language_of_query(uri: &Uri) -> Option<Language> {
    let tag = uri.query()?.split('&').find_map(|pair| pair.strip_prefix("lang="))?;
    Language::ALL.iter().copied().find(|language| language.tag() == tag)
}
