//! Triggers are made, changed and removed while connections are open: whole or
//! not at all, and the first request after the answer meets them.

use openline_control::{ChangeError, ConfiguredComponent, StartError};
use openline_core::config::{Config, FunctionConfig};
use openline_core::name::{FunctionName, TriggerName};
use openline_core::route::Route;
use openline_core::trigger::{TRIGGERS_MAX, Trigger};
use openline_firewall::rules::Firewalls;
use openline_store::Store;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::http2::Http2;
use crate::harness::{AdminHost, Host};

const PATH: &str = "/v1/functions/echo/triggers";

async fn echo() -> AdminHost {
    AdminHost::with(openline_guests::ECHO, "/echo")
        .start()
        .await
}

async fn names(host: &AdminHost) -> Vec<(String, String)> {
    let listed = host.ask("GET", PATH, None).await.value();
    let text = |trigger: &Value, key: &str| trigger[key].as_str().unwrap().to_owned();
    let listed = listed["triggers"].as_array().unwrap().iter();
    listed
        .map(|it| (text(it, "name"), text(it, "source")))
        .collect()
}

#[tokio::test]
async fn the_first_request_after_the_answer_meets_the_new_table() {
    let host = echo().await;
    let mut witness = host.connect("/echo").await;
    let path = format!("{PATH}/more");
    for round in 0..50 {
        let route = format!("/more/{round}");
        let set = host.json("PUT", &path, &json!({"route": route})).await;
        assert_eq!(set.status, if round == 0 { 201 } else { 200 }, "{set:?}");
        assert_eq!(set.value()["route"], route);
        let mut client = host.connect(&route).await;
        assert_eq!(client.ask("new").await, "new");
        if round > 0 {
            let before = format!("/more/{}", round - 1);
            assert_eq!(host.refused(&before).await.status, 404);
        }
    }
    let shown = host.ask("GET", &path, None).await.value();
    let expected = json!({
        "name": "more", "hosts": [], "route": "/more/49", "methods": ["GET"], "target": "live",
        "internet": true,
        "origins": [], "origin_required": false, "cors": null, "firewall": null, "auth": "none",
        "urls": [], "source": "interface",
    });
    assert_eq!(shown, expected);
    let own = ("echo".into(), "configuration".into());
    let made = ("more".into(), "interface".into());
    assert_eq!(names(&host).await, [own, made]);
    assert_eq!(host.ask("DELETE", &path, None).await.status, 204);
    assert_eq!(host.refused("/more/49").await.status, 404);
    host.ask("DELETE", &path, None)
        .await
        .refused(404, "no_trigger");
    host.ask("GET", &path, None)
        .await
        .refused(404, "no_trigger");
    assert_eq!(witness.ask("still here").await, "still here");
}

#[tokio::test]
async fn ten_thousand_connections_outlive_the_trigger_that_they_came_by() {
    const TCP_CONNECTIONS: usize = 10;
    const STREAMS: usize = 1_000;
    let host = AdminHost::with(openline_guests::ECHO, "/echo")
        .host(|host| {
            host.server(|server| server.http2_streams = 1_000)
                .instance(|instance| instance.concurrency = 10_001)
        })
        .start()
        .await;
    let path = format!("{PATH}/more");
    let made = host.json("PUT", &path, &json!({"route": "/more"})).await;
    assert_eq!(made.status, 201);
    let mut peers = JoinSet::new();
    for _ in 0..TCP_CONNECTIONS {
        let address = host.address;
        peers.spawn(async move {
            let mut http2 = Http2::connect_with(address, |builder| {
                builder.initial_connection_window_size(1 << 24);
            })
            .await;
            let mut open = Vec::new();
            for _ in 0..STREAMS {
                open.push(http2.open("/more").await.unwrap());
            }
            (http2, open)
        });
    }
    let mut peers = peers.join_all().await;
    // The trigger goes while messages are on their way.
    for stream in peers.iter_mut().flat_map(|(_, open)| open) {
        stream.send(0x81, b"before").await;
    }
    assert_eq!(host.ask("DELETE", &path, None).await.status, 204);
    assert_eq!(host.refused("/more").await.status, 404);
    for stream in peers.iter_mut().flat_map(|(_, open)| open) {
        assert_eq!(stream.frame().await.unwrap().1, b"before");
    }
    for stream in peers.iter_mut().flat_map(|(_, open)| open) {
        stream.echo(b"after").await;
    }
    let open = host.state().await["connections"]["open"].clone();
    assert_eq!(open, TCP_CONNECTIONS * STREAMS);
    // They count as the function's, as those by its other trigger do.
    let function = host.ask("GET", "/v1/functions/echo", None).await.value();
    assert_eq!(function["connections"], TCP_CONNECTIONS * STREAMS);
    for (http2, open) in peers {
        drop(open);
        http2.vanish();
    }
    host.nothing_is_left().await;
}

