//! Functions that channels wake: what their handlers get and when, how they fail,
//! what is lost and said to be, and which components are refused.

use std::sync::Arc;

use openline_channels::hub::Hub;
use openline_channels::space::Publishing;
use openline_channels::wakeups::Wakeups;
use openline_control::{ChangeError, ConfiguredComponent, HandlerError};
use openline_core::channel::{ChannelPattern, Subscription};
use openline_core::component::Component;
use openline_core::config::{Config, FunctionConfig};
use openline_core::deployment::Migration;
use openline_core::message::Message;
use openline_core::name::{ChannelName, FunctionName};
use openline_engine::runtime::Runtime;
use openline_firewall::rules::Firewalls;
use openline_guests::{ECHO, FAULT_LISTENER, TICKER};
use openline_hint::Hint;
use openline_store::Store;

use crate::harness::{Client, Host, HostBuilder, deploy_options, eventually, runtime, variant};

/// Both call styles.
const BOTH: [&str; 2] = [openline_guests::FAULT_LISTENER, ASYNC];
pub(crate) const ASYNC: &str = openline_guests::FAULT_LISTENER_ASYNC;

/// A channel with a history on the disk, and one with a history.
const CHANNELS: &str = r#"
[[function.channel]]
pattern = "room:durable"
history = { count = 10 }
durable = true

[[function.channel]]
pattern = "room:kept"
history = { count = 10 }
"#;

pub(crate) fn subscription(pattern: &str) -> Subscription {
    Subscription {
        pattern: ChannelPattern::new(pattern).unwrap(),
        own: false,
    }
}

pub(crate) fn host_of(component: &str) -> HostBuilder {
    Host::with(component, "/listen").function(|function| {
        function.name = name();
        function.subscriptions = vec![subscription("room:*")];
    })
}

/// For tests with alarms: their task ends with the first test that sets one.
fn own_runtime() -> Arc<Runtime> {
    runtime(20, |_| ())
}

pub(crate) fn name() -> FunctionName {
    FunctionName::new("listener").unwrap()
}

pub(crate) fn channel(name: &str) -> ChannelName {
    ChannelName::new(name).unwrap()
}

pub(crate) fn hub(host: &Host) -> Arc<Hub> {
    Arc::clone(host.function("listener").hub())
}

/// Publishes as a function or a publisher outside would.
pub(crate) async fn publish(host: &Host, name: &str, text: &str) {
    let publishing = Publishing::of(Message::Text(text.into()));
    let mut wakeups = Wakeups::default();
    let answered = hub(host).publish(&channel(name), publishing, &mut wakeups);
    wakeups.flush();
    answered.wait().await.unwrap();
}

/// What is said on `log`, from now on.
pub(crate) async fn log(host: &Host) -> Client {
    host.connect("/listen").await
}

/// Publishes without a pause, and reads what the handler got until it has said so
/// many texts: those texts, in order, with how many were lost before them.
pub(crate) async fn heard(log: &mut Client, texts: usize) -> Vec<String> {
    let mut all = Vec::new();
    while all.len() < texts {
        let line = log.next_text().await;
        let (_, said) = line.split_once(": ").unwrap_or_else(|| panic!("{line}"));
        let said = said.strip_suffix("; 0 lost");
        let said = said.unwrap_or_else(|| panic!("{line}"));
        all.extend(said.split(' ').map(str::to_owned));
    }
    all
}

/// Reads the configuration again, after a change.
pub(crate) async fn reload(
    host: &Host,
    change: impl FnOnce(&mut Vec<FunctionConfig>),
) -> Result<(), String> {
    let mut functions = host.deployer.configs();
    change(&mut functions);
    let components = functions.iter().filter_map(|function| {
        let bytes = std::fs::read(function.component.as_ref()?).unwrap();
        Some(ConfiguredComponent {
            function: function.name.clone(),
            component: Ok(Component::from(bytes)),
        })
    });
    let components = components.collect();
    let config = Config {
        server: host.server(),
        channels: Vec::new(),
        functions,
        keys: Vec::new(),
    };
    let reloaded = host
        .deployer
        .reload((config, Firewalls::default()), components);
    let reloaded = Box::pin(reloaded).await;
    reloaded.map(drop).map_err(|error| error.to_string())
}

