//! The page on the admin interface, in a real browser: it shows and changes
//! deployments and connections.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{AdminHost, Browser, ENTER};
use crate::page::{focused, tab_to};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// The settings of a host with small limits.
const COMPONENT_BYTES: usize = 64_000;
const NUMBERED: &str = "[data-managed=fault-version-a]";

/// A host with a function that has an instance for each room. Its instances
/// stay; those of the echo go with their call.
async fn host() -> AdminHost {
    AdminHost::with(openline_guests::FAULT_VERSION_A, "/numbered/{room}")
        .host(|host| {
            host.instance(|instance| {
                instance.affinity = Some("room".into());
                instance.idle_timeout = Duration::from_secs(600);
            })
            .and(openline_guests::ECHO, "/echo")
            .instance(|instance| instance.idle_timeout = Duration::ZERO)
        })
        .start()
        .await
}

/// Opens a view of the page.
async fn visit(browser: &Browser, host: &AdminHost, view: &str) {
    browser
        .goto(&format!("http://{}/.openline/#/{view}", host.admin))
        .await;
    browser
        .element(&format!("[data-to={view}][aria-current]"))
        .await;
}

/// The id of the only connection of a function.
async fn only_connection(host: &AdminHost, function: &str) -> String {
    let path = format!("/v1/connections?function={function}");
    let page = host.ask("GET", &path, None).await.value();
    assert_eq!(page["connections"].as_array().unwrap().len(), 1, "{page}");
    page["connections"][0]["id"].as_str().unwrap().to_owned()
}

/// Deploys as a program does, and names the version.
async fn deploy(host: &AdminHost, query: &str, component: &str) -> String {
    let path = format!("/v1/functions/fault-version-a/versions?{query}");
    let bytes = std::fs::read(component).unwrap();
    let got = host
        .ask("POST", &path, Some(("application/wasm", &bytes)))
        .await;
    assert_eq!(got.status, 201, "{}", got.value());
    got.value()["version"].as_str().unwrap().to_owned()
}

/// Waits until an element shows a text somewhere in it.
async fn shows(browser: &Browser, css: &str, text: &str) {
    let body = "const found = document.querySelector(arguments[0]); \
                return found !== null && found.textContent.includes(arguments[1])";
    let what = format!("`{text}` in `{css}`");
    browser.until(&what, body, json!([css, text])).await;
}

/// The console's entries, except for answers with an error status, which a
/// browser also writes there.
async fn errors(browser: &Browser) -> Vec<String> {
    let mut complaints = browser.complaints().await;
    complaints.retain(|complaint| !complaint.contains("Failed to load resource"));
    complaints
}

// === what is seen ===

#[tokio::test]
async fn versions_weights_and_what_hibernates_are_seen() {
    let host = host().await;
    let Some(browser) = Browser::start().await else {
        return;
    };
    let mut bound = host.connect("/numbered/one").await;
    bound.ask("1").await;
    let mut sleeping = host.connect("/echo").await;
    sleeping.ask("2").await;
    let next = deploy(
        &host,
        "weight=10&note=second",
        openline_guests::FAULT_VERSION_B,
    )
    .await;
    visit(&browser, &host, "functions").await;
    browser
        .element(&format!(
            "{NUMBERED}[data-connections='1'][data-hibernated='0'][data-instances='1']"
        ))
        .await;
    browser
        .element(
            "[data-managed=echo][data-connections='1'][data-hibernated='1'][data-instances='0']",
        )
        .await;
    let canary = format!("{NUMBERED} [data-alias=live] [data-share='{next}']");
    shows(&browser, &canary, "10 %").await;
    let version = format!("{NUMBERED} [data-version='{next}']");
    shows(&browser, &version, &next[..12]).await;
    shows(&browser, &version, "second").await;
    shows(&browser, &format!("{NUMBERED} [data-instance]"), "one").await;
    shows(
        &browser,
        &format!("{NUMBERED} [data-part=routes]"),
        "/numbered/{room} leads to live",
    )
    .await;

    // Each connection shows the same about itself.
    browser.click("[data-to=connections]").await;
    let id = only_connection(&host, "fault-version-a").await;
    browser
        .element(&format!("[data-line='{id}'][data-state=bound]"))
        .await;
    let id = only_connection(&host, "echo").await;
    browser
        .element(&format!("[data-line='{id}'][data-state=hibernated]"))
        .await;
    // Changes appear without a request.
    drop(bound);
    browser
        .until(
            "one line",
            "return document.querySelectorAll('[data-line]').length === 1",
            json!([]),
        )
        .await;
    assert_eq!(browser.complaints().await, [""; 0]);
}

