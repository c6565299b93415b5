//! The spec, made when the process starts, and the two pages that show it, made when somebody asks for them.

mod examples;

use anyhow::{Context, Result};
use poem::{Route, get};
use poem_openapi::{OpenApi, OpenApiService};
use serde_json::{Map, Value, json};

use crate::{
    app::App,
    http::{
        cached_page::Page,
        csp::{self, Styles},
        problem::CONTENT_TYPE,
    },
};

pub(crate) struct Pages {
    spec: Value,
    /// As the framework has it, which is how its pages show it.
    plain: String,
}

impl Pages {
    pub(crate) fn of<T: OpenApi>(service: &OpenApiService<T, ()>, app: &App) -> Result<Self> {
        let plain = service.spec();
        let mut spec: Value = serde_json::from_str(&plain).context("the spec is not JSON")?;
        complete_spec(&mut spec, &app.public_url);
        add_bounds(&mut spec, app.policy.password_min_length);
        add_links(&mut spec);
        add_reset_links(&mut spec);
        Ok(Self { spec, plain })
    }

    pub(crate) fn spec(&self) -> &Value {
        &self.spec
    }

    /// The pages are as large as everything else of ours together, and most processes are never asked for them:
    /// the service that makes them is made when somebody asks.
    pub(crate) fn add_to<T: OpenApi + 'static>(
        self,
        routes: Route,
        service: impl Fn() -> OpenApiService<T, ()> + Clone + Send + Sync + 'static,
    ) -> Route {
        let complete = self.spec.to_string();
        let spec = Page::new("application/json", {
            let complete = complete.clone();
            move || (complete.clone(), None)
        });
        let page = |make: fn(&OpenApiService<T, ()>) -> String, styles| {
            let (service, plain, complete) = (service.clone(), self.plain.clone(), complete.clone());
            get(Page::new("text/html; charset=utf-8", move || {
                let content = make(&service()).replace(&plain, &complete);
                let policy = csp::of(&content, styles);
                (content, Some(policy))
            }))
        };
        routes
            .at("/docs", page(OpenApiService::swagger_ui_html, Styles::Own))
            .at("/docs/scalar", page(scalar, Styles::Any))
            .at("/openapi.json", get(spec))
    }
}

/// Nothing from outside: by itself the page would fetch its fonts.
fn scalar<T: OpenApi>(service: &OpenApiService<T, ()>) -> String {
    let with = r#"id="api-reference" data-configuration='{"withDefaultFonts":false}'"#;
    service.scalar_html().replacen(r#"id="api-reference""#, with, 1)
}

/// What the framework has no place for: what a person can send at once, and what each problem looks like.
fn complete_spec(spec: &mut Value, public_url: &str) {
    for (schema, example) in examples::of_schemas() {
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
    let password = json!({ "minLength": password_min_length, "maxLength": 128 });
    for (schema, member, bounds) in [
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

fn add_reset_links(spec: &mut Value) {
    let receipt = "$response.body#/receipt";
    spec["paths"]["/v1/users/password/forgot"]["post"]["responses"]["202"]["links"] = json!({
        "receipt": { "operationId": "read_reset", "parameters": { "receipt": receipt } },
        "reset": { "operationId": "reset_password", "requestBody": { "receipt": receipt } },
    });
}

/// The description of a response lists its problems as "`slug`: Title; `slug`: Title".
fn add_problems(status: &str, response: &mut Value, public_url: &str) {
    let description = response["description"].as_str().unwrap_or_default().to_owned();
    let Some(content) = response.get_mut("content").and_then(|content| content.get_mut(CONTENT_TYPE)) else { return };
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
    let id = json!({ "description": "SubjectKeys this request in our log.", "schema": { "type": "string", "format": "uuid" } });
    response["headers"]["X-Request-Id"] = id;
    if let Some(location) = response["headers"].as_object_mut().and_then(|headers| headers.remove("LOCATION")) {
        response["headers"]["Location"] = location;
    }
}
