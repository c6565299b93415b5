//! The spec and its pages: what a person finds who comes to try the service.

use serde_json::Value;

use crate::stack::Stack;

#[tokio::test(flavor = "multi_thread")]
async fn the_spec_names_every_answer() {
    let stack = Stack::without_broker().await;
    let api = stack.start_api(&[]).await;
    let spec = api.client.get("/openapi.json").await.json();
    let statuses = |path: &str, method: &str| -> Vec<String> {
        spec["paths"][path][method]["responses"].as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(statuses("/v1/users", "post"), ["202", "400", "409", "413", "415", "422", "429", "500", "503"]);
    assert_eq!(statuses("/v1/registrations/{id}", "get"), ["200", "400", "404", "500", "503"]);
    let resend = ["202", "400", "401", "409", "410", "413", "415", "422", "429", "500", "503"];
    assert_eq!(statuses("/v1/users/resend", "post"), resend);
    let activate = ["200", "400", "401", "409", "410", "413", "415", "422", "429", "500", "503"];
    assert_eq!(statuses("/v1/users/activate", "post"), activate);
    assert_eq!(statuses("/health", "get"), ["200", "503"]);

    assert_eq!(spec["components"]["securitySchemes"]["Basic"]["scheme"], "basic");
    assert!(spec["paths"]["/v1/users/activate"]["post"]["security"][0]["Basic"].is_array());
    let gone = &spec["paths"]["/v1/users/activate"]["post"]["responses"]["410"];
    let examples = gone["content"]["application/problem+json"]["examples"].as_object().unwrap();
    assert_eq!(examples.keys().collect::<Vec<_>>(), ["code-exhausted", "code-expired", "registration-closed"]);
    let accepted = &spec["paths"]["/v1/users"]["post"]["responses"]["202"]["headers"];
    assert!(accepted["Location"].is_object() && accepted["X-Request-Id"].is_object(), "{accepted}");
    assert!(spec["components"]["schemas"]["Registration"]["example"]["email"].is_string());
    let body = &spec["paths"]["/v1/users/resend"]["post"]["requestBody"];
    assert_ne!(body["required"], Value::Bool(true), "the body of resend is optional");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_need_nothing_from_outside() {
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
    // Once: without it the page fetches its fonts; more often, it is in the middle of a script and breaks it.
    assert_eq!(scalar.matches(r#"data-configuration='{"withDefaultFonts":false}'"#).count(), 1);
    let closed = stack.start_api(&[("ENVIRONMENT", "production")]).await;
    for path in ["/docs", "/docs/scalar", "/openapi.json"] {
        assert_eq!(closed.client.get(path).await.problem(), (404, "not-found".into()), "{path}");
    }
}
