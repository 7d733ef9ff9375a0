//! Answers of functions in a real browser: `fetch` with bodies that are read in pieces
//! and given up, from pages of the host and of other sites, and `EventSource` through
//! crashes, restarts and deploys of the host.

use std::fs;
use std::path::Path;

use openline_core::config::Config;
use openline_core::config::FunctionConfig;
use serde_json::json;

use super::*;
use crate::harness::proxy::address;
use crate::harness::site::Site;
use crate::harness::tls::Authority;
use crate::harness::{Browser, Serving, openline};

/// Runs the body of an asynchronous function in the page; what it returns, or the name
/// of what it throws.
async fn page(browser: &Browser, body: &str, arguments: Value) -> Value {
    let body = format!(
        "const a = arguments[0]; \
         return (async () => {{ {body} }})().catch((error) => error.name)"
    );
    browser.script(&body, json!([arguments])).await
}

/// A function whose answers the pages of a site may read.
fn readable(page: &str) -> impl FnOnce(&mut FunctionConfig) {
    let text = format!(
        "[[function]]\nname = \"f\"\ncomponent = \"f.wasm\"\n
        [[function.trigger]]
        route = \"{ROUTE}\"
        methods = [\"GET\", \"POST\"]
        [function.trigger.cors]
        allow_origins = [\"{page}\"]
        allow_methods = [\"GET\", \"POST\"]
        allow_headers = [\"content-type\"]\n"
    );
    let config = Config::parse(&text).unwrap();
    move |function| function.triggers = config.functions[0].triggers.clone()
}

/// Posts JSON, and returns what comes back.
const POST: &str = "
    const answer = await fetch(a.origin + '/echo', {
        method: 'POST',
        headers: {'content-type': 'application/json'},
        body: JSON.stringify(a.document),
    });
    return [answer.status, await answer.json()]";

/// Reads an answer to its end, piece by piece.
const READ: &str = "
    const answer = await fetch(a.origin + '/count/200');
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    for (;;) {
        const {done, value} = await reader.read();
        if (done) return text;
        text += value;
    }";

/// Reads the beginning of an answer that has no end, and gives it up.
const GIVE_UP: &str = "
    const controller = new AbortController();
    const {signal} = controller;
    const answer = await fetch(a.origin + '/forever?pause=1', {signal});
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = '', pieces = 0;
    while (!text.includes('3\\n')) {
        text += (await reader.read()).value;
        pieces++;
    }
    controller.abort();
    const after = await reader.read().catch((error) => error.name);
    return [text.startsWith('1\\n2\\n3\\n'), pieces > 0, after]";

/// What a page does that may ask the function.
async fn use_all(browser: &Browser, origin: &str, host: &Host) {
    let document = json!({"text": "é𝄞", "numbers": [1, 2.5, null]});
    let asked = json!({"origin": origin, "document": document});
    assert_eq!(
        page(browser, POST, asked.clone()).await,
        json!([200, document])
    );
    let counted: String = (1..=200).map(|number| format!("{number}\n")).collect();
    assert_eq!(page(browser, READ, asked.clone()).await, json!(counted));
    let before = refused(host, "peer_gone");
    let given_up = page(browser, GIVE_UP, asked.clone()).await;
    assert_eq!(given_up, json!([true, true, "AbortError"]));
    eventually("a peer that has gone", || {
        refused(host, "peer_gone") == before + 1
    })
    .await;
    let left = "
        for (;;) {
            const answer = await fetch(a.origin + '/state');
            if ((await answer.json()).left === a.left) return true;
        }";
    let asked = json!({"origin": origin, "left": before + 1});
    let learns = within("the function to learn it", page(browser, left, asked));
    assert_eq!(learns.await, true);
}

#[tokio::test]
async fn pages_fetch_answers_as_they_are_written() {
    let Some(browser) = Browser::start_that_trusts_all().await else {
        return;
    };
    let site = Site::start().await;
    let (own, other) = (site.origin("127.0.0.1"), site.origin("localhost"));
    let authority = Authority::new();
    for is_tls in [false, true] {
        let host = Host::with(ASYNC, ROUTE)
            .function(readable(&own))
            .instance(|policy| policy.instances = 1)
            .server(|server| {
                if is_tls {
                    server.certificate = vec![authority.certificate("host", &["localhost"], true)];
                }
            })
            .start()
            .await;
        let scheme = if is_tls { "https" } else { "http" };
        let origin = format!("{scheme}://localhost:{}", host.address.port());
        browser.goto(&own).await;
        use_all(&browser, &origin, &host).await;
        browser.goto(&other).await;
        let asked = json!({"origin": origin, "document": {}});
        // The preflight is refused, and an answer may not be read.
        for body in [POST, READ] {
            assert_eq!(page(&browser, body, asked.clone()).await, "TypeError");
        }
        // A page of the host itself needs no rules.
        browser.goto(&format!("{origin}/hello")).await;
        use_all(&browser, &origin, &host).await;
        let spoken = "return performance.getEntriesByType('resource')[0].nextHopProtocol";
        let expected = if is_tls { "h2" } else { "http/1.1" };
        assert_eq!(page(&browser, spoken, json!({})).await, expected);
    }
}

/// The sample that tells who listens, over TLS, with a channel on disk.
async fn notify(folder: &Path, address: SocketAddr, authority: &Authority) -> (Serving, String) {
    let text = format!(
        r#"
[server]
listen = "{address}"
admin = "127.0.0.1:0"
data = "data"
[[server.certificate]]
certificate = {:?}
key = {:?}
default = true
[[channel]]
pattern = "orders"
durable = true
history = {{ count = 1000 }}
[[function]]
name = "notify"
component = {:?}
[[function.trigger]]
route = "/notify/{{channel}}"
methods = ["GET", "POST"]
"#,
        authority.path("host.pem"),
        authority.path("host-key.pem"),
        openline_guests::NOTIFY
    );
    let path = folder.join("openline.toml");
    fs::write(&path, text).unwrap();
    let mut host = Serving::start(&["serve", "--config", path.to_str().unwrap()]).await;
    let admin = format!("http://{}", host.admin().await);
    (host, admin)
}

const LISTEN: &str = "
    window.orders = [];
    window.told = [];
    window.opens = 0;
    window.events = new EventSource('/notify/orders');
    events.onopen = () => opens++;
    events.onmessage = ({data}) => orders.push(JSON.parse(data).order);
    for (const name of ['openline-close', 'openline-lost'])
        events.addEventListener(name, ({data}) => told.push([name, data]));";

/// Posts orders one after the other.
const ORDER: &str = "
    for (let order = a.first; order < a.end; order++) {
        const answer = await fetch('/notify/orders', {method: 'POST', body: `${order}`});
        if (answer.status !== 200) return await answer.text();
    }
    return true";

async fn order(browser: &Browser, orders: std::ops::Range<u32>) {
    let asked = json!({"first": orders.start, "end": orders.end});
    assert_eq!(page(browser, ORDER, asked).await, true);
}

#[tokio::test]
async fn an_event_source_gets_every_event_once_through_restarts_and_deploys() {
    let Some(browser) = Browser::start_that_trusts_all().await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let address = address();
    authority.write("host", &[&address.ip().to_string()]);
    let (mut serving, mut admin) = notify(folder.path(), address, &authority).await;
    // A page of the host's origin: there is nothing here.
    browser.goto(&format!("https://{address}/none")).await;
    browser.script(LISTEN, json!([])).await;
    let opened = "return opens === arguments[0]";
    let has = "return orders.length >= arguments[0]";
    browser.until("the first answer", opened, json!([1])).await;
    let mut next = 1;
    for (opens, signal) in [(2, "KILL"), (3, "TERM")] {
        order(&browser, next..next + 5).await;
        browser.until("the orders", has, json!([next + 4])).await;
        serving.signal(signal).await;
        serving.ended().await;
        let is_away = "return events.readyState === EventSource.CONNECTING";
        browser.until("the break", is_away, json!([])).await;
        (serving, admin) = notify(folder.path(), address, &authority).await;
        // Before the page comes back, or just then.
        order(&browser, next + 5..next + 10).await;
        next += 10;
        browser
            .until("what it missed", has, json!([next - 1]))
            .await;
        browser
            .until("one more answer", opened, json!([opens]))
            .await;
    }
    // A deploy ends no answer.
    let deploy = [
        "deploy",
        "notify",
        openline_guests::NOTIFY,
        "--admin",
        &admin,
    ];
    let deployed = openline(&deploy).await;
    assert_eq!(deployed.code, Some(0), "{}", deployed.stderr);
    order(&browser, next..next + 5).await;
    next += 5;
    browser.until("all", has, json!([next - 1])).await;
    let orders = browser.script("return orders", json!([])).await;
    assert_eq!(orders, json!((1..next).collect::<Vec<_>>()));
    assert_eq!(browser.script(opened, json!([3])).await, true);
    // Only the host that ended in order said so, and nothing was lost.
    let told = browser.script("return told", json!([])).await;
    let [told] = &told.as_array().unwrap()[..] else {
        panic!("{told}");
    };
    assert_eq!(told[0], "openline-close");
    assert!(
        told[1].as_str().unwrap().contains("\"code\":1001"),
        "{told}"
    );
    let spoken = "return performance.getEntriesByType('resource')[0].nextHopProtocol";
    assert_eq!(page(&browser, spoken, json!({})).await, "h2");
}
