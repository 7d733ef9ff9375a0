//! The page at `/.openline/`: who may see it, and that a person can use it, in
//! a real browser.

use openline_core::config::PageAccess;
use serde_json::json;

use crate::harness::{Browser, ENTER, ESCAPE, Host, Raw, TAB};

// === over plain HTTP ===

/// The head of the answer to a request without a body.
async fn ask(host: &Host, line: &str, headers: &str) -> String {
    let request = format!("{line} HTTP/1.1\r\n{headers}\r\n");
    Raw::request(host.address, &request)
        .await
        .to_ascii_lowercase()
}

#[tokio::test]
async fn the_page_comes_with_a_policy_that_names_no_other_origin() {
    let host = Host::with(openline_guests::ECHO, "/echo").start().await;
    let head = ask(&host, "GET /.openline/", "Host: localhost\r\n").await;
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    assert!(head.contains("\r\ncontent-type: text/html; charset=utf-8\r\n"));
    assert!(head.contains("\r\ncontent-security-policy: default-src 'none'; script-src 'self';"));
    assert!(head.contains("frame-ancestors 'none'\r\n"), "{head}");
    assert!(
        !head.contains("http:") && !head.contains("https:"),
        "{head}"
    );
    let head = ask(&host, "GET /.openline/functions", "Host: localhost\r\n").await;
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    assert!(head.contains("\r\ncontent-type: application/json\r\n"));
}

#[tokio::test]
async fn the_page_is_at_one_address_and_its_prefix_is_the_hosts() {
    // Functions whose routes match every path of one and two segments.
    let host = Host::with(openline_guests::ECHO, "/{one}")
        .and(openline_guests::ECHO_ASYNC, "/{one}/{two}")
        .start()
        .await;
    let head = ask(&host, "GET /.openline", "Host: localhost\r\n").await;
    assert!(head.starts_with("http/1.1 308 "), "{head}");
    assert!(head.contains("\r\nlocation: /.openline/\r\n"), "{head}");
    let head = ask(&host, "GET /.openline/nothing", "Host: localhost\r\n").await;
    assert!(head.starts_with("http/1.1 404 "), "{head}");
    // Paths that only begin like it belong to the function.
    host.connect("/.openliner").await;
    host.connect("/.openliner/functions").await;
    assert_eq!(host.refused("/.openline/").await.status, 200);
}

#[tokio::test]
async fn the_page_is_only_read() {
    let host = Host::with(openline_guests::ECHO, "/echo").start().await;
    for method in ["POST", "PUT", "DELETE"] {
        let line = format!("{method} /.openline/");
        let head = ask(&host, &line, "Host: localhost\r\nContent-Length: 0\r\n").await;
        assert!(head.starts_with("http/1.1 405 "), "{head}");
        assert!(head.contains("\r\nallow: get, head\r\n"), "{head}");
    }
    let head = ask(&host, "HEAD /.openline/", "Host: localhost\r\n").await;
    assert!(head.starts_with("http/1.1 200 "), "{head}");
}

#[tokio::test]
async fn the_page_is_shown_to_who_addresses_this_machine_by_its_own_name() {
    let host = Host::with(openline_guests::ECHO, "/echo").start().await;
    for (headers, status) in [
        ("Host: localhost:1234\r\n", 200),
        ("Host: 127.0.0.1\r\n", 200),
        // A name that another site has point at this machine.
        ("Host: evil.example\r\n", 404),
        ("Host: localhost.evil.example\r\n", 404),
        // Passed on by a proxy on this machine for another client.
        ("Host: localhost\r\nX-Forwarded-For: 203.0.113.7\r\n", 404),
        ("Host: localhost\r\nForwarded: for=203.0.113.7\r\n", 404),
    ] {
        for path in ["/.openline/", "/.openline/functions", "/.openline"] {
            let head = ask(&host, &format!("GET {path}"), headers).await;
            let shown = !head.starts_with("http/1.1 404 ");
            assert_eq!(shown, status == 200, "{path} {headers} {head}");
        }
    }
}

#[tokio::test]
async fn the_page_is_shown_to_everyone_or_nobody_where_configured() {
    for (access, status) in [(PageAccess::Everyone, 200), (PageAccess::Off, 404)] {
        let host = Host::with(openline_guests::ECHO, "/echo")
            .server(|server| server.page = access)
            .start()
            .await;
        for name in ["localhost", "openline.example"] {
            let head = ask(&host, "GET /.openline/", &format!("Host: {name}\r\n")).await;
            assert!(head.starts_with(&format!("http/1.1 {status} ")), "{head}");
        }
    }
}

// === in a browser ===

