//! `GET /problems/{slug}`: the pages that the `type` of a problem document leads to.

use poem::{Endpoint, Request, Response, Result, endpoint::make_sync, error::NotFoundError, get, http::header};

use crate::http::{
    csp,
    problem::{ProblemDefinition, ProblemKind},
};

/// The endpoint of `paths::PROBLEM_ROUTE`. Problems are for developers, so their pages are in English only.
pub(crate) fn page() -> impl Endpoint<Output = Response> + 'static {
    get(make_sync(|request: Request| respond(request.raw_path_param("slug").unwrap_or_default())))
}

fn respond(slug: &str) -> Result<Response> {
    let definitions = ProblemKind::ALL.map(ProblemKind::definition);
    let definition = definitions.into_iter().find(|definition| definition.slug == slug).ok_or(NotFoundError)?;
    let html = render(&definition);
    Ok(Response::builder()
        .content_type("text/html; charset=utf-8")
        .header(header::CONTENT_SECURITY_POLICY, csp::for_form(&html))
        .body(html))
}

/// All texts come from the table of problems and contain nothing that HTML would interpret.
fn render(ProblemDefinition { status, slug, title, explanation }: &ProblemDefinition) -> String {
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
<p>Status <code>{status}</code>, problem <code>{slug}</code>. The member <code>detail</code> of the response tells more
about the request, and <code>request_id</code> identifies it in the log of the service.</p>
</main>
</body>
</html>
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_has_a_page_that_needs_no_escaping() {
        let definitions = ProblemKind::ALL.map(ProblemKind::definition);
        for (n, definition) in definitions.iter().enumerate() {
            let texts = [definition.slug, definition.title, definition.explanation];
            assert!(texts.iter().all(|text| !text.contains(['<', '>', '&', '"'])), "{texts:?}");
            assert!(definition.explanation.ends_with('.'));
            let same = definitions.iter().position(|other| other.slug == definition.slug);
            assert_eq!(same, Some(n), "slugs are unique");
            assert!(respond(definition.slug).is_ok());
        }
        assert!(respond("no-such-problem").is_err());
    }
}
