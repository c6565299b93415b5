//! The paths that exist and what can be done there: for `Allow`, and for a log that names no ids.

use serde_json::Value;

#[derive(Clone, Debug)]
pub(super) struct Routes(Vec<Path>);

#[derive(Clone, Debug)]
struct Path {
    pattern: String,
    methods: String,
}

impl Routes {
    pub(super) fn new(spec: &Value, with_docs: bool) -> Self {
        let paths = spec["paths"].as_object().into_iter().flatten();
        let documented = paths.map(|(pattern, operations)| {
            let methods: Vec<_> =
                operations.as_object().into_iter().flatten().map(|(method, _)| method.to_uppercase()).collect();
            Path { pattern: pattern.clone(), methods: methods.join(", ").replace("GET", "GET, HEAD") }
        });
        let pages = if with_docs { &["/docs", "/docs/scalar", "/openapi.json"][..] } else { &[] };
        let pages = pages.iter().map(|page| Path { pattern: (*page).to_owned(), methods: "GET, HEAD".into() });
        Self(documented.chain(pages).collect())
    }

    pub(super) fn pattern(&self, path: &str) -> Option<&str> {
        self.find(path).map(|path| path.pattern.as_str())
    }

    pub(super) fn allowed(&self, path: &str) -> Option<&str> {
        self.find(path).map(|path| path.methods.as_str())
    }

    fn find(&self, path: &str) -> Option<&Path> {
        let path = if path == "/" { path } else { path.trim_end_matches('/') };
        // A path without parameters goes before one that would match it with them.
        let exact = self.0.iter().find(|candidate| candidate.pattern == path);
        exact.or_else(|| self.0.iter().find(|candidate| matches(&candidate.pattern, path)))
    }
}

fn matches(pattern: &str, path: &str) -> bool {
    let (pattern, path): (Vec<_>, Vec<_>) = (pattern.split('/').collect(), path.split('/').collect());
    pattern.len() == path.len()
        && pattern.iter().zip(path).all(|(expected, given)| expected.starts_with('{') || *expected == given)
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
        assert_eq!(routes.allowed("/v1/registrations/all"), Some("POST"));
        assert_eq!(routes.pattern("/docs"), None);
        assert_eq!(Routes::new(&spec, true).allowed("/docs"), Some("GET, HEAD"));
    }
}
