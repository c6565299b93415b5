//! The OpenAPI document, built when the process starts, and its pages (Swagger UI, Scalar), rendered at the first
//! request.

use anyhow::{Context, Result};
use poem::{Route, get};
use poem_openapi::{OpenApi, OpenApiService};
use serde_json::{Map, Value, json};

use crate::{
    app::App,
    http::{
        cached_page::{CachedPage, Rendered},
        csp::{self, StylePolicy},
        paths,
        problem::CONTENT_TYPE,
    },
};

/// The id in all examples.
const EXAMPLE_ID: &str = "b0e5f5c6-6a0e-4d0c-9a3b-3f8f4f0f9b52";

/// The OpenAPI document and its pages.
pub(crate) struct DocsPages {
    /// The completed document.
    spec: Value,
    /// The document as poem-openapi generates it, and as it embeds it in the pages.
    generated: String,
}

impl DocsPages {
    /// Generates the OpenAPI document and completes it with what poem-openapi cannot express.
    pub(crate) fn new<T: OpenApi>(service: &OpenApiService<T, ()>, app: &App) -> Result<Self> {
        let generated = service.spec();
        let mut spec: Value = serde_json::from_str(&generated).context("the OpenAPI document is not JSON")?;
        add_examples(&mut spec, &app.public_url);
        add_constraints(&mut spec, app.policy.password_min_length);
        add_receipt_links(&mut spec);
        add_reset_links(&mut spec);
        Ok(Self { spec, generated })
    }

    /// The completed OpenAPI document.
    pub(crate) fn spec(&self) -> &Value {
        &self.spec
    }

    /// Adds the routes of the document and its pages.
    ///
    /// Rendering needs a service, which is made at the first request: the pages are as large as the rest of the API
    /// together, and most processes never serve them.
    pub(crate) fn add_to<T: OpenApi + 'static>(
        self,
        routes: Route,
        service: impl Fn() -> OpenApiService<T, ()> + Clone + Send + Sync + 'static,
    ) -> Route {
        let completed = self.spec.to_string();
        let json = CachedPage::new("application/json", {
            let completed = completed.clone();
            move || Rendered { content: completed.clone(), csp: None }
        });
        let page = |render: fn(&OpenApiService<T, ()>) -> String, styles| {
            let service = service.clone();
            let generated = self.generated.clone();
            let completed = completed.clone();
            get(CachedPage::new("text/html; charset=utf-8", move || {
                let content = render(&service()).replace(&generated, &completed);
                let csp = Some(csp::for_docs(&content, styles));
                Rendered { content, csp }
            }))
        };
        routes
            .at(paths::DOCS, page(OpenApiService::swagger_ui_html, StylePolicy::Hashed))
            // Scalar creates styles while it runs.
            .at(paths::DOCS_SCALAR, page(scalar, StylePolicy::UnsafeInline))
            .at(paths::OPENAPI_JSON, get(json))
    }
}

