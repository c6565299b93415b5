//! The Swagger page, operated as the README describes.

use serde_json::{Value, json};

use crate::harness::browser::Browser;
use support::{client::PASSWORD, stack::Stack};

const ADA: &str = "ada@example.com";
/// The pages come from the framework and name no icon, so the browser asks for the default one.
const NO_ICON: &[&str] = &["/favicon.ico"];

/// Executes an operation with "Try it out", with this body or the example, and returns the status and the response
/// body.
async fn try_out(browser: &Browser, operation: &str, body: Option<Value>) -> (String, Value) {
    let block = format!("[id^='operations-'][id$='-{operation}']");
    browser.click(&format!("{block} .opblock-summary-control")).await;
    browser.click(&format!("{block} .try-out__btn")).await;
    if let Some(body) = body {
        browser.fill(&format!("{block} textarea.body-param__text"), &body.to_string()).await;
    }
    browser.click(&format!("{block} .execute")).await;
    let answer = format!("{block} .live-responses-table .response");
    let status = browser.text(&format!("{answer} .response-col_status")).await;
    let is_empty = format!("!document.querySelector(\"{answer} .highlight-code pre\")");
    let body = match browser.evaluate(&is_empty).await {
        Value::Bool(true) => Value::Null,
        _ => serde_json::from_str(&browser.text(&format!("{answer} .highlight-code pre")).await).unwrap(),
    };
    (status.split_whitespace().next().unwrap().to_owned(), body)
}

/// Fills in one kind of credentials; `fields` are the selectors of the input fields and their values.
async fn authorize(browser: &Browser, fields: &[(&str, &str)]) {
    browser.click(".auth-wrapper > .authorize").await;
    for (field, text) in fields {
        browser.fill(field, text).await;
    }
    let container = format!(".auth-container:has({})", fields[0].0);
    browser.click(&format!("{container} .authorize")).await;
    // The page removes the fields when it has accepted the credentials.
    browser.until(&format!("!document.querySelector('{}')", fields[0].0)).await;
    browser.click(".auth-container .btn-done").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn swagger_page_completes_the_journey() {
    let stack = Stack::start().await;
    let browser = Browser::start(stack.client.base()).await;
    browser.goto("/docs").await;

    let (status, receipt) = try_out(&browser, "register", Some(json!({ "email": ADA, "password": PASSWORD }))).await;
    assert_eq!((&*status, &receipt["code_length"]), ("202", &json!(4)), "{receipt}");
    let code = stack.mail_server.mail_to(ADA).await.code();
    authorize(&browser, &[("#auth-basic-username", ADA), ("#auth-basic-password", PASSWORD)]).await;
    let (status, user) = try_out(&browser, "activate", Some(json!({ "code": code }))).await;
    assert_eq!((&*status, &user["email"]), ("200", &json!(ADA)), "{user}");
    let (status, login) = try_out(&browser, "log_in", None).await;
    assert_eq!((&*status, &login["token_type"]), ("200", &json!("Bearer")));
    authorize(&browser, &[("#auth-bearer-value", login["token"].as_str().unwrap())]).await;
    let (status, me) = try_out(&browser, "read_me", None).await;
    assert_eq!((&*status, &me), ("200", &user));
    assert_eq!(try_out(&browser, "log_out", None).await.0, "204");
    browser.close_after(NO_ICON).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn scalar_page_shows_the_specification() {
    let stack = Stack::start().await;
    let browser = Browser::start(stack.client.base()).await;
    browser.goto("/docs/scalar").await;
    browser.wait_for_text("body", "Register").await;
    browser.close_after(NO_ICON).await;
}