/// Counts of the function's publications: lost and failed.
pub(crate) fn counts(host: &Host) -> (u64, u64) {
    let view = host.deployer.function(&name()).unwrap();
    let handler = view.channel_handler.unwrap();
    (handler.lost, handler.failed)
}

#[tokio::test]
async fn it_is_woken_once_for_each_publication_in_their_order() {
    for component in BOTH {
        let host = host_of(component).channels(CHANNELS).start().await;
        let mut log = log(&host).await;
        assert_eq!(host.function("listener").commons().instances(), 1);
        let numbers: Vec<_> = (0..200).map(|number| number.to_string()).collect();
        for room in ["room:1", "room:kept", "room:durable"] {
            for number in &numbers {
                publish(&host, room, number).await;
            }
            assert_eq!(heard(&mut log, numbers.len()).await, numbers, "{room}");
        }
        // The handler has an instance of its own.
        assert_eq!(host.function("listener").commons().instances(), 2);
        // No other channel wakes it.
        publish(&host, "other", "x").await;
        publish(&host, "room:1", "last").await;
        assert_eq!(heard(&mut log, 1).await, ["last"]);
        assert_eq!(counts(&host), (0, 0));
    }
}

#[tokio::test]
async fn a_channel_that_remembers_nothing_wakes_it_without_subscribers_and_is_not_kept() {
    let host = host_of(FAULT_LISTENER).start().await;
    let mut log = log(&host).await;
    for number in 0..50 {
        publish(&host, &format!("room:{number}"), "x").await;
    }
    assert_eq!(heard(&mut log, 50).await.len(), 50);
    assert_eq!(hub(&host).own().count(), 1, "`log` has a subscriber");
}

#[tokio::test]
async fn a_batch_has_what_gathered_of_one_channel_and_says_what_was_lost() {
    for component in BOTH {
        let host = host_of(component);
        let host = host.limit(|limit| limit.channel_queue = 3).start().await;
        let mut log = log(&host).await;
        publish(&host, "room:a", "hold").await;
        assert_eq!(log.next_text().await, "1 room:a: hold; 0 lost");
        // As many as may wait, of two channels.
        for (room, text) in [("room:a", "1"), ("room:b", "2"), ("room:a", "3")] {
            publish(&host, room, text).await;
        }
        assert_eq!(counts(&host), (0, 0));
        publish(&host, "room:b", "4").await;
        assert_eq!(counts(&host), (1, 0));
        let gate = host.connect("/listen?channel=gate").await;
        // The oldest was dropped.
        assert_eq!(log.next_text().await, "2 room:b: 2 4; 1 lost");
        assert_eq!(log.next_text().await, "3 room:a: 3; 0 lost");
        drop(gate);
    }
}

#[tokio::test]
async fn subscriptions_are_read_again_and_keep_what_waits() {
    let host = host_of(FAULT_LISTENER).start().await;
    let mut log = log(&host).await;
    publish(&host, "room:1", "hold").await;
    log.next_text().await;
    publish(&host, "room:1", "waits").await;
    reload(&host, |functions| {
        functions[0].subscriptions = vec![subscription("hall:*")];
    })
    .await
    .unwrap();
    publish(&host, "room:1", "not wanted").await;
    publish(&host, "hall:1", "wanted").await;
    let gate = host.connect("/listen?channel=gate").await;
    assert_eq!(log.next_text().await, "2 room:1: waits; 0 lost");
    assert_eq!(log.next_text().await, "3 hall:1: wanted; 0 lost");
    drop(gate);
    // Without subscriptions, what waits is forgotten.
    publish(&host, "hall:1", "hold").await;
    log.next_text().await;
    publish(&host, "hall:1", "forgotten").await;
    reload(&host, |functions| functions[0].subscriptions.clear())
        .await
        .unwrap();
    publish(&host, "hall:1", "not wanted").await;
    let view = host.deployer.function(&name()).unwrap();
    assert_eq!(view.channel_handler, None);
    reload(&host, |functions| {
        functions[0].subscriptions = vec![subscription("hall:*")];
    })
    .await
    .unwrap();
    publish(&host, "hall:1", "again wanted").await;
    let gate = host.connect("/listen?channel=gate").await;
    assert_eq!(log.next_text().await, "5 hall:1: again wanted; 0 lost");
    drop(gate);
}

