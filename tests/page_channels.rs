//! The page's channels, in a real browser: what is published on them is seen as
//! it comes, from the page and from others.

use serde_json::{Value, json};

use crate::admin::until;
use crate::harness::{AdminHost, Browser, Client, ENTER};
use crate::page::{focused, tab_to};

const OWN: &str = r#"
[[function.channel]]
pattern = "room:*"
history = { count = 100 }

[[function.channel]]
pattern = "cursors"
keyed = { keys = 1000 }

[[function.channel]]
pattern = "lobby"
presence = true
"#;

const FUNCTION: &str = "fault-broker";

async fn host() -> AdminHost {
    AdminHost::with(openline_guests::FAULT_BROKER, "/broker")
        .host(|host| {
            host.channels(OWN)
                .shared_channels("[[channel]]\npattern = \"all:*\"\nhistory = {}\n")
        })
        .start()
        .await
}

async fn visit(browser: &Browser, host: &AdminHost) {
    let page = format!("http://{}/.openline/#/channels", host.admin);
    browser.goto(&page).await;
    browser.element("[data-to=channels][aria-current]").await;
}

/// The row of a channel whose name needs no escapes in CSS.
fn row(channel: &str) -> String {
    format!("[data-channel='{channel}']")
}

/// Opens a channel by its name, and waits until the page is subscribed.
async fn open(browser: &Browser, channel: &str) -> String {
    let input = "[data-part=open-form] [data-field=channel]";
    browser.element(input).await;
    browser.fill(input, channel).await;
    browser.press(ENTER).await;
    let row = row(channel);
    browser
        .element(&format!("{row} [data-following=live]"))
        .await;
    row
}

/// Waits until an element shows a text somewhere in it.
async fn shows(browser: &Browser, css: &str, text: &str) {
    let body = "const found = document.querySelector(arguments[0]); \
                return found !== null && found.textContent.includes(arguments[1])";
    let what = format!("`{text}` in `{css}`");
    browser.until(&what, body, json!([css, text])).await;
}

/// The data of all publications in the log of a channel.
async fn logged(browser: &Browser, row: &str) -> Value {
    let body = "return [...document.querySelectorAll(arguments[0])].map((it) => it.textContent)";
    let css = format!("{row} [data-direction=in] [data-part=data]");
    browser.script(body, json!([css])).await
}

async fn publish(client: &mut Client, channel: &str, text: &str) {
    let answer = client.ask(&format!("publish {channel} -- {text}")).await;
    assert!(answer.contains(' '), "{answer}");
}

/// The console's entries, except for answers with an error status, which a
/// browser also writes there.
async fn errors(browser: &Browser) -> Vec<String> {
    let mut complaints = browser.complaints().await;
    complaints.retain(|complaint| !complaint.contains("Failed to load resource"));
    complaints
}

#[tokio::test]
async fn publications_of_the_page_and_of_others_arrive_with_and_without_history() {
    let host = host().await;
    let Some(browser) = Browser::start().await else {
        return;
    };
    let mut other = host.connect("/broker").await;
    publish(&mut other, "room:1", "before").await;
    visit(&browser, &host).await;
    shows(
        &browser,
        &format!("{} [data-part=kept]", row("room:1")),
        "1",
    )
    .await;
    for (channel, before) in [("room:1", vec!["before"]), ("plain", vec![])] {
        let mut reader = host.connect("/broker").await;
        reader.ask(&format!("subscribe {channel}")).await;
        let row = open(&browser, channel).await;
        publish(&mut other, channel, "of a function").await;
        assert_eq!(reader.next_text().await, "of a function");
        shows(
            &browser,
            &format!("{row} [data-part=frames]"),
            "of a function",
        )
        .await;
        browser
            .fill(&format!("{row} [data-field=data]"), "of the page")
            .await;
        browser.press(ENTER).await;
        assert_eq!(reader.next_text().await, "of the page");
        shows(
            &browser,
            &format!("{row} [data-part=outcome]"),
            "2 subscribers took it",
        )
        .await;
        shows(
            &browser,
            &format!("{row} [data-part=frames]"),
            "of the page",
        )
        .await;
        let all: Vec<_> = before
            .into_iter()
            .chain(["of a function", "of the page"])
            .collect();
        assert_eq!(logged(&browser, &row).await, json!(all), "{channel}");
        // The message is gone, to type the next one.
        let empty = "return document.querySelector(arguments[0]).value === ''";
        let message = format!("{row} [data-field=data]");
        browser
            .until("an empty field", empty, json!([message]))
            .await;
    }
    // One is open at a time.
    let open = "return [...document.querySelectorAll('.line > details[open]')].length";
    assert_eq!(browser.script(open, json!([])).await, json!(1));
    assert_eq!(errors(&browser).await, [""; 0]);
}