#[tokio::test]
async fn a_function_is_tried_from_the_admin_page_on_the_main_listener() {
    let host = host().await;
    let Some(browser) = Browser::start().await else {
        return;
    };
    visit(&browser, &host, "try").await;
    // The first form is open.
    browser.element("[data-function=echo][open]").await;
    browser
        .click("[data-function=echo] [data-action=connect]")
        .await;
    browser.element("[data-panel='1'][data-state=open]").await;
    let address = format!("ws://{}/echo", host.address);
    shows(&browser, "[data-panel='1'] [data-part=url]", &address).await;
    // On the listener of the connections there is nothing to switch to.
    browser
        .goto(&format!("http://{}/.openline/#/functions", host.address))
        .await;
    browser.element("[data-function=echo]").await;
    browser.element("[data-part=views][hidden]").await;
    browser.element("[data-view=try]:not([hidden])").await;
    assert_eq!(browser.complaints().await, [""; 0]);
}

#[tokio::test]
async fn connections_are_found_by_tag_and_markup_in_what_they_say_stays_text() {
    let host = AdminHost::with(openline_guests::CHAT, "/chat/{room}")
        .host(|host| {
            host.and(openline_guests::FAULT_VERSION_A, "/numbered/{room}")
                .instance(|instance| instance.affinity = Some("room".into()))
        })
        .start()
        .await;
    let Some(browser) = Browser::start().await else {
        return;
    };
    let image = "<img src=x onerror=hacked=1>";
    let script = "<script>hacked=1</script>";
    let _ada = host.connect("/chat/lobby?nick=ada").await;
    let _image = host
        .connect("/chat/lobby?nick=%3Cimg%20src=x%20onerror=hacked=1%3E")
        .await;
    let mut keyed = host
        .connect("/numbered/%3Cscript%3Ehacked=1%3C%2Fscript%3E")
        .await;
    keyed.ask("1").await;
    let note = "note=%3Cscript%3Ehacked=1%3C/script%3E&alias=next";
    let version = deploy(&host, note, openline_guests::FAULT_VERSION_B).await;

    visit(&browser, &host, "functions").await;
    shows(
        &browser,
        &format!("[data-version='{version}'] [data-part=note]"),
        script,
    )
    .await;
    shows(&browser, &format!("{NUMBERED} [data-part=key]"), script).await;
    browser
        .click("[data-managed=chat] [data-action=connections]")
        .await;
    let two = "return document.querySelectorAll('[data-line]').length === 2";
    browser.until("both of the chat", two, json!([])).await;
    browser
        .fill("[data-part=filter] [data-field=tag]", image)
        .await;
    browser.press(ENTER).await;
    let one = "return document.querySelectorAll('[data-line]').length === 1";
    browser.until("the one with the tag", one, json!([])).await;
    shows(&browser, "[data-line] [data-part=tags]", image).await;
    browser.click("[data-line] summary").await;
    shows(&browser, "[data-line] [data-part=all-tags]", image).await;
    let clean = "return window.hacked === undefined && document.querySelector('img') === null \
                 && document.querySelectorAll('script').length === 1";
    assert_eq!(browser.script(clean, json!([])).await, json!(true));
    assert_eq!(browser.complaints().await, [""; 0]);
}

// === what is changed ===

/// Chooses a component for a function, and deploys it as its form says.
async fn deploy_by_hand(browser: &Browser, function: &str, component: &str) {
    let file = format!("{function} [data-field=file]");
    browser.choose(&file, Path::new(component)).await;
    browser
        .element(&format!("{function} [data-part=deploy-form]:not([hidden])"))
        .await;
    browser
        .click(&format!("{function} [data-action=deploy]"))
        .await;
}