/// A host with the samples for these tests.
async fn host() -> Host {
    Host::with(openline_guests::CHAT, "/chat/{room}")
        .and(openline_guests::ECHO, "/echo")
        .and(openline_guests::ECHO_ASYNC, "/echo-async")
        .start()
        .await
}

/// Opens the page and waits until it lists the functions.
async fn visit(browser: &Browser, host: &Host) {
    browser
        .goto(&format!("http://{}/.openline/", host.address))
        .await;
    browser.element("[data-function=chat]").await;
}

/// Waits until a panel has a row with this data.
async fn row(browser: &Browser, panel: u32, kind: &str, data: &str) {
    let rows = format!("[data-panel='{panel}'] .frame{kind} [data-part=data]");
    let body = "return [...document.querySelectorAll(arguments[0])] \
                .some((row) => row.textContent === arguments[1])";
    let what = format!("`{data}` in {rows}");
    browser.until(&what, body, json!([rows, data])).await;
}

/// Waits until a panel is in a state.
async fn state(browser: &Browser, panel: u32, state: &str) {
    let panel = format!("[data-panel='{panel}'][data-state={state}]");
    browser.element(&panel).await;
}

/// Joins the chat's lobby from its form, which opens a panel.
async fn join(browser: &Browser, panel: u32, nick: &str) {
    let form = "[data-function=chat]";
    browser
        .fill(&format!("{form} [data-parameter=room]"), "lobby")
        .await;
    browser
        .fill(&format!("{form} [name=query]"), &format!("nick={nick}"))
        .await;
    browser
        .click(&format!("{form} [data-action=connect]"))
        .await;
    state(browser, panel, "open").await;
}

/// Opens the form of the echo and connects.
async fn echo(browser: &Browser, panel: u32) {
    browser.click("[data-function=echo] summary").await;
    browser
        .click("[data-function=echo] [data-action=connect]")
        .await;
    state(browser, panel, "open").await;
}

#[tokio::test]
async fn the_page_lists_the_functions() {
    let host = host().await;
    let Some(browser) = Browser::start().await else {
        return;
    };
    visit(&browser, &host).await;
    let body = "return [...document.querySelectorAll('[data-function]')].map((entry) => \
                [entry.dataset.function, entry.dataset.handler, \
                 entry.querySelector('[data-part=route]').textContent])";
    let listed = browser.script(body, json!([])).await;
    let expected = json!([
        ["chat", "plain", "/chat/{room}"],
        ["echo", "plain", "/echo"],
        ["echo-async", "async", "/echo-async"],
    ]);
    assert_eq!(listed, expected);
    assert_eq!(browser.complaints().await, [""; 0]);
}

#[tokio::test]
async fn two_people_chat_on_the_page_side_by_side() {
    let host = host().await;
    let Some(browser) = Browser::start().await else {
        return;
    };
    visit(&browser, &host).await;
    join(&browser, 1, "ada").await;
    join(&browser, 2, "bob").await;
    let received = "[data-direction=in][data-type=text]";
    row(&browser, 1, received, "* bob joined").await;
    let message = "[data-panel='1'] [data-field=message]";
    browser.fill(message, "grüße, bob").await;
    browser.click("[data-panel='1'] [data-action=send]").await;
    row(&browser, 2, received, "ada: grüße, bob").await;
    row(
        &browser,
        1,
        "[data-direction=out][data-type=text]",
        "grüße, bob",
    )
    .await;
    // The list counts them.
    browser
        .element("[data-function=chat][data-connections='2'][data-instances='1']")
        .await;
    // Removing a panel closes its connection.
    browser.click("[data-panel='1'] [data-action=remove]").await;
    row(&browser, 2, received, "* ada left").await;
    assert_eq!(browser.complaints().await, [""; 0]);
}

#[tokio::test]
async fn the_page_sends_binary_and_shows_it_in_hex() {
    let host = host().await;
    let Some(browser) = Browser::start().await else {
        return;
    };
    visit(&browser, &host).await;
    echo(&browser, 1).await;
    browser
        .click("[data-panel='1'] [data-field=encoding] [value=hex]")
        .await;
    browser
        .fill("[data-panel='1'] [data-field=message]", "00 FF 0a")
        .await;
    browser.click("[data-panel='1'] [data-action=send]").await;
    for direction in ["out", "in"] {
        let kind = format!("[data-direction={direction}][data-type=binary]");
        row(&browser, 1, &kind, "00 ff 0a").await;
    }
    // Markup in a message is text.
    browser
        .click("[data-panel='1'] [data-field=encoding] [value=text]")
        .await;
    let markup = "<img src=x onerror=alert(1)>";
    browser
        .fill("[data-panel='1'] [data-field=message]", markup)
        .await;
    browser.click("[data-panel='1'] [data-action=send]").await;
    row(&browser, 1, "[data-direction=in][data-type=text]", markup).await;
    assert_eq!(browser.complaints().await, [""; 0]);
}