#[tokio::test]
async fn what_cannot_be_set_changes_nothing_and_says_why() {
    let host = AdminHost::with(openline_guests::ECHO, "/echo")
        .host(|host| {
            host.and(openline_guests::COUNTER, "/counter/{room}")
                .function(|function| function.instance.affinity = Some("room".into()))
        })
        .start()
        .await;
    let set = async |trigger: &str, body: Value| {
        host.json("PUT", &format!("{PATH}/{trigger}"), &body).await
    };
    let right = json!({"route": "/a/{b}", "hosts": ["x.org"]});
    assert_eq!(set("a", right).await.status, 201);
    let before = host.ask("GET", PATH, None).await.value();

    let conflict = set(
        "b",
        json!({"route": "/a/{c}", "hosts": ["y.org", "X.org."]}),
    )
    .await;
    conflict.refused(409, "conflict");
    let message = conflict.value()["message"].to_string();
    assert!(message.contains("trigger `a` of `echo`"), "{message}");
    assert!(message.contains("trigger `b` of `echo`"), "{message}");
    let other = set("b", json!({"route": "/counter/{x}"})).await;
    other.refused(409, "conflict");
    assert!(
        other.value()["message"]
            .to_string()
            .contains("of `counter`")
    );
    set("echo", json!({"route": "/b"}))
        .await
        .refused(409, "fixed_trigger");
    let fixed = host.ask("DELETE", &format!("{PATH}/echo"), None).await;
    fixed.refused(409, "fixed_trigger");
    for (body, status, word) in [
        (json!({"route": "b"}), 422, "trigger"),
        (json!({"route": "/.openline/x"}), 422, "trigger"),
        (json!({"route": "/%61"}), 422, "trigger"),
        (json!({"route": "/b", "hosts": ["a:1"]}), 422, "trigger"),
        (json!({"route": "/b", "methods": []}), 422, "trigger"),
        (json!({"route": "/b", "methods": ["TRACE"]}), 422, "trigger"),
        (
            json!({"route": "/b", "alias": "live", "version": "abcdef"}),
            422,
            "trigger",
        ),
        (
            json!({"route": "/b", "version": "abcdef"}),
            404,
            "no_version",
        ),
        (json!({"route": "/b", "more": 1}), 400, "bad_json"),
        (json!({}), 400, "bad_json"),
    ] {
        set("b", body).await.refused(status, word);
    }
    set("-b", json!({"route": "/b"}))
        .await
        .refused(400, "bad_name");
    let nobody = "/v1/functions/nobody/triggers/b";
    let nobody = host.json("PUT", nobody, &json!({"route": "/b"})).await;
    nobody.refused(404, "no_function");
    // The function with affinity needs its parameter.
    let path = "/v1/functions/counter/triggers/b";
    let without = host.json("PUT", path, &json!({"route": "/b"})).await;
    without.refused(422, "affinity");
    assert_eq!(host.ask("GET", PATH, None).await.value(), before);
}