#[tokio::test]
async fn deploys_in_the_middle_lose_nothing_and_repeat_nothing() {
    for (component, migration) in [
        (FAULT_LISTENER, Migration::Migrate),
        (ASYNC, Migration::Pin),
    ] {
        let host = host_of(component).start().await;
        let mut log = log(&host).await;
        let mut expected = Vec::new();
        for version in 0..4 {
            let bytes = variant(&std::fs::read(component).unwrap(), version);
            let named = name();
            let mut options = deploy_options();
            options.migration = Some(migration);
            let deploy = host.deployer.deploy(&named, bytes.into(), options);
            let publishing = async {
                for number in 0..50 {
                    let text = format!("{version}-{number}");
                    publish(&host, "room:1", &text).await;
                    expected.push(text);
                    tokio::task::yield_now().await;
                }
            };
            let (deployed, ()) = tokio::join!(Box::pin(deploy), publishing);
            deployed.unwrap();
            // The handler follows at once, whatever connections do.
            publish(&host, "room:2", "last").await;
            expected.push("last".into());
            assert_eq!(heard(&mut log, 51).await, expected);
            expected.clear();
        }
        let view = host.deployer.function(&name()).unwrap();
        assert!(view.versions.len() > 1, "{view:?}");
    }
}

#[tokio::test]
async fn a_call_that_fails_is_not_repeated_and_the_next_one_is_made() {
    for component in BOTH {
        let host = host_of(component).start().await;
        let mut log = log(&host).await;
        publish(&host, "room:1", "one").await;
        assert_eq!(log.next_text().await, "1 room:1: one; 0 lost");
        publish(&host, "room:1", "panic").await;
        assert_eq!(log.next_text().await, "2 room:1: panic; 0 lost");
        publish(&host, "room:1", "two").await;
        assert_eq!(log.next_text().await, "1 room:1: two; 0 lost");
        assert_eq!(counts(&host), (0, 1));
        // Connections were not touched.
        log.text("room:1 three").await;
        assert_eq!(log.next_text().await, "2 room:1: three; 0 lost");
    }
}

#[tokio::test]
async fn while_the_host_backs_off_publications_wait() {
    let host = host_of(FAULT_LISTENER);
    let host = host.instance(|instance| instance.faults_in_a_row = 1);
    let host = host.start().await;
    let mut log = log(&host).await;
    publish(&host, "room:1", "panic").await;
    assert_eq!(log.next_text().await, "1 room:1: panic; 0 lost");
    eventually("the fault to be noted", || counts(&host).1 == 1).await;
    publish(&host, "room:1", "one").await;
    publish(&host, "room:1", "two").await;
    assert_eq!(heard(&mut log, 2).await, ["one", "two"]);
}

#[tokio::test]
async fn what_a_handler_publishes_wakes_it_only_if_it_wants_that() {
    for component in BOTH {
        let host = host_of(component).start().await;
        let mut log = log(&host).await;
        publish(&host, "room:1", "again").await;
        assert_eq!(log.next_text().await, "1 room:1: again; 0 lost");
        publish(&host, "room:1", "say room:2 no").await;
        assert_eq!(log.next_text().await, "2 room:1: say room:2 no; 0 lost");
        // What another instance of the function publishes does.
        log.text("room:2 yes").await;
        assert_eq!(log.next_text().await, "3 room:2: yes; 0 lost");

        let host = host_of(component);
        let host = host.function(|function| function.subscriptions[0].own = true);
        let host = host.limit(|limit| limit.channel_calls_per_second = 5);
        let host = host.start().await;
        let mut log = self::log(&host).await;
        publish(&host, "room:1", "again").await;
        let began = tokio::time::Instant::now();
        for call in 1..=10 {
            let line = log.next_text().await;
            assert_eq!(line, format!("{call} room:1: again; 0 lost"));
        }
        // Five at once, then five a second: a loop is bounded.
        assert!(began.elapsed().as_millis() >= 600, "{:?}", began.elapsed());
    }
}