#[tokio::test]
async fn the_page_closes_with_a_code_and_connects_again() {
    let host = host().await;
    let Some(browser) = Browser::start().await else {
        return;
    };
    visit(&browser, &host).await;
    echo(&browser, 1).await;
    browser
        .fill("[data-panel='1'] [data-field=close-code]", "4001")
        .await;
    browser
        .fill("[data-panel='1'] [data-field=close-reason]", "enough")
        .await;
    browser.click("[data-panel='1'] [data-action=close]").await;
    state(&browser, 1, "closed").await;
    for direction in ["out", "in"] {
        let close = format!(
            "[data-panel='1'] .frame[data-type=close][data-direction={direction}]\
             [data-code='4001'][data-reason=enough]"
        );
        browser.element(&close).await;
    }
    let hub = host.function("echo").hub().clone();
    assert_eq!(hub.connections(), 0);
    browser
        .click("[data-panel='1'] [data-action=reconnect]")
        .await;
    state(&browser, 1, "open").await;
    assert_eq!(hub.connections(), 1);
    assert_eq!(browser.complaints().await, [""; 0]);
}

#[tokio::test]
async fn the_page_says_how_to_find_out_why_a_handshake_was_refused() {
    let host = host().await;
    let Some(browser) = Browser::start().await else {
        return;
    };
    visit(&browser, &host).await;
    browser
        .fill("[data-function=chat] [data-parameter=room]", "lobby")
        .await;
    browser
        .fill("[data-function=chat] [name=query]", "nick=")
        .await;
    browser
        .click("[data-function=chat] [data-action=connect]")
        .await;
    state(&browser, 1, "refused").await;
    browser
        .element("[data-panel='1'] .frame[data-type=refused]")
        .await;
    let hint = "[data-panel='1'] [data-part=refusal]:not([hidden])";
    browser.element(hint).await;
    let body = "return document.querySelector(arguments[0]).textContent";
    let told = browser.script(body, json!([hint])).await;
    let told = told.as_str().unwrap();
    assert!(told.contains("refused the handshake"), "{told}");
    assert!(told.contains("curl --include"), "{told}");
    let address = format!("'http://{}/chat/lobby?nick='", host.address);
    assert!(told.contains(&address), "{told}");
}

#[tokio::test]
async fn the_page_works_without_a_mouse() {
    let host = host().await;
    let Some(browser) = Browser::start().await else {
        return;
    };
    visit(&browser, &host).await;
    // The first function's form is open: fill it and press Enter in it.
    tab_to(&browser, "[data-function=chat] [data-parameter=room]").await;
    browser.press("lobby").await;
    tab_to(&browser, "[data-function=chat] [name=query]").await;
    browser.press("nick=ada").await;
    browser.press(ENTER).await;
    state(&browser, 1, "open").await;
    // The focus is in the message field.
    focused(&browser, "[data-panel='1'] [data-field=message]").await;
    browser.press("typed").await;
    browser.press(ENTER).await;
    row(&browser, 1, "[data-direction=in]", "ada: typed").await;
    // Back to the function, on to another one, and into its form.
    browser.press(ESCAPE).await;
    focused(&browser, "[data-function=chat] [data-action=connect]").await;
    tab_to(&browser, "[data-function=echo] summary").await;
    browser.press(ENTER).await;
    tab_to(&browser, "[data-function=echo] [data-action=connect]").await;
    browser.press(ENTER).await;
    state(&browser, 2, "open").await;
    // A connection is closed by keyboard, too.
    tab_to(&browser, "[data-panel='2'] [data-action=close]").await;
    browser.press(ENTER).await;
    state(&browser, 2, "closed").await;
    assert_eq!(browser.complaints().await, [""; 0]);
}

const HAS_FOCUS: &str = "return document.activeElement.matches(arguments[0])";

pub(crate) async fn focused(browser: &Browser, css: &str) {
    let what = format!("the focus on `{css}`");
    browser.until(&what, HAS_FOCUS, json!([css])).await;
}

/// Presses Tab until an element has the focus.
pub(crate) async fn tab_to(browser: &Browser, css: &str) {
    for _ in 0..40 {
        if browser.script(HAS_FOCUS, json!([css])).await == json!(true) {
            return;
        }
        browser.press(TAB).await;
    }
    panic!("`{css}` is not reached with Tab");
}
