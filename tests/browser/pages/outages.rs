//! Outages of the network, of the service and of its database, and the recovery from them.

use serde_json::json;

use crate::harness::{
    browser::Browser,
    views::{ADA, page, wrong},
};
use support::{
    proxy::{Proxy, ProxyMode},
    stack::Stack,
};

/// Disconnects the browser from the network, or connects it again.
async fn set_offline(browser: &Browser, is_offline: bool) {
    let conditions = json!({ "offline": is_offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1 });
    browser.devtools("Network.enable", json!({})).await;
    browser.devtools("Network.emulateNetworkConditions", conditions).await;
}

/// Whether the offline banner is visible.
const BANNER_VISIBLE: &str = "document.querySelector('#offline').checkVisibility()";
/// Whether the offline banner is hidden.
const BANNER_HIDDEN: &str = "!document.querySelector('#offline').checkVisibility()";

#[tokio::test(flavor = "multi_thread")]
async fn offline_browser_shows_a_banner_and_recovers() {
    let (stack, browser) = page().await;
    assert_eq!(browser.evaluate(BANNER_HIDDEN).await, true);
    set_offline(&browser, true).await;
    browser.until(BANNER_VISIBLE).await;
    browser.sign_up(ADA).await;
    browser.wait_for_problem("unreachable").await;
    browser.view("sign-up").await;
    set_offline(&browser, false).await;
    browser.until(BANNER_HIDDEN).await;
    browser.sign_up_and_activate(&stack, ADA).await;
    assert_eq!(stack.database.count("SELECT count(*) FROM registrations").await, 1);
    browser.close_after(&["ERR_INTERNET_DISCONNECTED"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn code_entry_survives_an_outage_of_the_service() {
    let stack = Stack::start().await;
    let (proxy, base) = Proxy::in_front_of(stack.client.base()).await;
    let browser = Browser::start(&base).await;
    browser.goto("/").await;
    browser.sign_up(ADA).await;
    browser.view("code").await;
    let code = stack.mail_server.mail_to(ADA).await.code();
    browser.until("document.querySelector('#ring:not([hidden])')").await;
    proxy.set(ProxyMode::Closed);
    browser.enter("#boxes", &wrong(&code)).await;
    browser.until(BANNER_VISIBLE).await;
    proxy.set(ProxyMode::Open);
    browser.until(BANNER_HIDDEN).await;
    browser.enter("#boxes", &code).await;
    browser.view("welcome").await;
    assert_eq!(browser.text("#profile-email").await, ADA);
    browser.close_after(&["net::ERR_", "422"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn database_outage_is_reported_as_busy() {
    let mut stack = Stack::prepare(&[]).await;
    let (proxy, url) = Proxy::in_front_of(&stack.database.service_url).await;
    stack.client = stack.start_api(&[("DATABASE_URL", &url)]).await.client.clone();
    stack.start_worker(&[]).await;
    let browser = Browser::start(stack.client.base()).await;
    browser.goto("/").await;
    proxy.set(ProxyMode::Closed);
    browser.sign_up(ADA).await;
    browser.wait_for_problem("busy").await;
    browser.view("sign-up").await;
    proxy.set(ProxyMode::Open);
    browser.sign_up_and_activate(&stack, ADA).await;
    browser.close_after(&["503"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reload_during_an_outage_keeps_the_registration() {
    let mut stack = Stack::prepare(&[]).await;
    let (proxy, url) = Proxy::in_front_of(&stack.database.service_url).await;
    stack.client = stack.start_api(&[("DATABASE_URL", &url)]).await.client.clone();
    let browser = Browser::start(stack.client.base()).await;
    browser.goto("/").await;
    browser.sign_up(ADA).await;
    browser.view("code").await;
    proxy.set(ProxyMode::Closed);
    browser.web.refresh().await.unwrap();
    browser.wait_for_problem("busy").await;
    proxy.set(ProxyMode::Open);
    browser.view("code").await;
    browser.close_after(&["503"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn activation_without_a_profile_leads_to_sign_in() {
    let (stack, browser) = page().await;
    browser.sign_up(ADA).await;
    browser.view("code").await;
    let code = stack.mail_server.mail_to(ADA).await.code();
    browser.until("document.querySelector('#ring:not([hidden])')").await;
    let profile_fails = "{ const real = window.fetch;
        window.fetch = (path, ...rest) => path.endsWith('/me') ? Promise.reject(new TypeError()) : real(path, ...rest); }";
    browser.evaluate(profile_fails).await;
    browser.enter("#boxes", &code).await;
    browser.view("log-in").await;
    browser.wait_for_message("#status", "activated-log-in").await;
    browser.wait_for_problem("unreachable").await;
    browser.close().await;
}
