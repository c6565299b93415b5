//! The table of all routes and their methods: for `Allow` headers, and for logs and metrics, which name routes instead
//! of paths because paths contain ids and tokens.

use serde_json::Value;
use shared::mail_link::MailLink;

use crate::http::paths;

/// All routes of the API.
#[derive(Clone, Debug)]
pub(crate) struct RouteTable {
    routes: Vec<Route>,
    has_docs: bool,
}

#[derive(Clone, Debug)]
struct Route {
    /// Like `/v1/registrations/{id}`. Leaked, because metric labels are static; the table is built once per process.
    pattern: &'static str,
    /// The value of `Allow`.
    methods: String,
}

impl RouteTable {
    /// The routes in the OpenAPI document, and those that are not in it.
    pub(crate) fn new(spec: &Value, with_docs: bool) -> Self {
        let documented = spec["paths"].as_object().into_iter().flatten().map(|(pattern, operations)| {
            let mut methods: Vec<_> =
                operations.as_object().into_iter().flatten().map(|(method, _)| method.to_uppercase()).collect();
            // The order of JSON members depends on how serde_json is compiled.
            methods.sort_unstable();
            Route { pattern: pattern.clone().leak(), methods: methods.join(", ").replace("GET", "GET, HEAD") }
        });
        let docs = if with_docs { &[paths::DOCS, paths::DOCS_SCALAR, paths::OPENAPI_JSON][..] } else { &[] };
        let pages = [paths::WEB_APP, paths::FAVICON, paths::PROBLEM].into_iter().chain(docs.iter().copied());
        let pages = pages.map(|pattern| Route { pattern, methods: "GET, HEAD".into() });
        let behind_links = [MailLink::NotMe, MailLink::Unlock].map(|link| Route {
            pattern: format!("{}{{token}}", link.path()).leak(),
            methods: "GET, HEAD, POST".into(),
        });
        Self { routes: documented.chain(pages).chain(behind_links).collect(), has_docs: with_docs }
    }

    /// The route that a path belongs to.
    pub(crate) fn route(&self, path: &str) -> Option<&'static str> {
        self.find(path).map(|route| route.pattern)
    }

    /// The methods of a path's route, as in an `Allow` header.
    pub(crate) fn allowed_methods(&self, path: &str) -> Option<&str> {
        self.find(path).map(|route| route.methods.as_str())
    }

    /// The detail of a 404 for a path that no route has.
    pub(crate) fn unknown_path_detail(&self) -> &'static str {
        if self.has_docs {
            "This path does not exist. The page /docs lists all paths."
        } else {
            "This path does not exist. The API reference lists all paths; an operator can serve it at /docs."
        }
    }

    fn find(&self, path: &str) -> Option<&Route> {
        // A route without parameters takes precedence over one whose parameter matches.
        let exact = self.routes.iter().find(|candidate| segments(candidate.pattern).eq(segments(path)));
        exact.or_else(|| self.routes.iter().find(|candidate| matches(candidate.pattern, path)))
    }
}

fn matches(pattern: &str, path: &str) -> bool {
    segments(pattern).count() == segments(path).count()
        && segments(pattern).zip(segments(path)).all(|(expected, given)| expected.starts_with('{') || expected == given)
}

/// Additional slashes are ignored, as the router does (`NormalizePath`).
fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_is_found_by_its_route() {
        let spec = serde_json::json!({"paths": {
            "/v1/registrations/{id}": {"get": {}, "delete": {}}, "/v1/registrations/all": {"post": {}},
        }});
        let routes = RouteTable::new(&spec, false);
        assert_eq!(routes.route("/v1/registrations/7/"), Some("/v1/registrations/{id}"));
        assert_eq!(routes.allowed_methods("/v1/registrations/7"), Some("DELETE, GET, HEAD"));
        assert_eq!(
            routes.route("/v1//registrations/7//"),
            Some("/v1/registrations/{id}"),
            "additional slashes are ignored"
        );
        assert_eq!(routes.route("/v1/registrations"), None);
        assert_eq!(routes.route("/v1/registrations/7/8"), None);
        assert_eq!(routes.allowed_methods("/v1/registrations/all"), Some("POST"));
        assert_eq!(routes.route("/docs"), None);
        assert_eq!((routes.route("/"), routes.allowed_methods("/")), (Some("/"), Some("GET, HEAD")));
        let not_me = (routes.route("/not-me/secret"), routes.allowed_methods("/not-me/secret/"));
        assert_eq!(
            not_me,
            (Some("/not-me/{token}"), Some("GET, HEAD, POST")),
            "not in the OpenAPI document; the token is not logged"
        );
        assert_eq!(RouteTable::new(&spec, true).allowed_methods("/docs"), Some("GET, HEAD"));
    }
}