#[tokio::test]
async fn a_version_is_deployed_by_a_file_and_rolled_back() {
    let host = host().await;
    let Some(browser) = Browser::start().await else {
        return;
    };
    let mut client = host.connect("/numbered/one").await;
    assert!(client.ask("1").await.starts_with('a'));
    visit(&browser, &host, "functions").await;
    deploy_by_hand(&browser, NUMBERED, openline_guests::FAULT_VERSION_B).await;
    let outcome = format!("{NUMBERED} [data-part=deploy-outcome]");
    shows(&browser, &outcome, "is a new version of fault-version-a").await;
    assert!(client.ask("2").await.starts_with('b'));

    browser
        .click(&format!("{NUMBERED} [data-action=rollback]"))
        .await;
    shows(
        &browser,
        &format!("{NUMBERED} [data-part=outcome]"),
        "live is back",
    )
    .await;
    assert!(client.ask("3").await.starts_with('a'));
    assert_eq!(browser.complaints().await, [""; 0]);
}

#[tokio::test]
async fn weights_are_set_given_to_one_and_the_other_version_is_removed() {
    let host = host().await;
    let Some(browser) = Browser::start().await else {
        return;
    };
    deploy(&host, "weight=10", openline_guests::FAULT_VERSION_B).await;
    visit(&browser, &host, "functions").await;
    browser
        .click(&format!("{NUMBERED} [data-action=weights]"))
        .await;
    let weights = format!("{NUMBERED} .weight-field");
    browser
        .fill(&format!("{weights}:nth-child(1) input"), "30")
        .await;
    browser
        .fill(&format!("{weights}:nth-child(2) input"), "60")
        .await;
    browser
        .click(&format!("{NUMBERED} [data-action=set-weights]"))
        .await;
    shows(
        &browser,
        &format!("{NUMBERED} [data-part=problem]"),
        "100 together",
    )
    .await;
    browser
        .fill(&format!("{weights}:nth-child(2) input"), "70")
        .await;
    browser.press(ENTER).await;
    let outcome = format!("{NUMBERED} [data-part=outcome]");
    shows(&browser, &outcome, "live leads to").await;
    let first = host.function("fault-version-a").split().shares[0]
        .0
        .digest();
    let first = first.to_string();
    browser
        .click(&format!(
            "{NUMBERED} [data-share='{first}'] [data-action=promote]"
        ))
        .await;
    shows(&browser, &outcome, "live is all").await;
    let other = format!("{NUMBERED} [data-version]:not([data-version='{first}'])");
    browser
        .click(&format!("{other} [data-action=remove-version]"))
        .await;
    browser.click(&format!("{other} [data-confirm=yes]")).await;
    shows(&browser, &outcome, "is removed").await;
    let left = "return document.querySelectorAll(arguments[0]).length === 1";
    let versions = format!("{NUMBERED} [data-version]");
    browser.until("one version", left, json!([versions])).await;
    assert_eq!(browser.complaints().await, [""; 0]);
}

/// Drops a file with these bytes onto an element.
async fn drop_file(browser: &Browser, css: &str, name: &str, bytes: &[u8]) {
    let body = "const data = new DataTransfer(); \
                data.items.add(new File([new Uint8Array(arguments[2])], arguments[1])); \
                const target = document.querySelector(arguments[0]); \
                for (const type of ['dragenter', 'dragover', 'drop']) { \
                  target.dispatchEvent(new DragEvent(type, \
                    { dataTransfer: data, bubbles: true, cancelable: true })); \
                }";
    browser.element(css).await;
    let script = json!([css, name, bytes]);
    assert_eq!(browser.script(body, script).await, Value::Null);
}

#[tokio::test]
async fn a_new_function_is_deployed_by_dropping_a_file() {
    let host = host().await;
    let Some(browser) = Browser::start().await else {
        return;
    };
    visit(&browser, &host, "functions").await;
    let component = std::fs::read(openline_guests::ECHO_ASYNC).unwrap();
    let place = "[data-part=deploy-new]";
    drop_file(&browser, place, "dropped.wasm", &component).await;
    browser
        .element(&format!("{place} [data-part=deploy-form]:not([hidden])"))
        .await;
    browser
        .fill(&format!("{place} [data-field=route]"), "/dropped")
        .await;
    browser.press(ENTER).await;
    // Named like the file.
    browser.element("[data-managed=dropped]").await;
    shows(
        &browser,
        &format!("{place} [data-part=deploy-outcome]"),
        "new version of dropped",
    )
    .await;
    let mut client = host.connect("/dropped").await;
    assert_eq!(client.ask("here").await, "here");
    // The configuration does not name it, so it can be removed, after a
    // confirmation.
    browser
        .click("[data-managed=dropped] [data-action=remove-function]")
        .await;
    browser
        .click("[data-managed=dropped] [data-confirm=no]")
        .await;
    browser
        .element("[data-managed=dropped] [data-action=remove-function]:not([data-asking]):focus")
        .await;
    assert_eq!(browser.complaints().await, [""; 0]);
}

