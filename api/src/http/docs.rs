//! The spec and the two pages that show it, made once when the process starts.

use anyhow::{Context, Result};
use poem::{Route, get};
use poem_openapi::{OpenApi, OpenApiService};
use serde_json::{Map, Value, json};

use super::{
    csp::{self, Styles},
    page::Page,
    problem::CONTENT_TYPE,
};
use crate::App;

pub(super) struct Pages {
    spec: Value,
    swagger: String,
    scalar: String,
}

impl Pages {
    pub(super) fn of<T: OpenApi>(service: &OpenApiService<T, ()>, app: &App) -> Result<Self> {
        let plain = service.spec();
        let mut spec: Value = serde_json::from_str(&plain).context("the spec is not JSON")?;
        complete_spec(&mut spec, &app.public_url);
        add_bounds(&mut spec, app.policy.password_min_length);
        add_links(&mut spec);
        let complete = spec.to_string();
        Ok(Self {
            swagger: service.swagger_ui_html().replace(&plain, &complete),
            // Nothing from outside: by itself the page would fetch its fonts.
            scalar: service.scalar_html().replace(&plain, &complete).replacen(
                r#"id="api-reference""#,
                r#"id="api-reference" data-configuration='{"withDefaultFonts":false}'"#,
                1,
            ),
            spec,
        })
    }

    pub(super) fn spec(&self) -> &Value {
        &self.spec
    }

    pub(super) fn add_to(self, routes: Route) -> Route {
        let page = |content: String, styles| {
            let policy = csp::of(&content, styles);
            get(Page::new(content, "text/html; charset=utf-8", Some(policy)))
        };
        let spec = Page::new(self.spec.to_string(), "application/json", None);
        routes
            .at("/docs", page(self.swagger, Styles::Own))
            .at("/docs/scalar", page(self.scalar, Styles::Any))
            .at("/openapi.json", get(spec))
    }
}

/// What the framework has no place for: what a person can send at once, and what each problem looks like.
fn complete_spec(spec: &mut Value, public_url: &str) {
    let registration = "b0e5f5c6-6a0e-4d0c-9a3b-3f8f4f0f9b52";
    for (schema, example) in [
        ("Registration", json!({ "email": "ada@example.com", "password": "correct horse battery" })),
        ("Resending", json!({})),
        ("Activation", json!({ "code": "0042" })),
        (
            "Receipt",
            json!({
                "registration": registration, "status": "sent", "requested_at": "2026-11-21T12:00:00Z",
                "sent_at": "2026-11-21T12:00:00.08Z", "expires_at": "2026-11-21T12:01:00.08Z",
                "resend_at": "2026-11-21T12:01:00Z", "code_length": 4, "attempts_left": 3,
            }),
        ),
    ] {
        spec["components"]["schemas"][schema]["example"] = example;
    }
    let operations = spec["paths"].as_object_mut().into_iter().flatten().flat_map(|(_, path)| path.as_object_mut());
    for response in operations.flatten().filter_map(|(_, operation)| operation["responses"].as_object_mut()).flatten() {
        add_problems(response.0, response.1, public_url);
        add_headers(response.1);
    }
}

/// What is judged where all faults are collected, and not by the framework.
fn add_bounds(spec: &mut Value, password_min_length: usize) {
    // A form sends an empty field where nothing was filled in.
    let id = json!({ "pattern": "^([0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})?$", "nullable": true });
    for (schema, member, bounds) in [
        ("Registration", "email", json!({ "format": "email", "maxLength": 254 })),
        ("Registration", "password", json!({ "minLength": password_min_length, "maxLength": 128 })),
        ("Activation", "code", json!({ "pattern": "^[0-9]{4,10}$" })),
        ("Activation", "registration", id.clone()),
        ("Resending", "registration", id),
    ] {
        add_members(&mut spec["components"]["schemas"][schema]["properties"][member], bounds);
    }
    // Nothing, and the JSON that says nothing, are the same.
    spec["components"]["schemas"]["Resending"]["nullable"] = true.into();
    let parameters = spec["paths"]["/v1/users"]["post"]["parameters"].as_array_mut();
    for key in parameters.into_iter().flatten().filter(|parameter| parameter["name"] == "Idempotency-Key") {
        add_members(&mut key["schema"], json!({ "pattern": "^[!-~]{1,255}$" }));
    }
}

fn add_members(object: &mut Value, members: Value) {
    if let (Value::Object(object), Value::Object(members)) = (object, members) {
        object.extend(members);
    }
}

/// What can be done with a receipt. The code comes by mail, and who it is by Basic.
fn add_links(spec: &mut Value) {
    let id = "$response.body#/registration";
    for path in ["/v1/users", "/v1/users/resend"] {
        spec["paths"][path]["post"]["responses"]["202"]["links"] = json!({
            "receipt": { "operationId": "read_registration", "parameters": { "id": id } },
            "activate": { "operationId": "activate", "requestBody": { "registration": id } },
            "resend": { "operationId": "resend", "requestBody": { "registration": id } },
        });
    }
}

/// The description of a response lists its problems as "`slug`: Title; `slug`: Title".
fn add_problems(status: &str, response: &mut Value, public_url: &str) {
    let description = response["description"].as_str().unwrap_or_default().to_owned();
    let Some(content) = response["content"].get_mut(CONTENT_TYPE) else { return };
    let problems = description.split("; ").filter_map(|problem| problem.strip_prefix('`')?.split_once("`: "));
    let examples: Map<_, _> =
        problems.map(|(slug, title)| (slug.to_owned(), example(status, (slug, title), public_url))).collect();
    content["examples"] = examples.into();
}

fn example(status: &str, (slug, title): (&str, &str), public_url: &str) -> Value {
    let mut problem = json!({
        "type": format!("{public_url}/problems/{slug}"), "title": title, "status": status.parse::<u16>().ok(),
        "detail": "What to do about it.", "request_id": "1c5f2a1e-8f4e-4a46-8d4f-64b9d1e7c3a0",
    });
    match slug {
        "invalid-input" => {
            problem["errors"] =
                json!([{ "field": "email", "code": "required", "message": "An e-mail address is needed." }]);
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

/// Every answer has its id; and a header is named as it is written everywhere.
fn add_headers(response: &mut Value) {
    let id =
        json!({ "description": "Names this request in our log.", "schema": { "type": "string", "format": "uuid" } });
    response["headers"]["X-Request-Id"] = id;
    if let Some(location) = response["headers"].as_object_mut().and_then(|headers| headers.remove("LOCATION")) {
        response["headers"]["Location"] = location;
    }
}