/// Chooses how the data of a channel is sent, types it, and publishes.
async fn send(browser: &Browser, row: &str, encoding: &str, data: &str) {
    let css = format!("{row} [data-field=encoding]");
    let choose = "document.querySelector(arguments[0]).value = arguments[1]";
    browser.script(choose, json!([css, encoding])).await;
    browser
        .fill(&format!("{row} [data-field=data]"), data)
        .await;
    browser.click(&format!("{row} [data-action=publish]")).await;
}

#[tokio::test]
async fn json_and_bytes_are_published_as_typed() {
    let host = host().await;
    let Some(browser) = Browser::start().await else {
        return;
    };
    visit(&browser, &host).await;
    let row = open(&browser, "room:1").await;
    let problem = format!("{row} [data-part=publish-problem]");
    let frames = format!("{row} [data-part=frames]");
    send(&browser, &row, "json", "{").await;
    shows(&browser, &problem, "not JSON").await;
    focused(&browser, &format!("{row} [data-field=data]")).await;
    // Larger than JavaScript counts.
    let exact = r#"{"n":12345678901234567890}"#;
    send(&browser, &row, "json", exact).await;
    shows(&browser, &frames, exact).await;
    send(&browser, &row, "hex", "ff 00 7").await;
    shows(&browser, &problem, "needs two").await;
    send(&browser, &row, "hex", "ff 00 70").await;
    shows(&browser, &frames, "ff 00 70").await;
    let path = "/v1/channels/room:1/history?function=fault-broker";
    let page = host.ask("GET", path, None).await.value();
    let kinds = page["publications"].as_array().unwrap().iter();
    let kinds: Vec<_> = kinds.map(|it| it["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["json", "binary"]);
    assert_eq!(errors(&browser).await, [""; 0]);
}

#[tokio::test]
async fn an_event_a_key_and_tags_are_published_and_refusals_are_said() {
    let host = host().await;
    let Some(browser) = Browser::start().await else {
        return;
    };
    visit(&browser, &host).await;
    let row = open(&browser, "room:1").await;
    let frames = format!("{row} [data-part=frames]");
    let field = async |name: &str, text: &str| {
        let css = format!("{row} [data-field={name}]");
        browser.fill(&css, text).await;
    };
    browser.click(&format!("{row} .more > summary")).await;
    field("event", "created").await;
    field("tags", "kind").await;
    send(&browser, &row, "text", "a tag").await;
    let problem = format!("{row} [data-part=publish-problem]");
    shows(&browser, &problem, "name=value").await;
    field("tags", "kind=a=b, to=all").await;
    send(&browser, &row, "text", "a tag").await;
    shows(&browser, &frames, "event created").await;
    shows(&browser, &frames, "kind=a=b · to=all").await;
    // What the host refuses is said, and stays to be corrected.
    field("key", "k").await;
    send(&browser, &row, "text", "with a key").await;
    let outcome = format!("{row} [data-part=outcome]");
    shows(&browser, &outcome, "a key is given").await;
    let kept = "return document.querySelector(arguments[0]).value";
    let data = format!("{row} [data-field=data]");
    let kept = browser.script(kept, json!([data])).await;
    assert_eq!(kept, json!("with a key"));
    assert_eq!(logged(&browser, &row).await, json!(["a tag"]));
    assert_eq!(errors(&browser).await, [""; 0]);
}

#[tokio::test]
async fn members_and_values_are_seen_and_changed() {
    let host = host().await;
    let Some(browser) = Browser::start().await else {
        return;
    };
    let mut member = host.connect("/broker").await;
    member.ask("subscribe lobby info=<b>me</b>").await;
    member.ask("publish cursors key=ada -- <i>1</i>").await;
    visit(&browser, &host).await;
    let lobby = open(&browser, "lobby").await;
    // The page only looks.
    shows(
        &browser,
        &format!("{lobby} [data-part=member-title]"),
        "1 connection",
    )
    .await;
    shows(&browser, &format!("{lobby} [data-member]"), "<b>me</b>").await;
    shows(&browser, &format!("{lobby} [data-part=subscribers]"), "2").await;
    browser
        .click(&format!("{lobby} [data-action=unsubscribe]"))
        .await;
    shows(
        &browser,
        &format!("{lobby} [data-part=outcome]"),
        "not subscribed any more",
    )
    .await;
    shows(
        &browser,
        &format!("{lobby} [data-part=member-title]"),
        "0 connections",
    )
    .await;

    let cursors = open(&browser, "cursors").await;
    let value = format!("{cursors} [data-value=ada]");
    shows(&browser, &value, "<i>1</i>").await;
    member.ask("publish cursors key=ada -- 2").await;
    shows(&browser, &format!("{value} [data-part=data]"), "2").await;
    browser.click(&format!("{cursors} .more > summary")).await;
    browser
        .fill(&format!("{cursors} [data-field=key]"), "ada")
        .await;
    browser
        .click(&format!("{cursors} [data-field=remove]"))
        .await;
    browser
        .click(&format!("{cursors} [data-action=publish]"))
        .await;
    let gone = "return document.querySelector(arguments[0]) === null";
    browser.until("no value", gone, json!([value])).await;
    let log = format!("{cursors} [data-part=frames]");
    shows(&browser, &log, "key ada").await;
    shows(&browser, &log, "removes the key ada").await;
    assert_eq!(errors(&browser).await, [""; 0]);
}

#[tokio::test]
async fn names_and_data_of_strangers_stay_text() {
    let host = host().await;
    let Some(browser) = Browser::start().await else {
        return;
    };
    let image = "<img src=x onerror=hacked=1>";
    let mut other = host.connect("/broker").await;
    // A word of the guest has no spaces, so the name has none.
    let name = "room:<img/src=x/onerror=hacked=1>&quot;'\u{202e}txt";
    publish(&mut other, name, image).await;
    publish(&mut other, "room:__proto__", "plain").await;
    let tagged = format!(
        "publish room:__proto__ event=<script>hacked=1</script> tag:__proto__=<b> -- {image}"
    );
    other.ask(&tagged).await;
    visit(&browser, &host).await;
    let found = "return [...document.querySelectorAll('[data-channel]')] \
                 .some((row) => row.dataset.channel === arguments[0])";
    browser.until("the name", found, json!([name])).await;
    browser.element(&row("room:__proto__")).await;
    let input = "[data-part=open-form] [data-field=channel]";
    browser.fill(input, name).await;
    browser.press(ENTER).await;
    shows(&browser, "[data-following=live]", "Subscribed").await;
    shows(&browser, "[data-part=frames]", image).await;
    let row = open(&browser, "room:__proto__").await;
    let frames = format!("{row} [data-part=frames]");
    shows(&browser, &frames, "event <script>hacked=1</script>").await;
    shows(&browser, &frames, "__proto__=<b>").await;
    let clean = "return window.hacked === undefined && document.querySelector('img') === null \
                 && document.querySelectorAll('script').length === 1";
    assert_eq!(browser.script(clean, json!([])).await, json!(true));

    // Names that are none, and one that a browser cannot ask for.
    for (typed, told) in [
        ("", "has a name"),
        (&*"n".repeat(257), "257 bytes; 256 fit"),
    ] {
        browser.fill(input, typed).await;
        browser.press(ENTER).await;
        shows(&browser, "[data-part=open-problem]", told).await;
    }
    browser.fill(input, "..").await;
    browser.press(ENTER).await;
    shows(
        &browser,
        "[data-channel='..'] [data-part=state]",
        "cannot ask",
    )
    .await;
    assert_eq!(errors(&browser).await, [""; 0]);
}

#[tokio::test]
async fn a_channel_that_goes_while_it_is_open_is_said_to_and_comes_back() {
    let host = host().await;
    let Some(browser) = Browser::start().await else {
        return;
    };
    // A function that can be removed.
    let bytes = std::fs::read(openline_guests::FAULT_HUB).unwrap();
    let path = "/v1/functions/passing/versions?route=/passing";
    let deploy = async || {
        let got = host.ask("POST", path, Some(("application/wasm", &bytes)));
        assert_eq!(got.await.status, 201);
    };
    deploy().await;
    visit(&browser, &host).await;
    let choose = "const select = document.querySelector('[data-part=channel-filter] select'); \
                  if (![...select.options].some(({ value }) => value === 'passing')) return false; \
                  select.value = 'passing'; \
                  select.dispatchEvent(new Event('change', { bubbles: true })); return true";
    browser
        .until("the function to be listed", choose, json!([]))
        .await;
    let row = open(&browser, "news").await;
    let path = "/v1/functions/passing";
    assert_eq!(host.ask("DELETE", path, None).await.status, 204);
    browser
        .element(&format!("{row} [data-following=broken]"))
        .await;
    shows(
        &browser,
        &format!("{row} [data-part=state]"),
        "This page tries again",
    )
    .await;
    shows(&browser, "#channels [data-part=filter-problem]", "Hint: ").await;
    deploy().await;
    browser
        .element(&format!("{row} [data-following=live]"))
        .await;
    let publish = "/v1/channels/news/publications?function=passing";
    let body = json!({"text": "after all"});
    let done = host.json("POST", publish, &body).await;
    assert_eq!(done.value()["delivered"], 1);
    shows(&browser, &format!("{row} [data-part=frames]"), "after all").await;
    shows(&browser, &format!("{row} [data-part=frames]"), "is missing").await;
    assert_eq!(errors(&browser).await, [""; 0]);
}

#[tokio::test]
async fn ten_thousand_channels_are_found_by_pattern_and_turned_by_pages() {
    let host = host().await;
    let Some(browser) = Browser::start().await else {
        return;
    };
    let function = host.function(FUNCTION);
    for number in 0..10_000 {
        let name = openline_core::name::ChannelName::new(&format!("room:{number:05}"));
        let text = openline_core::message::Message::Text("x".into());
        let publishing = openline_channels::space::Publishing::of(text);
        let mut wakeups = openline_channels::wakeups::Wakeups::default();
        let hub = function.hub();
        hub.publish(&name.unwrap(), publishing, &mut wakeups)
            .now()
            .unwrap();
    }
    visit(&browser, &host).await;
    let rows = "return document.querySelectorAll('[data-channel]').length === arguments[0]";
    browser.until("a full page", rows, json!([100])).await;
    browser.element(&row("room:00099")).await;
    browser.click("[data-action=next-channels]").await;
    browser.element(&row("room:00199")).await;
    browser
        .element("[data-action=previous-channels]:not([aria-disabled])")
        .await;
    browser.click("[data-action=first-channels]").await;
    browser.element(&row("room:00000")).await;
    let pattern = "[data-part=channel-filter] [data-field=pattern]";
    browser.fill(pattern, "room:0999*").await;
    browser.press(ENTER).await;
    browser.until("those that match", rows, json!([10])).await;
    browser.fill(pattern, "a*b").await;
    browser.press(ENTER).await;
    shows(&browser, "#channels [data-part=filter-problem]", "Hint: ").await;
    browser.fill(pattern, "").await;
    browser.press(ENTER).await;
    browser.until("a full page again", rows, json!([100])).await;
    // Typed text and the focus outlive the answers that come each second.
    let row = open(&browser, "room:05000").await;
    let data = format!("{row} [data-field=data]");
    browser.fill(&data, "half typed").await;
    let seen = "window.answers ??= performance.getEntriesByType('resource').length; \
                return performance.getEntriesByType('resource').length > window.answers + 12";
    browser
        .script("performance.setResourceTimingBufferSize(10000)", json!([]))
        .await;
    browser.until("more answers", seen, json!([])).await;
    focused(&browser, &data).await;
    let kept = "return document.querySelector(arguments[0]).value";
    assert_eq!(
        browser.script(kept, json!([data])).await,
        json!("half typed")
    );
    assert_eq!(errors(&browser).await, [""; 0]);
}

#[tokio::test]
async fn what_came_while_another_view_was_shown_is_there_once_and_in_order() {
    let host = host().await;
    let Some(browser) = Browser::start().await else {
        return;
    };
    let mut other = host.connect("/broker").await;
    publish(&mut other, "room:1", "one").await;
    publish(&mut other, "room:2", "other").await;
    visit(&browser, &host).await;
    browser.element(&row("room:1")).await;
    // A row that the host lists later stays in its place, with the focus.
    open(&browser, "zone").await;
    let order = "return [...document.querySelectorAll('[data-channel]')] \
                 .map((it) => it.dataset.channel).join() === 'room:1,room:2,zone'";
    let listed = "window.begun ??= performance.getEntriesByType('resource').length; \
                  return performance.getEntriesByType('resource').length > window.begun + 12";
    browser.until("more answers", listed, json!([])).await;
    assert_eq!(browser.script(order, json!([])).await, json!(true));
    focused(&browser, "[data-channel=zone] summary").await;

    let row = open(&browser, "room:1").await;
    publish(&mut other, "room:1", "two").await;
    let frames = format!("{row} [data-part=frames]");
    shows(&browser, &frames, "two").await;
    browser.click("[data-to=functions]").await;
    browser.element("[data-managed]").await;
    until("the page to leave", async || {
        let path = "/v1/channels/room:1?function=fault-broker";
        host.ask("GET", path, None).await.value()["subscribers"] == 0
    })
    .await;
    publish(&mut other, "room:1", "three").await;
    browser.click("[data-to=channels]").await;
    browser
        .element(&format!("{row} [data-following=live]"))
        .await;
    publish(&mut other, "room:1", "four").await;
    shows(&browser, &frames, "four").await;
    let all = json!(["one", "two", "three", "four"]);
    assert_eq!(logged(&browser, &row).await, all);
    // Nothing is missing, so nothing is said to be.
    let said = "return document.querySelector(arguments[0]).textContent.includes('missing')";
    assert_eq!(browser.script(said, json!([frames])).await, json!(false));
    assert_eq!(errors(&browser).await, [""; 0]);
}

#[tokio::test]
async fn shared_channels_and_rates_are_seen_and_a_history_is_forgotten() {
    let host = host().await;
    let Some(browser) = Browser::start().await else {
        return;
    };
    let mut other = host.connect("/broker").await;
    publish(&mut other, "all:1", "of both").await;
    visit(&browser, &host).await;
    browser
        .element("[data-part=no-channels]:not([hidden])")
        .await;
    let choose = "const select = document.querySelector('[data-part=channel-filter] select'); \
                  select.value = ''; select.dispatchEvent(new Event('change', { bubbles: true }))";
    browser.script(choose, json!([])).await;
    browser.element(&row("all:1")).await;
    let row = open(&browser, "all:1").await;
    shows(&browser, &format!("{row} [data-part=belongs]"), "share").await;
    shows(&browser, &format!("{row} [data-part=pattern]"), "all:*").await;
    shows(&browser, &format!("{row} [data-part=rate]"), "0/s").await;
    let fast = "return parseFloat(document.querySelector(arguments[0]).textContent) > 0";
    let rate = format!("{row} [data-part=rate]");
    for _ in 0..50 {
        publish(&mut other, "all:1", "more").await;
    }
    browser.until("a rate", fast, json!([rate])).await;
    browser.click(&format!("{row} [data-action=forget]")).await;
    browser.click(&format!("{row} [data-confirm=yes]")).await;
    shows(
        &browser,
        &format!("{row} [data-part=outcome]"),
        "history is forgotten",
    )
    .await;
    shows(&browser, &format!("{row} [data-part=kept]"), "0").await;
    // Another view ends the stream; this one opens it again.
    browser.click("[data-to=functions]").await;
    until("the page to leave", async || {
        let got = host.ask("GET", "/v1/channels/all:1", None).await;
        got.value()["subscribers"] == 0
    })
    .await;
    browser
        .click("[data-managed=fault-broker] [data-action=channels]")
        .await;
    browser.element("[data-to=channels][aria-current]").await;
    assert_eq!(errors(&browser).await, [""; 0]);
}

#[tokio::test]
async fn a_channel_is_opened_and_published_on_without_a_mouse() {
    let host = host().await;
    let Some(browser) = Browser::start().await else {
        return;
    };
    let mut other = host.connect("/broker").await;
    other.ask("subscribe news").await;
    visit(&browser, &host).await;
    browser.element(&row("news")).await;
    tab_to(&browser, "[data-channel=news] summary").await;
    browser.press(ENTER).await;
    browser.element("[data-following=live]").await;
    tab_to(&browser, "[data-channel=news] [data-field=data]").await;
    browser.press("typed").await;
    browser.press(ENTER).await;
    assert_eq!(other.next_text().await, "typed");
    shows(
        &browser,
        "[data-channel=news] [data-part=outcome]",
        "Published",
    )
    .await;
    focused(&browser, "[data-channel=news] [data-field=data]").await;
    assert_eq!(errors(&browser).await, [""; 0]);
}