#[tokio::test]
async fn a_handler_uses_states_alarms_and_connections() {
    for component in BOTH {
        let host = host_of(component).start_on(&own_runtime()).await;
        let mut log = log(&host).await;
        for (order, said) in [
            ("save", "saved 1"),
            ("save", "saved 2"),
            ("connections", "1 connections"),
        ] {
            publish(&host, "room:1", order).await;
            log.next_text().await;
            assert_eq!(log.next_text().await, said);
        }
        publish(&host, "room:1", "alarm").await;
        log.next_text().await;
        assert_eq!(log.next_text().await, "alarm told");
        // Its state is the function's, and is there in the next instance.
        publish(&host, "room:1", "panic").await;
        log.next_text().await;
        publish(&host, "room:1", "save").await;
        log.next_text().await;
        assert_eq!(log.next_text().await, "saved 3");
    }
}

#[tokio::test]
async fn with_affinity_the_handler_has_a_state_of_its_own() {
    let host = Host::with(FAULT_LISTENER, "/listen/{room}")
        .instance(|instance| instance.affinity = Some("room".into()))
        .function(|function| {
            function.name = name();
            function.subscriptions = vec![subscription("room:*")];
        });
    let host = host.start_on(&own_runtime()).await;
    let mut log = host.connect("/listen/a").await;
    for saved in ["saved 1", "saved 2"] {
        publish(&host, "room:1", "save").await;
        log.next_text().await;
        assert_eq!(log.next_text().await, saved);
    }
    publish(&host, "room:1", "alarm").await;
    log.next_text().await;
    assert_eq!(log.next_text().await, "alarm told");
    // No peer gets into its instance.
    assert_eq!(host.refused("/listen/%00channels").await.status, 400);
}

#[tokio::test]
async fn shared_channels_wake_the_functions_that_share_them() {
    let host = Host::with(FAULT_LISTENER, "/listen")
        .function(|function| {
            function.name = name();
            function.subscriptions = vec![subscription("room:*")];
        })
        .and(FAULT_LISTENER, "/other")
        .function(|function| function.subscriptions = vec![subscription("room:*")])
        .and(ECHO, "/echo")
        .shared_channels("[[channel]]\npattern = \"room:shared\"\n")
        .start()
        .await;
    let mut log = log(&host).await;
    let mut other = host.connect("/other").await;
    // By a function.
    log.text("room:shared one").await;
    for log in [&mut log, &mut other] {
        assert_eq!(log.next_text().await, "1 room:shared: one; 0 lost");
    }
    // By the host, as for publishers outside.
    let shared = hub(&host);
    let mut wakeups = Wakeups::default();
    let publishing = Publishing::of(Message::Text("say room:shared two".into()));
    let space = shared.shared();
    let answered = space.publish(&channel("room:shared"), publishing, &mut wakeups);
    answered.wait().await.unwrap();
    // Each publishes `two`, and gets that of the other, perhaps in the same call.
    for log in [&mut log, &mut other] {
        let texts = heard(log, 4).await;
        assert_eq!(texts, ["say", "room:shared", "two", "two"]);
    }
    // A channel of its own wakes one.
    log.text("room:own three").await;
    assert_eq!(heard(&mut log, 1).await, ["three"]);
    other.text("room:own four").await;
    assert_eq!(heard(&mut other, 1).await, ["four"]);
}

#[tokio::test]
async fn an_idle_handler_sleeps_and_the_next_publication_makes_another_instance() {
    let host = host_of(FAULT_LISTENER);
    let host = host.instance(|instance| {
        instance.idle_timeout = std::time::Duration::from_millis(50);
    });
    let host = host.start().await;
    let mut log = log(&host).await;
    for _ in 0..2 {
        publish(&host, "room:1", "x").await;
        assert_eq!(log.next_text().await, "1 room:1: x; 0 lost");
        let commons = Arc::clone(host.function("listener").commons());
        eventually("the instances to end", || commons.instances() == 0).await;
    }
}

#[tokio::test]
async fn a_removed_function_is_not_woken_and_is_let_go() {
    let host = host_of(FAULT_LISTENER).and(ECHO, "/echo").start().await;
    let log = log(&host).await;
    publish(&host, "room:1", "hold").await;
    let weak = Arc::downgrade(&hub(&host));
    let held = hub(&host);
    reload(&host, |functions| functions.retain(|it| it.name != name()))
        .await
        .unwrap();
    let mut wakeups = Wakeups::default();
    let publishing = Publishing::of(Message::Text("x".into()));
    let _ = held.publish(&channel("room:1"), publishing, &mut wakeups);
    assert!(held.queue().is_empty());
    drop((held, log));
    host.drain().await;
    eventually("the hub to be let go", || weak.strong_count() == 0).await;
}

