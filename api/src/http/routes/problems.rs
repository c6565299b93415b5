//! `GET /problems/{slug}`: the pages that the `type` of a problem document leads to.

use poem::{Endpoint, Request, Response, Result, endpoint::make_sync, error::NotFoundError, get, http::header};

use crate::http::{
    csp,
    problem::{self, ProblemDefinition},
};

/// The endpoint of `paths::PROBLEM_ROUTE`. Problems are for developers, so their pages are in English only.
pub(crate) fn page() -> impl Endpoint<Output = Response> + 'static {
    get(make_sync(|request: Request| respond(request.raw_path_param("slug").unwrap_or_default())))
}

fn respond(slug: &str) -> Result<Response> {
    let html = render(problem::find(slug).ok_or(NotFoundError)?);
    Ok(Response::builder()
        .content_type("text/html; charset=utf-8")
        .header(header::CONTENT_SECURITY_POLICY, csp::for_form(&html))
        .body(html))
}

/// All texts come from the table of problems and contain nothing that HTML would interpret.
fn render(ProblemDefinition { status, slug, title, explanation, .. }: &ProblemDefinition) -> String {
    format!(
        r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark }}
body {{ margin: 0; padding: 8vh 24px 24px; font: 17px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif }}
main {{ max-width: 36em; margin: 0 auto }}
h1 {{ font-size: 1.5em; line-height: 1.25 }}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
<p>{explanation}</p>
<p>Status <code>{status}</code>, problem <code>{slug}</code>. The member <code>detail</code> of the response says more
about the request, and <code>request_id</code> identifies it in the log of the service.</p>
</main>
</body>
</html>
"#
    )
}
