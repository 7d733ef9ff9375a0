//! Limits that the engine enforces, as a configuration sets them: at the limit,
//! and one past it.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Command;

use crate::harness::{Closed, Host, eventually, runtime, within};

const MEBIBYTE: usize = 1024 * 1024;
/// Longer than any test waits.
const NEVER: Duration = Duration::from_secs(600);

fn trap() -> Closed {
    Closed {
        code: 1011,
        reason: "function fault: trap".into(),
    }
}

#[tokio::test]
async fn the_instances_of_the_whole_host_at_their_limit_and_past_it() {
    let runtime = runtime(2, |_| {});
    let host = Host::with(openline_guests::ECHO, "/echo")
        .instance(|instance| {
            instance.concurrency = 1;
            instance.idle_timeout = Duration::from_millis(50);
        })
        .and(openline_guests::FAULT_TRAP, "/trap")
        .instance(|instance| instance.concurrency = 1)
        .start_on(&runtime)
        .await;
    let mut first = host.connect("/echo").await;
    let mut second = host.connect("/trap").await;
    assert_eq!(runtime.instances(), 2);
    // Each function could have more, but not all together.
    for path in ["/echo", "/trap"] {
        let refused = host.refused(path).await;
        assert_eq!(refused.status, 503);
        assert_eq!(refused.headers["openline-error-type"], "no_capacity");
        assert!(refused.headers.contains_key("retry-after"));
    }
    assert_eq!(first.ask("x").await, "x");
    // An instance that ends makes room for either function.
    first.vanish();
    let mut third = host.connect_eventually("/trap").await;
    assert_eq!(third.ask("x").await, "x");
    second.text("trap").await;
    assert_eq!(second.closed().await, trap());
    host.connect_eventually("/echo").await;
}

#[tokio::test]
async fn a_channel_has_its_subscribers_and_not_one_more() {
    let host = Host::with(openline_guests::FAULT_HUB, "/hub")
        .limit(|limit| limit.subscribers = 2)
        .start()
        .await;
    let mut first = host.connect("/hub").await;
    let mut second = host.connect("/hub").await;
    let mut third = host.connect("/hub").await;
    assert_eq!(first.ask("subscribe news").await, "ok");
    assert_eq!(second.ask("subscribe news").await, "ok");
    assert_eq!(
        second.ask("subscribe news").await,
        "ok",
        "it is one already"
    );
    assert_eq!(third.ask("subscribe news").await, "limit");
    assert_eq!(third.ask("subscribe other").await, "ok");
    assert_eq!(third.ask("count news").await, "2");
    assert_eq!(first.ask("unsubscribe news").await, "ok");
    assert_eq!(third.ask("subscribe news").await, "ok");
}

#[tokio::test]
async fn channels_and_attachments_as_the_configuration_sets_them() {
    let host = Host::with(openline_guests::FAULT_HUB, "/hub")
        .limit(|limit| {
            limit.channels = 2;
            limit.attachment_bytes = 10;
        })
        .and(openline_guests::FAULT_REJECT, "/reject")
        .limit(|limit| {
            limit.channels = 2;
            limit.attachment_bytes = 10;
        })
        .start()
        .await;
    let mut client = host.connect("/hub").await;
    assert_eq!(client.ask("subscribe a").await, "ok");
    assert_eq!(client.ask("subscribe b").await, "ok");
    assert_eq!(client.ask("subscribe c").await, "limit");
    assert_eq!(client.ask("attach 10").await, "ok");
    assert_eq!(client.ask("attach 11").await, "limit");
    assert_eq!(client.ask("attached").await, "10");
    for (at, past) in [
        ("channel=a&channel=b", "channel=a&channel=b&channel=c"),
        ("attachment_bytes=10", "attachment_bytes=11"),
    ] {
        let mut accepted = host.connect(&format!("/reject?{at}")).await;
        assert_eq!(accepted.ask("x").await, "x");
        let refused = host.refused(&format!("/reject?{past}")).await;
        assert_eq!(refused.status, 502, "{past}");
        assert_eq!(refused.headers["openline-error-type"], "bad_answer");
    }
}

#[tokio::test]
async fn handles_as_the_configuration_sets_them() {
    let host = Host::with(openline_guests::FAULT_HUB, "/hub")
        .instance(|instance| instance.handles = 16)
        .start()
        .await;
    let mut client = host.connect("/hub").await;
    let mut other = host.connect("/hub").await;
    assert_eq!(client.ask("lose 16").await, "16");
    client.text("lose 1").await;
    assert_eq!(client.closed().await, trap());
    assert_eq!(other.ask("lose 16").await, "16", "a new instance");
}

#[tokio::test]
async fn what_one_call_of_the_host_is_given_at_its_size_and_past_it() {
    const MOST: usize = 64 * 1024;
    let host = Host::with(openline_guests::FAULT_HUB, "/hub")
        .limit(|limit| limit.hostcall_bytes = MOST)
        .start()
        .await;
    let mut client = host.connect("/hub").await;
    let mut other = host.connect("/hub").await;
    // The name of the channel, one byte, counts in the same call.
    let at = MOST - 1;
    assert_eq!(client.ask(&format!("fill c {at}")).await, "0");
    client.text(&format!("fill c {MOST}")).await;
    assert_eq!(client.closed().await, trap());
    assert_eq!(other.ask("count c").await, "0");
}