#[tokio::test]
async fn what_cannot_be_deployed_is_said() {
    let host = AdminHost::with(openline_guests::FAULT_VERSION_A, "/numbered/{room}")
        .host(|host| host.server(|server| server.component_bytes = COMPONENT_BYTES))
        .start()
        .await;
    let Some(browser) = Browser::start().await else {
        return;
    };
    visit(&browser, &host, "functions").await;
    // Refused by the page, before anything is sent.
    let outcome = format!("{NUMBERED} [data-part=deploy-outcome]");
    drop_file(&browser, NUMBERED, "empty.wasm", b"").await;
    shows(&browser, &outcome, "empty.wasm is empty.").await;
    drop_file(&browser, NUMBERED, "notes.txt", b"a shopping list").await;
    shows(&browser, &outcome, "notes.txt is not a .wasm file").await;
    let mut bytes = b"\0asm".to_vec();
    bytes.resize(COMPONENT_BYTES, 0);
    let form = format!("{NUMBERED} [data-part=deploy-form]:not([hidden])");
    drop_file(&browser, NUMBERED, "just-fits.wasm", &bytes).await;
    shows(&browser, &form, "just-fits.wasm").await;
    bytes.push(0);
    drop_file(&browser, NUMBERED, "too-large.wasm", &bytes).await;
    shows(&browser, &outcome, "this host takes 62.5 KiB").await;
    // Refused by the host, with a hint.
    let file = format!("{NUMBERED} [data-field=file]");
    let broken = Path::new(openline_guests::FAULT_BROKEN_START);
    browser.choose(&file, broken).await;
    browser
        .click(&format!("{NUMBERED} [data-action=deploy]"))
        .await;
    let path = "/v1/functions/fault-version-a/versions";
    let bytes = std::fs::read(broken).unwrap();
    let got = host
        .ask("POST", path, Some(("application/wasm", &bytes)))
        .await;
    let told = got.value();
    let sentence = |part: &str| told[part].as_str().unwrap()[1..].to_owned();
    shows(&browser, &outcome, &sentence("message")).await;
    shows(&browser, &format!("{outcome} .hint"), &sentence("hint")).await;
    // The form is still there, to be corrected.
    browser
        .element(&format!("{NUMBERED} [data-part=deploy-form]:not([hidden])"))
        .await;
    let versions = host.ask("GET", path, None).await.value();
    assert_eq!(versions["versions"].as_array().unwrap().len(), 1);
    assert_eq!(errors(&browser).await, [""; 0]);
}

#[tokio::test]
async fn a_connection_is_written_to_and_closed() {
    let host = host().await;
    let Some(browser) = Browser::start().await else {
        return;
    };
    let mut client = host.connect("/echo").await;
    let id = only_connection(&host, "echo").await;
    visit(&browser, &host, "connections").await;
    let line = format!("[data-line='{id}']");
    browser.click(&format!("{line} summary")).await;
    browser
        .fill(&format!("{line} [data-field=message]"), "grüße vom Wirt")
        .await;
    browser
        .click(&format!("{line} [data-action=send-message]"))
        .await;
    assert_eq!(client.next_text().await, "grüße vom Wirt");
    let outcome = format!("{line} [data-part=outcome]");
    shows(&browser, &outcome, "Sent.").await;

    // A refusal of the host is shown, and nothing is closed.
    let code = format!("{line} [data-field=close-code]");
    browser.fill(&code, "1006").await;
    browser
        .click(&format!("{line} [data-action=close-connection]"))
        .await;
    shows(&browser, &outcome, "Hint: ").await;
    assert_eq!(client.ask("still here").await, "still here");
    browser.fill(&code, "4001").await;
    browser
        .fill(&format!("{line} [data-field=close-reason]"), "enough")
        .await;
    browser
        .click(&format!("{line} [data-action=close-connection]"))
        .await;
    let closed = client.closed().await;
    assert_eq!((closed.code, closed.reason.as_str()), (4001, "enough"));
    // The row stays as long as it is unfolded.
    browser.element(&format!("{line}[data-state=ended]")).await;
    browser.click(&format!("{line} summary")).await;
    let gone = "return document.querySelector(arguments[0]) === null";
    browser.until("no row", gone, json!([line])).await;
    assert_eq!(errors(&browser).await, [""; 0]);
}

