//! The OpenAPI document and the documentation pages.

use serde_json::Value;

use support::stack::Stack;

/// The names of an object's members, sorted: their order has no meaning, and depends on features of serde_json.
fn sorted_keys(object: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = object.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

#[tokio::test(flavor = "multi_thread")]
async fn spec_lists_every_response_status() {
    let stack = Stack::without_broker().await;
    let api = stack.start_api(&[]).await;
    let spec = api.client.get("/openapi.json").await.json();
    let statuses = |path: &str, method: &str| sorted_keys(&spec["paths"][path][method]["responses"]);
    assert_eq!(statuses("/v1/users", "post"), ["202", "400", "409", "413", "415", "422", "429", "500", "503"]);
    assert_eq!(statuses("/v1/registrations/{id}", "get"), ["200", "400", "404", "500", "503"]);
    let resend = ["202", "400", "401", "409", "410", "413", "415", "422", "429", "500", "503"];
    assert_eq!(statuses("/v1/users/resend", "post"), resend);
    let activate = ["200", "400", "401", "409", "410", "413", "415", "422", "429", "500", "503"];
    assert_eq!(statuses("/v1/users/activate", "post"), activate);
    assert_eq!(statuses("/v1/users/login", "post"), ["200", "401", "403", "429", "500", "503"]);
    assert_eq!(statuses("/v1/users/me", "get"), ["200", "401", "500", "503"]);
    assert_eq!(statuses("/v1/users/me", "delete"), ["204", "401", "403", "429", "500", "503"]);
    assert_eq!(statuses("/v1/users/logout", "post"), ["204", "401", "500", "503"]);
    let forgot = "/v1/users/password/forgot";
    assert_eq!(statuses(forgot, "post"), ["202", "400", "413", "415", "422", "429", "500", "503"]);
    assert_eq!(statuses(&format!("{forgot}/{{receipt}}"), "get"), ["200", "400", "404", "500", "503"]);
    let reset = ["204", "400", "404", "410", "413", "415", "422", "429", "500", "503"];
    assert_eq!(statuses("/v1/users/password/reset", "post"), reset);
    let change = ["204", "400", "401", "413", "415", "422", "429", "500", "503"];
    assert_eq!(statuses("/v1/users/me/password", "post"), change);
    assert_eq!(statuses("/health", "get"), ["200", "503"]);

    assert_eq!(spec["components"]["securitySchemes"]["Basic"]["scheme"], "basic");
    let security = |path: &str, method: &str| spec["paths"][path][method]["security"].clone();
    assert_eq!(spec["components"]["securitySchemes"]["Bearer"]["scheme"], "bearer");
    for (path, method) in [("/v1/users/activate", "post"), ("/v1/users/login", "post"), ("/v1/users/me", "delete")] {
        assert!(security(path, method)[0]["Basic"].is_array(), "{method} {path}");
    }
    for (path, method) in [("/v1/users/me", "get"), ("/v1/users/logout", "post"), ("/v1/users/me/password", "post")] {
        assert!(security(path, method)[0]["Bearer"].is_array(), "{method} {path}");
    }
    let empty = &spec["paths"]["/v1/users/logout"]["post"]["responses"]["204"];
    assert!(empty.get("content").is_none_or(|content| content.is_object()), "{empty}");
    let gone = &spec["paths"]["/v1/users/activate"]["post"]["responses"]["410"];
    let slugs = sorted_keys(&gone["content"]["application/problem+json"]["examples"]);
    assert_eq!(slugs, ["code-exhausted", "code-expired", "registration-closed"]);
    let accepted = &spec["paths"]["/v1/users"]["post"]["responses"]["202"]["headers"];
    assert!(accepted["Location"].is_object() && accepted["X-Request-Id"].is_object(), "{accepted}");
    assert!(spec["components"]["schemas"]["Registration"]["example"]["email"].is_string());
    let body = &spec["paths"]["/v1/users/resend"]["post"]["requestBody"];
    assert_ne!(body["required"], Value::Bool(true), "the body of resend is optional");
}

#[tokio::test(flavor = "multi_thread")]
async fn spec_has_input_constraints_and_links() {
    let stack = Stack::without_broker().await;
    let api = stack.start_api(&[("PASSWORD_MIN_LENGTH", "12")]).await;
    let spec = api.client.get("/openapi.json").await.json();
    let schemas = &spec["components"]["schemas"];
    let password = &schemas["Registration"]["properties"]["password"];
    assert_eq!((&password["minLength"], &password["maxLength"]), (&12.into(), &128.into()));
    assert_eq!(schemas["Registration"]["properties"]["email"]["format"], "email");
    assert_eq!(schemas["Reset"]["properties"]["password"]["minLength"], 12);
    assert_eq!(schemas["Reset"]["properties"]["code"]["pattern"], "^[0-9]{8,10}$");
    let next = &spec["paths"]["/v1/users/password/forgot"]["post"]["responses"]["202"]["links"]["reset"];
    let body = (&next["operationId"], &next["requestBody"]["receipt"]);
    assert_eq!(body, (&"reset_password".into(), &"$response.body#/receipt".into()));
    assert_eq!(schemas["Activation"]["properties"]["code"]["pattern"], "^[0-9]{4,10}$");
    let id = schemas["Resending"]["properties"]["registration"]["pattern"].as_str().unwrap();
    assert!(id.starts_with("^(") && id.ends_with(")?$"), "{id}: an empty id means no id");
    let optional = [&schemas["Resending"], &schemas["Activation"]["properties"]["registration"]];
    assert!(optional.iter().all(|schema| schema["nullable"] == true), "{schemas}");
    let key = &spec["paths"]["/v1/users"]["post"]["parameters"][0];
    assert_eq!((&key["name"], &key["schema"]["pattern"]), (&"Idempotency-Key".into(), &"^[!-~]{1,255}$".into()));

    for path in ["/v1/users", "/v1/users/resend"] {
        let links = &spec["paths"][path]["post"]["responses"]["202"]["links"];
        assert_eq!(links["receipt"]["parameters"]["id"], "$response.body#/registration", "{path}");
        let next: Vec<_> = ["receipt", "activate", "resend"].map(|link| links[link]["operationId"].as_str()).into();
        assert_eq!(next, [Some("read_registration"), Some("activate"), Some("resend")], "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn docs_pages_load_nothing_external() {
    let stack = Stack::without_broker().await;
    let api = stack.start_api(&[]).await;
    for path in ["/docs", "/docs/scalar"] {
        let page = api.client.get(path).await;
        assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"), "{path}");
        assert!(page.text.contains("correct horse battery"), "{path} shows the examples");
        assert!(
            !page.text.contains("<script src") && !page.text.contains("<link rel=\"stylesheet\" href=\"http"),
            "{path}"
        );
    }
    let scalar = api.client.get("/docs/scalar").await.text;
    // Exactly once: without it the page downloads fonts; a second one would be inside a script, and break it.
    assert_eq!(scalar.matches(r#"data-configuration='{"withDefaultFonts":false}'"#).count(), 1);
    let database = stack.database.production_url().await;
    let production = [("ENVIRONMENT", "production"), ("DATABASE_URL", &database), ("ALLOW_INSECURE", "http")];
    let without_docs = stack.start_api(&production).await;
    for path in ["/docs", "/docs/scalar", "/openapi.json"] {
        assert_eq!(without_docs.client.get(path).await.problem(), (404, "not-found".into()), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn spec_describes_the_event_stream() {
    let stack = Stack::without_broker().await;
    let api = stack.start_api(&[]).await;
    let spec = api.client.get("/openapi.json").await.json();
    let responses = &spec["paths"]["/v1/registrations/{id}/events"]["get"]["responses"];
    assert_eq!(sorted_keys(responses), ["200", "204", "400", "404", "429", "500", "503"]);
    let item = &responses["200"]["content"]["text/event-stream"]["schema"]["items"]["$ref"];
    assert_eq!(item, "#/components/schemas/Receipt", "the same schema as for reading a receipt");
}
