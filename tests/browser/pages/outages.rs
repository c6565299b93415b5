//! The network, the service or a part of it is away, and comes back.

use serde_json::json;

use crate::harness::{
    browser::Browser,
    views::{ADA, page, wrong},
};
use support::{
    proxy::{Proxy, ProxyMode},
    stack::Stack,
};

async fn offline(browser: &Browser, is: bool) {
    let conditions = json!({ "offline": is, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1 });
    browser.devtools("Network.enable", json!({})).await;
    browser.devtools("Network.emulateNetworkConditions", conditions).await;
}

const SHOWN: &str = "document.querySelector('#offline').checkVisibility()";
const GONE: &str = "!document.querySelector('#offline').checkVisibility()";

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_without_a_network_says_so_and_goes_on_when_it_is_back() {
    let (stack, browser) = page().await;
    assert_eq!(browser.evaluate(GONE).await, true);
    offline(&browser, true).await;
    browser.until(SHOWN).await;
    browser.sign_up(ADA).await;
    browser.complains("unreachable").await;
    browser.view("sign-up").await;
    offline(&browser, false).await;
    browser.until(GONE).await;
    browser.sign_up_and_activate(&stack, ADA).await;
    assert_eq!(stack.database.count("SELECT count(*) FROM registrations").await, 1);
    browser.close_after(&["ERR_INTERNET_DISCONNECTED"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_goes_away_while_the_code_is_awaited_is_waited_for() {
    let stack = Stack::start().await;
    let (proxy, base) = Proxy::before(stack.client.base()).await;
    let browser = Browser::start(&base).await;
    browser.goto("/").await;
    browser.sign_up(ADA).await;
    browser.view("code").await;
    let code = stack.mail_server.mail_to(ADA).await.code();
    browser.until("document.querySelector('#ring:not([hidden])')").await;
    proxy.set(ProxyMode::Cut);
    browser.enter("#boxes", &wrong(&code)).await;
    browser.until(SHOWN).await;
    proxy.set(ProxyMode::Open);
    browser.until(GONE).await;
    browser.enter("#boxes", &code).await;
    browser.view("welcome").await;
    assert_eq!(browser.text("#profile-email").await, ADA);
    browser.close_after(&["net::ERR_", "422"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_without_its_database_says_that_nothing_was_done() {
    let mut stack = Stack::prepare(&[]).await;
    let (proxy, url) = Proxy::before(&stack.database.url).await;
    stack.client = stack.start_api(&[("DATABASE_URL", &url)]).await.client.clone();
    stack.start_worker(&[]).await;
    let browser = Browser::start(stack.client.base()).await;
    browser.goto("/").await;
    proxy.set(ProxyMode::Cut);
    browser.sign_up(ADA).await;
    browser.complains("busy").await;
    browser.view("sign-up").await;
    proxy.set(ProxyMode::Open);
    browser.sign_up_and_activate(&stack, ADA).await;
    browser.close_after(&["503"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_loaded_again_in_an_outage_forgets_no_sign_up() {
    let mut stack = Stack::prepare(&[]).await;
    let (proxy, url) = Proxy::before(&stack.database.url).await;
    stack.client = stack.start_api(&[("DATABASE_URL", &url)]).await.client.clone();
    let browser = Browser::start(stack.client.base()).await;
    browser.goto("/").await;
    browser.sign_up(ADA).await;
    browser.view("code").await;
    proxy.set(ProxyMode::Cut);
    browser.web.refresh().await.unwrap();
    browser.complains("busy").await;
    proxy.set(ProxyMode::Open);
    browser.view("code").await;
    browser.close_after(&["503"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_in_and_cannot_be_shown_it_is_told_to_log_in() {
    let (stack, browser) = page().await;
    browser.sign_up(ADA).await;
    browser.view("code").await;
    let code = stack.mail_server.mail_to(ADA).await.code();
    browser.until("document.querySelector('#ring:not([hidden])')").await;
    let away = "{ const real = window.fetch;
        window.fetch = (path, ...rest) => path.endsWith('/me') ? Promise.reject(new TypeError()) : real(path, ...rest); }";
    browser.evaluate(away).await;
    browser.enter("#boxes", &code).await;
    browser.view("log-in").await;
    browser.says("#status", "activated-log-in").await;
    browser.complains("unreachable").await;
    browser.close().await;
}