#[tokio::test]
async fn publications_that_are_kept_on_the_disk_wake_it_once_across_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), 1 << 30).unwrap();
    for round in 0..2 {
        let host = host_of(FAULT_LISTENER).channels(CHANNELS).store(&store);
        let host = host.start().await;
        let mut log = log(&host).await;
        let text = format!("round-{round}");
        publish(&host, "room:durable", &text).await;
        assert_eq!(
            log.next_text().await,
            format!("1 room:durable: {text}; 0 lost")
        );
        drop(log);
        host.drain().await;
        drop(host);
    }
}

#[tokio::test]
async fn the_sample_ticker_counts_what_is_said() {
    let host = Host::with(ECHO, "/echo")
        .and(openline_guests::TICKER, "/unused")
        .function(|function| {
            function.triggers.clear();
            function.subscriptions = vec![subscription("room:*")];
        })
        .shared_channels(
            "[[channel]]\npattern = \"room:*\"\n[[channel]]\npattern = \"stats\"\nlatest = true\n",
        )
        .start()
        .await;
    let mut peer = host.connect("/echo").await;
    let hub = Arc::clone(host.function("echo").hub());
    let connection = hub.page(None, 1).remove(0);
    let mut wakeups = Wakeups::default();
    hub.subscribe(&connection, &channel("stats"), &mut wakeups)
        .unwrap();
    let shared = hub.shared();
    for text in ["hello", "world"] {
        let publishing = Publishing::of(Message::Text(text.into()));
        let answered = shared.publish(&channel("room:1"), publishing, &mut wakeups);
        answered.wait().await.unwrap();
    }
    // They come in one call or in two.
    while peer.next_text().await != "2 said, 0 lost" {}
    assert_eq!(shared.count(), 1, "rooms remember nothing");
}

#[tokio::test]
async fn a_subscription_needs_a_component_with_the_handler() {
    let host = Host::with(ECHO, "/listen").function(|it| it.name = name());
    let host = host.start().await;
    let error = reload(&host, |functions| {
        functions[0].subscriptions = vec![subscription("room:*")];
    })
    .await
    .unwrap_err();
    assert!(
        error.contains("subscribes to channels, but its version"),
        "{error}"
    );
    assert!(error.contains("exports no `channel-handler`"), "{error}");

    let host = host_of(FAULT_LISTENER).start().await;
    let mut log = log(&host).await;
    let bytes = std::fs::read(ECHO).unwrap();
    let named = name();
    let deploy = host.deployer.deploy(&named, bytes.into(), deploy_options());
    let error = Box::pin(deploy).await.unwrap_err();
    let ChangeError::Handler(handler) = &error else {
        panic!("{error}");
    };
    assert!(matches!(handler, HandlerError::Channel { .. }), "{error}");
    assert!(handler.hint().unwrap().contains("export_channel_handler!"));
    // Nothing has changed.
    publish(&host, "room:1", "x").await;
    assert_eq!(log.next_text().await, "1 room:1: x; 0 lost");
}

#[tokio::test]
async fn a_component_of_channels_alone_takes_no_connections_and_needs_a_subscription() {
    let refused = |change: fn(&mut FunctionConfig)| async move {
        let host = Host::with(ECHO, "/echo").start().await;
        reload(&host, |functions| {
            let route = functions[0].triggers[0].route.clone();
            let name = FunctionName::new("ticker").unwrap();
            let mut function = FunctionConfig::new(name, Some(TICKER.into()), route);
            change(&mut function);
            functions.push(function);
        })
        .await
        .unwrap_err()
    };
    let error = refused(|function| {
        function.triggers[0].route = openline_core::route::Route::new("/ticker").unwrap();
    })
    .await;
    assert!(error.contains("exports no WebSocket handler"), "{error}");
    let error = refused(|function| function.triggers.clear()).await;
    assert!(error.contains("it subscribes to no channel"), "{error}");
}
