//! Pages of other sites in a real browser: which of a host's answers they can
//! read.

use openline_core::config::{Config, FunctionConfig};
use serde_json::{Value, json};

use crate::harness::site::Site;
use crate::harness::{Browser, Host};

/// A browser that shows a page, and the host that the page asks.
struct Visit {
    browser: Browser,
    host: Host,
}

impl Visit {
    /// What the page learns: the status and the refusal's word, or the name of
    /// the exception.
    async fn fetch(&self, path: &str, options: &Value) -> Value {
        let url = format!("http://{}{path}", self.host.address);
        let script = "window.got = null;
            fetch(arguments[0], arguments[1]).then(
                (answer) => [answer.status, answer.headers.get('openline-error-type')],
                (error) => [error.name],
            ).then((got) => { window.got = got; });";
        self.learn(script, json!([url, options])).await
    }

    /// Whether the page can open a WebSocket.
    async fn opens(&self, path: &str) -> Value {
        let url = format!("ws://{}{path}", self.host.address);
        let script = "window.got = null;
            const socket = new WebSocket(arguments[0]);
            socket.onopen = () => { window.got = true; socket.close(); };
            socket.onerror = () => { window.got = false; };";
        self.learn(script, json!([url])).await
    }

    async fn learn(&self, script: &str, arguments: Value) -> Value {
        self.browser.script(script, arguments).await;
        let has = "return window.got !== null;";
        self.browser
            .until("what a page learns", has, json!([]))
            .await;
        self.browser.script("return window.got;", json!([])).await
    }
}

/// Triggers for pages of one origin with cookies, of all without, of all with
/// cookies as in Function Compute, and of none.
fn triggers(origin: &str) -> impl FnOnce(&mut FunctionConfig) + use<> {
    let text = format!(
        "[[function]]
        name = \"f\"
        [[function.trigger]]
        route = \"/listed\"
        methods = [\"GET\", \"PUT\", \"DELETE\"]
        [function.trigger.cors]
        allow_origins = [\"{origin}\"]
        allow_methods = [\"GET\", \"PUT\"]
        allow_headers = [\"x-token\"]
        allow_credentials = true
        [[function.trigger]]
        route = \"/all\"
        methods = [\"GET\", \"POST\"]
        cors = {{allow_origins = [\"*\"], allow_headers = [\"*\"]}}
        [[function.trigger]]
        route = \"/compute\"
        methods = [\"GET\", \"PUT\"]
        cors = \"function-compute\"
        [[function.trigger]]
        route = \"/none\"\n"
    );
    let config = Config::parse(&text).unwrap();
    move |function| function.triggers = config.functions[0].triggers.clone()
}

#[tokio::test]
async fn a_page_reads_what_its_origin_may() {
    let Some(browser) = Browser::start().await else {
        return;
    };
    let site = Site::start().await;
    let (page, other) = (site.origin("127.0.0.1"), site.origin("localhost"));
    let host = Host::with(openline_guests::ECHO, "/echo")
        .function(triggers(&page))
        .start()
        .await;
    let visit = Visit { browser, host };
    let refused = json!([426, "upgrade_required"]);
    let blocked = json!(["TypeError"]);
    let with_cookies = json!({"credentials": "include"});
    let put = json!({"method": "PUT", "headers": {"x-token": "a"}, "credentials": "include"});
    let many = json!({"method": "PUT", "headers": {"x-other": "a"}});
    let form = json!({"method": "POST", "body": "text"});
    let json =
        json!({"method": "POST", "body": "{}", "headers": {"content-type": "application/json"}});
    let none = json!({});

    visit.browser.goto(&page).await;
    for (path, options, expected) in [
        ("/listed", &none, &refused),
        ("/listed", &with_cookies, &refused),
        ("/listed", &put, &refused),
        ("/listed", &many, &blocked),
        ("/listed", &json!({"method": "DELETE"}), &blocked),
        ("/all", &none, &refused),
        ("/all", &form, &refused),
        ("/all", &json, &refused),
        // A browser takes no `*` for an answer to its cookies.
        ("/all", &with_cookies, &blocked),
        ("/compute", &with_cookies, &refused),
        // Three headers allow no other method.
        ("/compute", &put, &blocked),
        ("/none", &none, &blocked),
    ] {
        let got = visit.fetch(path, options).await;
        assert_eq!(got, *expected, "{path} {options}");
    }
    // Which pages may open WebSockets, `origins` says.
    assert_eq!(visit.opens("/listed").await, false);
    assert_eq!(visit.opens("/compute").await, false);

    visit.browser.goto(&other).await;
    for (path, options, expected) in [
        ("/listed", &none, &blocked),
        ("/listed", &with_cookies, &blocked),
        ("/listed", &put, &blocked),
        ("/all", &none, &refused),
        ("/compute", &with_cookies, &refused),
    ] {
        let got = visit.fetch(path, options).await;
        assert_eq!(got, *expected, "{path} {options}");
    }
    // The preflight was refused, so the request itself never came.
    let state = visit.host.state().await;
    assert_eq!(
        state["handshakes"]["refused"]["origin_refused"], 3,
        "{state}"
    );
}
