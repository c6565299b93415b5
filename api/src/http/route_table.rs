//! The paths that exist and what can be done there: for `Allow`, and for a log and metrics that name no ids.

use serde_json::Value;
use shared::not_me_link;

#[derive(Clone, Debug)]
pub(crate) struct Routes(Vec<Path>);

#[derive(Clone, Debug)]
struct Path {
    /// Lives as long as the program, as the label of a metric must; they are made once, when the process starts.
    pattern: &'static str,
    methods: String,
}

impl Routes {
    pub(crate) fn new(spec: &Value, with_docs: bool) -> Self {
        let paths = spec["paths"].as_object().into_iter().flatten();
        let documented = paths.map(|(pattern, operations)| {
            let methods: Vec<_> =
                operations.as_object().into_iter().flatten().map(|(method, _)| method.to_uppercase()).collect();
            Path { pattern: pattern.clone().leak(), methods: methods.join(", ").replace("GET", "GET, HEAD") }
        });
        let docs = if with_docs { &["/docs", "/docs/scalar", "/openapi.json"][..] } else { &[] };
        let pages = ["/"].iter().chain(docs).map(|pattern| Path { pattern, methods: "GET, HEAD".into() });
        let not_me =
            Path { pattern: format!("{}{{token}}", not_me_link::PATH).leak(), methods: "GET, HEAD, POST".into() };
        Self(documented.chain(pages).chain([not_me]).collect())
    }

    pub(crate) fn pattern(&self, path: &str) -> Option<&'static str> {
        self.find(path).map(|path| path.pattern)
    }

    pub(crate) fn allowed(&self, path: &str) -> Option<&str> {
        self.find(path).map(|path| path.methods.as_str())
    }

    fn find(&self, path: &str) -> Option<&Path> {
        // A path without parameters goes before one that would match it with them.
        let exact = self.0.iter().find(|candidate| segments(candidate.pattern).eq(segments(path)));
        exact.or_else(|| self.0.iter().find(|candidate| matches(candidate.pattern, path)))
    }
}

fn matches(pattern: &str, path: &str) -> bool {
    segments(pattern).count() == segments(path).count()
        && segments(pattern).zip(segments(path)).all(|(expected, given)| expected.starts_with('{') || expected == given)
}

/// Some slashes more make no other path: they are answered all the same.
fn segments(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|segment| !segment.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_found_by_its_pattern() {
        let spec = serde_json::json!({"paths": {
            "/v1/registrations/{id}": {"get": {}, "delete": {}}, "/v1/registrations/all": {"post": {}},
        }});
        let routes = Routes::new(&spec, false);
        assert_eq!(routes.pattern("/v1/registrations/7/"), Some("/v1/registrations/{id}"));
        assert_eq!(routes.allowed("/v1/registrations/7"), Some("DELETE, GET, HEAD"));
        assert_eq!(routes.pattern("/v1//registrations/7//"), Some("/v1/registrations/{id}"), "as it is answered");
        assert_eq!(routes.pattern("/v1/registrations"), None);
        assert_eq!(routes.pattern("/v1/registrations/7/8"), None);
        assert_eq!(routes.allowed("/v1/registrations/all"), Some("POST"));
        assert_eq!(routes.pattern("/docs"), None);
        assert_eq!((routes.pattern("/"), routes.allowed("/")), (Some("/"), Some("GET, HEAD")));
        let not_me = (routes.pattern("/not-me/secret"), routes.allowed("/not-me/secret/"));
        assert_eq!(not_me, (Some("/not-me/{token}"), Some("GET, HEAD, POST")), "in no spec, and the token in no log");
        assert_eq!(Routes::new(&spec, true).allowed("/docs"), Some("GET, HEAD"));
    }
}