#[tokio::test]
async fn connections_are_turned_by_pages_and_keep_the_focus() {
    let host = host().await;
    let Some(browser) = Browser::start().await else {
        return;
    };
    let mut clients = Vec::new();
    for _ in 0..101 {
        clients.push(host.connect("/echo").await);
    }
    visit(&browser, &host, "connections").await;
    let lines = "return document.querySelectorAll('[data-line]').length === arguments[0]";
    browser.until("a full page", lines, json!([100])).await;
    browser.click("[data-line]:nth-child(50) summary").await;
    browser
        .fill(
            "[data-line]:nth-child(50) [data-field=message]",
            "half typed",
        )
        .await;
    // After at least one refresh, the text and the focus are still there.
    let seen = "return performance.getEntriesByType('resource') \
                .filter(({ name }) => name.includes('/v1/connections?')).length > arguments[0]";
    browser.until("two more answers", seen, json!([3])).await;
    let kept = "const field = document.activeElement; \
                return field.dataset.field === 'message' && field.value === 'half typed'";
    assert_eq!(browser.script(kept, json!([])).await, json!(true));
    browser.click("[data-action=next-page]").await;
    browser.until("the last page", lines, json!([1])).await;
    browser.click("[data-action=first-page]").await;
    browser.until("the first page", lines, json!([100])).await;
    assert_eq!(browser.complaints().await, [""; 0]);
}

#[tokio::test]
async fn a_connection_is_found_and_closed_without_a_mouse() {
    let host = host().await;
    let Some(browser) = Browser::start().await else {
        return;
    };
    let mut client = host.connect("/echo").await;
    visit(&browser, &host, "functions").await;
    browser.element("[data-managed=echo]").await;
    tab_to(&browser, "[data-to=connections]").await;
    browser.press(ENTER).await;
    browser.element("[data-line]").await;
    tab_to(&browser, "[data-line] summary").await;
    browser.press(ENTER).await;
    tab_to(&browser, "[data-line] [data-field=message]").await;
    browser.press("typed").await;
    browser.press(ENTER).await;
    assert_eq!(client.next_text().await, "typed");
    focused(&browser, "[data-line] [data-field=message]").await;
    tab_to(&browser, "[data-line] [data-field=close-reason]").await;
    browser.press("go").await;
    browser.press(ENTER).await;
    let closed = client.closed().await;
    assert_eq!((closed.code, closed.reason.as_str()), (1000, "go"));
    assert_eq!(errors(&browser).await, [""; 0]);
}

// === who may ===

#[tokio::test]
async fn a_host_with_a_token_asks_for_it_once() {
    let host = AdminHost::with(openline_guests::ECHO, "/echo")
        .token(TOKEN)
        .start()
        .await;
    let Some(browser) = Browser::start().await else {
        return;
    };
    let page = format!("http://{}/.openline/", host.admin);
    browser.goto(&page).await;
    let form = "#sign-in:not([hidden])";
    browser.element(form).await;
    let token = "#sign-in [data-field=token]";
    browser.fill(token, "not the token of this host").await;
    browser.press(ENTER).await;
    shows(&browser, form, "This is not the token of this host").await;
    browser.fill(token, TOKEN).await;
    browser.press(ENTER).await;
    browser.element("[data-managed=echo]").await;
    browser.element("#sign-in[hidden]").await;
    // The token lasts as long as the window, and can be forgotten.
    browser.goto(&page).await;
    browser.element("[data-managed=echo]").await;
    browser.click("[data-part=sign-out]").await;
    browser.element(form).await;
    assert_eq!(errors(&browser).await, [""; 0]);
}

#[tokio::test]
async fn a_host_that_does_not_answer_is_said_to_until_it_does() {
    let host = host().await;
    let Some(browser) = Browser::start().await else {
        return;
    };
    visit(&browser, &host, "functions").await;
    browser.element("[data-managed=echo]").await;
    let away = "window.before = window.fetch; \
                window.fetch = () => Promise.reject(new TypeError('away'))";
    browser.script(away, json!([])).await;
    shows(&browser, "[data-part=banner]", "does not answer").await;
    // The known data is still shown.
    browser.element("[data-managed=echo]").await;
    let back = "window.fetch = window.before";
    browser.script(back, json!([])).await;
    browser.element("[data-part=banner]:empty").await;
    assert_eq!(browser.complaints().await, [""; 0]);
}