/// The Scalar page without web fonts, which it would load from another server by default.
fn scalar<T: OpenApi>(service: &OpenApiService<T, ()>) -> String {
    let with_configuration = r#"id="api-reference" data-configuration='{"withDefaultFonts":false}'"#;
    service.scalar_html().replacen(r#"id="api-reference""#, with_configuration, 1)
}

/// Adds examples of all bodies and problems, and the headers of all responses.
fn add_examples(spec: &mut Value, public_url: &str) {
    for (schema, example) in schema_examples() {
        spec["components"]["schemas"][schema]["example"] = example;
    }
    let operations = spec["paths"].as_object_mut().into_iter().flatten().flat_map(|(_, path)| path.as_object_mut());
    let responses = operations.flatten().filter_map(|(_, operation)| operation["responses"].as_object_mut()).flatten();
    for (status, response) in responses {
        add_problem_examples(status, response, public_url);
        add_headers(response);
    }
}

/// Adds the constraints that the handlers check instead of poem-openapi, which would report only the first error.
fn add_constraints(spec: &mut Value, password_min_length: usize) {
    // May be empty: forms send an empty string for a field that was not filled in.
    let id = json!({ "pattern": "^([0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})?$", "nullable": true });
    let password = json!({ "minLength": password_min_length, "maxLength": 128 });
    for (schema, member, constraints) in [
        ("Registration", "email", json!({ "format": "email", "maxLength": 254 })),
        ("Registration", "password", password.clone()),
        ("Activation", "code", json!({ "pattern": "^[0-9]{4,10}$" })),
        ("Activation", "registration", id.clone()),
        ("Forgotten", "email", json!({ "format": "email", "maxLength": 254 })),
        ("Reset", "receipt", json!({ "format": "uuid" })),
        ("Reset", "code", json!({ "pattern": "^[0-9]{8,10}$" })),
        ("Reset", "password", password.clone()),
        ("PasswordChange", "new_password", password.clone()),
        ("Resending", "registration", id),
    ] {
        add_members(&mut spec["components"]["schemas"][schema]["properties"][member], constraints);
    }
    // The body may be missing or `null`.
    spec["components"]["schemas"]["Resending"]["nullable"] = true.into();
    let parameters = spec["paths"][paths::USERS]["post"]["parameters"].as_array_mut();
    for key in parameters.into_iter().flatten().filter(|parameter| parameter["name"] == "Idempotency-Key") {
        add_members(&mut key["schema"], json!({ "pattern": "^[!-~]{1,255}$" }));
    }
}

fn add_members(object: &mut Value, members: Value) {
    if let (Value::Object(object), Value::Object(members)) = (object, members) {
        object.extend(members);
    }
}

/// Links from a registration's receipt to the operations that take its id. The code comes by mail, the credentials by
/// Basic.
fn add_receipt_links(spec: &mut Value) {
    let id = "$response.body#/registration";
    for path in [paths::USERS, paths::RESEND] {
        spec["paths"][path]["post"]["responses"]["202"]["links"] = json!({
            "receipt": { "operationId": "read_registration", "parameters": { "id": id } },
            "activate": { "operationId": "activate", "requestBody": { "registration": id } },
            "resend": { "operationId": "resend", "requestBody": { "registration": id } },
        });
    }
}

/// Links from a reset's receipt to the operations that take it.
fn add_reset_links(spec: &mut Value) {
    let receipt = "$response.body#/receipt";
    spec["paths"][paths::FORGOT_PASSWORD]["post"]["responses"]["202"]["links"] = json!({
        "receipt": { "operationId": "read_reset", "parameters": { "receipt": receipt } },
        "reset": { "operationId": "reset_password", "requestBody": { "receipt": receipt } },
    });
}

/// Adds an example for each problem of a response, whose description lists them as "`slug`: Title; `slug`: Title".
fn add_problem_examples(status: &str, response: &mut Value, public_url: &str) {
    let description = response["description"].as_str().unwrap_or_default().to_owned();
    let Some(content) = response.get_mut("content").and_then(|content| content.get_mut(CONTENT_TYPE)) else { return };
    let problems = description.split("; ").filter_map(|problem| problem.strip_prefix('`')?.split_once("`: "));
    let examples: Map<_, _> =
        problems.map(|(slug, title)| (slug.to_owned(), problem_example(status, slug, title, public_url))).collect();
    content["examples"] = examples.into();
}

fn problem_example(status: &str, slug: &str, title: &str, public_url: &str) -> Value {
    let mut problem = json!({
        "type": format!("{public_url}/problems/{slug}"), "title": title, "status": status.parse::<u16>().ok(),
        "detail": "What happened. What to do.", "request_id": "1c5f2a1e-8f4e-4a46-8d4f-64b9d1e7c3a0",
    });
    match slug {
        "invalid-input" => {
            problem["errors"] =
                json!([{ "field": "email", "code": "required", "message": "The email address is missing." }]);
        }
        "wrong-code" => problem["attempts_left"] = 2.into(),
        "too-many-requests" => {
            problem["scope"] = "address".into();
            problem["retry_after"] = 42.into();
        }
        _ => {}
    }
    json!({ "summary": title, "value": problem })
}

/// Adds the request id header, and restores the usual spelling of `Location`, which poem-openapi writes in upper case.
fn add_headers(response: &mut Value) {
    response["headers"]["X-Request-Id"] = json!({
        "description": "The id of the request in the log of the service.",
        "schema": { "type": "string", "format": "uuid" },
    });
    if let Some(location) = response["headers"].as_object_mut().and_then(|headers| headers.remove("LOCATION")) {
        response["headers"]["Location"] = location;
    }
}

/// Example values of the schemas: request bodies that can be sent as they are, and the matching responses.
fn schema_examples() -> impl Iterator<Item = (&'static str, Value)> {
    [
        ("Registration", json!({ "email": "ada@example.com", "password": "correct horse battery" })),
        ("Resending", json!({})),
        ("Activation", json!({ "code": "0042" })),
        (
            "Receipt",
            json!({
                "registration": EXAMPLE_ID, "status": "sent", "requested_at": "2026-11-21T12:00:00Z",
                "sent_at": "2026-11-21T12:00:00.08Z", "expires_at": "2026-11-21T12:01:00.08Z",
                "resend_at": "2026-11-21T12:01:00Z", "code_length": 4, "attempts_left": 3,
            }),
        ),
        ("Forgotten", json!({ "email": "ada@example.com" })),
        ("Reset", json!({ "receipt": EXAMPLE_ID, "code": "00420042", "password": "another horse battery" })),
        ("PasswordChange", json!({ "password": "correct horse battery", "new_password": "another horse battery" })),
        (
            "ResetReceipt",
            json!({
                "receipt": EXAMPLE_ID, "status": "sent", "requested_at": "2026-11-21T12:00:00Z",
                "sent_at": "2026-11-21T12:00:00.08Z", "expires_at": "2026-11-21T12:10:00.08Z",
                "resend_at": "2026-11-21T12:01:00Z", "code_length": 8, "attempts_left": 3,
            }),
        ),
        (
            "Session",
            json!({
                "token": "YW4gZXhhbXBsZSwgYW5kIG5vYm9keSdzIHRva2VuLi4", "token_type": "Bearer",
                "expires_at": "2026-11-22T12:00:00Z",
            }),
        ),
    ]
    .into_iter()
}