#[tokio::test]
async fn a_limit_that_is_spent_while_deciding_refuses_the_connection() {
    let host = Host::with(openline_guests::FAULT_COMPUTE, "/compute")
        .limit(|limit| {
            limit.fuel_per_event = 1_000_000;
            limit.cpu_timeout = NEVER;
            limit.handler_timeout = NEVER;
        })
        .and(openline_guests::FAULT_MEMORY, "/memory")
        .instance(|instance| instance.memory_bytes = 8 * MEBIBYTE)
        .and(openline_guests::FAULT_RECURSE, "/recurse")
        .start()
        .await;
    for (path, what) in [
        ("/compute", "fuel_per_event"),
        ("/memory", "memory_bytes"),
        ("/recurse", "stack"),
    ] {
        let mut other = host.connect(path).await;
        let refused = host.refused(&format!("{path}?at=upgrade")).await;
        assert_eq!(refused.status, 502, "{path}");
        assert_eq!(refused.headers["openline-error-type"], what);
        assert_eq!(other.ask("after").await, "after", "{path}");
    }
}

#[tokio::test]
async fn an_upgrade_that_is_not_decided_in_time_is_refused_with_504() {
    let hasty = Duration::from_millis(200);
    let host = Host::with(openline_guests::FAULT_AWAIT_FOREVER, "/await")
        .limit(|limit| {
            limit.upgrade_timeout = hasty;
            limit.handler_timeout = NEVER;
        })
        .and(openline_guests::FAULT_COMPUTE, "/compute")
        .limit(|limit| {
            limit.upgrade_timeout = hasty;
            limit.handler_timeout = NEVER;
            limit.cpu_timeout = NEVER;
        })
        .start()
        .await;
    // An `upgrade` that takes too long itself; its instance goes on.
    let mut other = host.connect("/await").await;
    assert_eq!(host.refused("/await?at=upgrade").await.status, 504);
    assert_eq!(other.ask("after").await, "after");
    // An `upgrade` whose turn does not come.
    let mut computing = host.connect("/compute").await;
    computing.text("compute").await;
    assert_eq!(host.refused("/compute").await.status, 504);
}

#[tokio::test]
async fn a_send_to_a_connection_that_is_not_there_reaches_nobody() {
    let host = Host::with(openline_guests::FAULT_HUB, "/hub")
        .and(openline_guests::FAULT_HUB, "/other")
        .start()
        .await;
    let mut here = host.connect("/hub").await;
    let mut there = host.connect("/other").await;
    let mut ended = host.connect("/hub").await;
    let foreign = there.ask("id").await;
    assert_eq!(here.ask(&format!("send {foreign} x")).await, "nobody");
    // It got nothing before: this is its next message.
    assert_eq!(there.ask("count news").await, "0");
    for unknown in ["", "x", &"0".repeat(32), &"f".repeat(33), "\u{0}\u{0}"] {
        assert_eq!(here.ask(&format!("send {unknown} x")).await, "nobody");
    }
    // After a close, the connection is closing and then gone. A handle that was
    // taken before shows this, and there is no new one.
    let id = ended.ask("id").await;
    assert_eq!(here.ask(&format!("hold {id}")).await, "1");
    assert_eq!(here.ask("held x").await, "Sent");
    assert_eq!(ended.next_text().await, "x");
    assert_eq!(here.ask("end-held").await, "Gone");
    assert_eq!(ended.closed().await.code, 1000);
    let hub = host.function_on("/hub").hub().clone();
    eventually("it to be gone", || hub.connections() == 1).await;
    assert_eq!(here.ask("held x").await, "Gone");
    assert_eq!(here.ask(&format!("send {id} x")).await, "nobody");
}

/// Runs `openline check` with compiled components kept in a folder, after a
/// line of shell.
async fn check(folder: &TempDir, before: &str) -> (Option<i32>, String) {
    let config = folder.path().join("openline.toml");
    let component = openline_guests::ECHO;
    let content = format!(
        "[server]\ncache = \"cache\"\n[[function]]\nname = \"echo\"\n\
         component = {component:?}\nroute = \"/echo\"\n"
    );
    fs::write(&config, content).unwrap();
    let mut shell = Command::new("sh");
    shell
        .arg("-c")
        .arg(format!("{before} exec \"$0\" check --config \"$1\""))
        .arg(env!("CARGO_BIN_EXE_openline"))
        .arg(&config)
        .env_remove("OPENLINE_LOG")
        .stdin(Stdio::null());
    let output = within("`openline check` to end", shell.output()).await;
    let output = output.unwrap();
    (
        output.status.code(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

fn cached(folder: &TempDir) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder.path().join("cache")).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test]
async fn a_full_disk_under_the_compile_cache_costs_the_cache_and_nothing_else() {
    let folder = TempDir::new().unwrap();
    // Files may have a few KiB, and a write past that is an error: half of the
    // compiled component is written, as on a full disk.
    let (code, told) = check(&folder, "trap '' XFSZ; ulimit -f 8;").await;
    assert_eq!(code, Some(0), "{told}");
    assert!(
        told.contains("could not cache a compiled component"),
        "{told}"
    );
    assert_eq!(
        cached(&folder),
        Vec::<std::path::PathBuf>::new(),
        "no half file"
    );
    // With room again it is kept, and a later full disk does not remove it.
    let (code, told) = check(&folder, "").await;
    assert_eq!(
        (code, told.contains("not cached")),
        (Some(0), false),
        "{told}"
    );
    let kept = cached(&folder);
    assert_eq!(kept.len(), 1);
    let (code, told) = check(&folder, "trap '' XFSZ; ulimit -f 8;").await;
    assert_eq!(
        (code, told.contains("not cached")),
        (Some(0), false),
        "{told}"
    );
    assert_eq!(cached(&folder), kept);
}