#[tokio::test]
async fn triggers_at_their_number_and_past_it() {
    let host = Host::with(openline_guests::ECHO, "/echo").start().await;
    let name = FunctionName::new("echo").unwrap();
    let trigger = |number: usize| Trigger::new(Route::new(&format!("/{number}")).unwrap());
    for number in 0..TRIGGERS_MAX {
        host.deployer
            .set_trigger(&name, trigger(number))
            .await
            .unwrap();
    }
    let past = host
        .deployer
        .set_trigger(&name, trigger(TRIGGERS_MAX))
        .await;
    assert!(matches!(past, Err(ChangeError::Rule(_))), "{past:?}");
    host.connect(&format!("/{}", TRIGGERS_MAX - 1)).await;
    assert_eq!(host.refused(&format!("/{TRIGGERS_MAX}")).await.status, 404);
}

#[tokio::test]
async fn a_trigger_that_is_removed_leaves_its_many_connections() {
    const CONNECTIONS: usize = 200;
    let host = echo().await;
    let path = format!("{PATH}/many");
    let set = host
        .json(
            "PUT",
            &path,
            &json!({"route": "/many/{n}", "alias": "live"}),
        )
        .await;
    assert_eq!(set.status, 201);
    let mut clients = Vec::new();
    for number in 0..CONNECTIONS {
        clients.push(host.connect(&format!("/many/{number}")).await);
    }
    assert_eq!(host.ask("DELETE", &path, None).await.status, 204);
    assert_eq!(host.refused("/many/1").await.status, 404);
    for (number, client) in clients.iter_mut().enumerate() {
        let text = number.to_string();
        assert_eq!(client.ask(&text).await, text);
    }
    let shown = host.ask("GET", "/v1/functions/echo", None).await.value();
    assert_eq!(shown["connections"], CONNECTIONS);
    drop(clients);
    host.nothing_is_left().await;
}

#[tokio::test]
async fn triggers_survive_a_restart_and_a_reload_but_not_their_removal() {
    let store = Store::memory(1 << 20);
    let start = || {
        Host::with(openline_guests::ECHO, "/echo")
            .store(&store)
            .start()
    };
    let name = FunctionName::new("echo").unwrap();
    let trigger = |route: &str| Trigger::new(Route::new(route).unwrap());
    let first = start().await;
    for route in ["/kept", "/gone"] {
        first
            .deployer
            .set_trigger(&name, trigger(route))
            .await
            .unwrap();
    }
    let gone = TriggerName::new("gone").unwrap();
    first.deployer.remove_trigger(&name, &gone).await.unwrap();
    drop(first);
    let second = start().await;
    let mut client = second.connect("/kept").await;
    assert_eq!(second.refused("/gone").await.status, 404);

    // A file that is read again keeps them, too.
    let config = |change: &dyn Fn(&mut FunctionConfig)| {
        let route = Route::new("/talk").unwrap();
        let component = openline_guests::ECHO.into();
        let mut function = FunctionConfig::new(name.clone(), Some(component), route);
        change(&mut function);
        Config {
            server: second.server(),
            channels: Vec::new(),
            functions: vec![function],
            keys: Vec::new(),
        }
    };
    let reload = async |change: &dyn Fn(&mut FunctionConfig)| {
        let bytes = std::fs::read(openline_guests::ECHO).unwrap();
        let components = vec![ConfiguredComponent {
            function: name.clone(),
            component: Ok(bytes.into()),
        }];
        let configured = (config(change), Firewalls::default());
        second.deployer.reload(configured, components).await
    };
    reload(&|_| {}).await.unwrap();
    assert_eq!(second.refused("/echo").await.status, 404);
    second.connect("/kept").await;
    second.connect("/talk").await;
    // It may not take a name or a route that was given out meanwhile.
    let same_name = |function: &mut FunctionConfig| {
        function.triggers[0].name = TriggerName::new("kept").unwrap();
    };
    let refused = reload(&same_name).await;
    assert!(
        matches!(refused, Err(StartError::Trigger(_))),
        "{refused:?}"
    );
    let same_route = |function: &mut FunctionConfig| {
        function.triggers[0].route = Route::new("/kept").unwrap();
    };
    let refused = reload(&same_route).await.unwrap_err().to_string();
    assert!(refused.contains("match the same requests"), "{refused}");
    second.connect("/talk").await;
    assert_eq!(client.ask("still here").await, "still here");
}
