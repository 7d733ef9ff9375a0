//! A host whose threads hang logs their stacks, goes on answering probes, and
//! ends if it is configured to; one that is stopped or computes does not. Runs
//! the real binary. It has no switch that makes its threads hang, so the tests
//! act as a debugger that makes each of them wait in the kernel.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::AsyncReadExt;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
use tokio::task::JoinSet;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
use crate::harness::debugger::{self, Held};
use crate::harness::{Answer, Client, HANDSHAKE, Raw, Serving, close_frame, openline_with, within};

/// The shortest possible timeout.
const TIMEOUT: Duration = Duration::from_secs(1);

/// A host with a listener of probes.
struct Probed {
    _folder: TempDir,
    host: Serving,
    admin: SocketAddr,
    probes: SocketAddr,
}

impl Probed {
    /// With more keys of `[server]`, and with a function that computes.
    async fn start(keys: &str) -> Self {
        Self::start_under("true", keys).await
    }

    /// The same under limits of the shell.
    async fn start_under(limits: &str, keys: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("openline.toml");
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nprobes = \"127.0.0.1:0\"\n{keys}\n\
             [[function]]\nname = \"echo\"\ncomponent = {:?}\nroute = \"/echo\"\n\
             [[function]]\nname = \"compute\"\ncomponent = {:?}\nroute = \"/compute\"\n\
             [function.instance]\nconcurrency = 1\n[function.limit]\ncpu_timeout = \"10 min\"\nhandler_timeout = \"10 min\"\n",
            openline_guests::ECHO,
            openline_guests::FAULT_COMPUTE,
        );
        fs::write(&path, text).unwrap();
        let arguments = ["serve", "--config", path.to_str().unwrap()];
        let mut host = Serving::under(limits, &arguments).await;
        let admin = host.admin().await.parse().unwrap();
        let line = host.line().await;
        let url = line.strip_prefix("probes at").unwrap().trim();
        let address = url.strip_prefix("http://").unwrap();
        let probes = address.strip_suffix("/.openline/live").unwrap();
        Self {
            _folder: folder,
            host,
            admin,
            probes: probes.parse().unwrap(),
        }
    }

    async fn echoes(&self) {
        let mut client = Client::open(self.host.address, "/echo", &[]).await.unwrap();
        assert_eq!(client.ask("hello").await, "hello");
    }

    /// Ends it, and returns its output since.
    async fn ended(mut self) -> String {
        self.host.signal("TERM").await;
        let mut told = String::new();
        while let Some(line) = self.host.told_next().await {
            told += &line;
            told.push('\n');
        }
        assert_eq!(self.host.ended().await.0.code(), Some(0));
        told
    }
}

async fn get(address: SocketAddr, path: &str) -> Answer {
    // Anybody may ask, under any name.
    ask(address, "GET", path, "any.example").await
}

async fn ask(address: SocketAddr, method: &str, path: &str, host: &str) -> Answer {
    let mut raw = Raw::connect(address).await;
    let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    raw.send(head.as_bytes()).await;
    raw.answer().await
}

async fn status(address: SocketAddr, probe: &str) -> u16 {
    get(address, &format!("/.openline/{probe}")).await.status
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
impl Probed {
    async fn hold(&self) -> Vec<Held> {
        debugger::hold(&self.host, "worker").await
    }
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[tokio::test]
async fn a_host_that_hangs_says_so_answers_probes_and_goes_on() {
    if !debugger::is_allowed() {
        return;
    }
    let mut probed = Probed::start("watchdog_timeout = \"1 s\"").await;
    let mut client = Client::open(probed.host.address, "/echo", &[])
        .await
        .unwrap();
    assert_eq!(client.ask("before").await, "before");
    for address in [probed.host.address, probed.admin, probed.probes] {
        assert_eq!(status(address, "live").await, 200);
    }

    let held = probed.hold().await;
    // This request waits for the workers, but delays no probe.
    let mut waiting = Raw::connect(probed.admin).await;
    let head = "GET /v1/functions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    waiting.send(head.as_bytes()).await;
    probed.host.told("the host hangs").await;
    for address in [probed.admin, probed.probes] {
        let live = get(address, "/.openline/live").await;
        let text = String::from_utf8(live.body).unwrap();
        assert_eq!(live.status, 503);
        assert!(text.starts_with("hung: "), "{text}");
        assert_eq!(status(address, "ready").await, 503);
    }
    // The stack where it waits, down to tokio's function for each of its
    // threads.
    probed.host.told("\"worker\" (").await;
    probed
        .host
        .told("tokio::runtime::scheduler::multi_thread::worker")
        .await;

    debugger::release(held).await;
    probed.host.told("the host goes on").await;
    for address in [probed.host.address, probed.admin, probed.probes] {
        assert_eq!(status(address, "live").await, 200);
        assert_eq!(status(address, "ready").await, 200);
    }
    assert_eq!(client.ask("after").await, "after");
    assert_eq!(waiting.answer().await.status, 200);
    let told = probed.ended().await;
    assert!(!told.contains("the host hangs"), "{told}");
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[tokio::test]
async fn a_host_that_hangs_for_too_long_ends_with_a_code() {
    if !debugger::is_allowed() {
        return;
    }
    let keys = "watchdog_timeout = \"1 s\"\nwatchdog_exit_timeout = \"2 s\"";
    let mut probed = Probed::start(keys).await;
    probed.hold().await;
    probed.host.told("the host hangs: ").await;
    probed.host.told("the host hangs and ends").await;
    let (status, _) = probed.host.ended().await;
    assert_eq!(status.code(), Some(70));
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[tokio::test]
async fn requests_that_wait_for_a_host_that_hangs_leave_probes_their_places() {
    use openline_admin::{CONNECTIONS_MAX, PROBES_KEPT};

    if !debugger::is_allowed() {
        return;
    }
    let mut probed = Probed::start("watchdog_timeout = \"1 s\"").await;
    let held = probed.hold().await;
    let head = "GET /v1/functions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut asked = JoinSet::new();
    for _ in 0..CONNECTIONS_MAX {
        let mut raw = Raw::connect(probed.admin).await;
        raw.send(head.as_bytes()).await;
        asked.spawn(raw.answer());
    }
    // The others wait; there is no place for these to wait.
    for _ in 0..PROBES_KEPT {
        let got = asked.join_next().await.unwrap().unwrap();
        assert_eq!(got.status, 503);
        assert_eq!(got.value()["error"], "busy");
    }
    probed.host.told("the host hangs").await;
    assert_eq!(status(probed.admin, "live").await, 503);
    debugger::release(held).await;
    let answered = asked.join_all().await;
    assert_eq!(answered.len(), CONNECTIONS_MAX - PROBES_KEPT);
    assert!(answered.iter().all(|got| got.status == 200));
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[tokio::test]
async fn threads_that_wait_for_a_disk_do_not_keep_stacks_of_others_from_being_told() {
    if !debugger::is_allowed() {
        return;
    }
    let mut probed = Probed::start("watchdog_timeout = \"1 s\"").await;
    let _held = debugger::hold_uninterruptibly(&probed.host, "worker").await;
    probed.host.told("the host hangs").await;
    // Killed, because they would not stop on request.
    probed.host.told("\"worker\" (D").await;
    let line = probed.host.line().await;
    assert_eq!(line.trim(), "cannot be read: Device or resource busy");
    probed.host.told("\"probes\" (").await;
    assert_eq!(status(probed.probes, "live").await, 503);
    probed.host.process.kill().await.unwrap();
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[tokio::test]
async fn a_changed_limit_is_that_of_the_next_hang() {
    if !debugger::is_allowed() {
        return;
    }
    let mut probed = Probed::start("watchdog_timeout = \"1 d\"").await;
    let path = probed._folder.path().join("openline.toml");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replace("\"1 d\"", "\"1 s\"")).unwrap();
    probed.host.signal("HUP").await;
    probed.host.told("reloaded: ").await;
    probed.hold().await;
    probed.host.told("the host hangs").await;
}

#[tokio::test]
async fn a_host_that_was_stopped_for_longer_than_its_limit_does_not_hang() {
    let probed = Probed::start("watchdog_timeout = \"1 s\"\nwatchdog_exit_timeout = \"1 s\"").await;
    probed.echoes().await;
    probed.host.signal("STOP").await;
    // Several times the limit, long enough for the watchdog to notice.
    tokio::time::sleep(3 * TIMEOUT).await;
    probed.host.signal("CONT").await;
    probed.echoes().await;
    // Its watchdog has checked by then.
    tokio::time::sleep(TIMEOUT).await;
    assert_eq!(status(probed.probes, "live").await, 200);
    let told = probed.ended().await;
    assert!(!told.contains("hangs"), "{told}");
}

#[tokio::test]
async fn a_host_that_computes_on_all_threads_does_not_hang() {
    let probed = Probed::start("watchdog_timeout = \"1 s\"\ndrain_timeout = \"1 s\"").await;
    let mut computing = Vec::new();
    for _ in 0..8 {
        let mut client = Client::open(probed.host.address, "/compute", &[])
            .await
            .unwrap();
        client.text("compute").await;
        computing.push(client);
    }
    let end = tokio::time::Instant::now() + 4 * TIMEOUT;
    while tokio::time::Instant::now() < end {
        assert_eq!(status(probed.host.address, "live").await, 200);
        assert_eq!(status(probed.probes, "live").await, 200);
    }
    let told = probed.ended().await;
    assert!(!told.contains("hangs"), "{told}");
}

#[tokio::test]
async fn the_address_of_probes_answers_them_and_nothing_else_while_it_drains_too() {
    let mut probed = Probed::start("").await;
    for path in [
        "/",
        "/echo",
        "/.openline/",
        "/.openline/state",
        "/v1/functions",
    ] {
        let got = get(probed.probes, path).await;
        assert_eq!(got.status, 404, "{path}");
    }
    // A peer that answers no close frame keeps the host for a while.
    let mut peer = Raw::upgraded(probed.host.address, "/echo").await;
    probed.host.signal("TERM").await;
    probed.host.told("draining").await;
    assert_eq!(peer.read_close().await.0, 1001);
    assert_eq!(status(probed.probes, "live").await, 200);
    assert_eq!(status(probed.probes, "ready").await, 503);
    peer.send(&close_frame(1001, b"")).await;
    assert_eq!(probed.host.ended().await.0.code(), Some(0));
}

#[tokio::test]
async fn whatever_the_host_answers_for_itself_is_only_read_on_each_of_its_addresses() {
    let probed = Probed::start("").await;
    let probes: &[&str] = &["/.openline/live", "/.openline/ready"];
    let page = ["", "/", "/page.js", "/functions"].map(|it| format!("/.openline{it}"));
    let page: Vec<_> = page.iter().map(String::as_str).collect();
    let both = [probes, &page].concat();
    for (address, paths) in [
        (probed.host.address, &both[..]),
        (probed.admin, &both),
        (probed.probes, probes),
    ] {
        for path in paths {
            let got = ask(address, "GET", path, "localhost").await;
            let head = ask(address, "HEAD", path, "localhost").await;
            // But for the second in which each was written, and its id.
            let own = |it: &str| {
                ["date: ", "openline-request-id: "]
                    .iter()
                    .any(|own| it.starts_with(own))
            };
            let lines = |got: &Answer| {
                let lines = got.head.lines().filter(|it| !own(it));
                lines.map(str::to_owned).collect::<Vec<_>>()
            };
            assert_eq!(lines(&head), lines(&got), "{path}");
            assert!(head.body.is_empty(), "{path}");
            for method in ["POST", "PUT", "DELETE", "OPTIONS", "get", "BREW"] {
                let got = ask(address, method, path, "localhost").await;
                assert_eq!(got.status, 405, "{method} {path}");
                let allowed = "\r\nallow: get, head\r\n";
                assert!(got.head.contains(allowed), "{method} {path}: {}", got.head);
            }
        }
    }
}

#[tokio::test]
async fn probes_and_the_admin_interface_are_answered_when_peers_have_all_files() {
    let mut probed = Probed::start_under("ulimit -n 128", "").await;
    let mut peers = Vec::new();
    for _ in 0..128 {
        peers.push(Raw::connect(probed.host.address).await);
    }
    probed.host.told("few files are left").await;
    for address in [probed.admin, probed.probes] {
        assert_eq!(status(address, "live").await, 200);
    }
    drop(peers);
    // Peers that come after them are accepted.
    let mut client = Client::open(probed.host.address, "/echo", &[])
        .await
        .unwrap();
    assert_eq!(client.ask("again").await, "again");
}

/// A peer that goes on when another one has ended leaves its file number in the
/// reserve; more of them than the reserve has would use it up.
#[tokio::test]
async fn peers_that_come_and_go_while_files_are_few_leave_the_reserve_alone() {
    let mut probed = Probed::start_under("ulimit -n 128", "").await;
    let request = HANDSHAKE.replace("{path}", "/echo");
    let mut peers = Vec::new();
    for _ in 0..192 {
        let mut peer = Raw::connect(probed.host.address).await;
        peer.send(request.as_bytes()).await;
        peers.push(peer);
    }
    probed.host.told("few files are left").await;
    for mut peer in peers.drain(..48) {
        assert!(peer.head().await.starts_with("HTTP/1.1 101 "));
    }
    // They have taken the places of the others.
    for peer in &mut peers[..52] {
        assert!(peer.head().await.starts_with("HTTP/1.1 101 "));
    }
    for address in [probed.admin, probed.probes] {
        assert_eq!(status(address, "live").await, 200);
    }
}

#[tokio::test]
async fn silent_peers_make_room_for_one_that_asks_when_files_are_few() {
    let keys = "request_timeout = \"10 min\"";
    let mut probed = Probed::start_under("ulimit -n 128", keys).await;
    let mut silent = Vec::new();
    for _ in 0..128 {
        silent.push(Raw::connect(probed.host.address).await);
    }
    probed.host.told("few files are left").await;
    probed.echoes().await;
    drop(silent);
    let told = probed.ended().await;
    assert!(!told.contains("few files"), "said again and again: {told}");
}

#[tokio::test]
async fn idle_connections_to_probes_and_the_admin_interface_do_not_take_the_last_files() {
    let keys = "request_timeout = \"10 min\"";
    let mut probed = Probed::start_under("ulimit -n 128", keys).await;
    let mut peers = Vec::new();
    for _ in 0..128 {
        peers.push(Raw::connect(probed.host.address).await);
    }
    probed.host.told("few files are left").await;
    for address in [probed.probes, probed.admin] {
        for _ in 0..64 {
            peers.push(Raw::connect(address).await);
        }
    }
    for address in [probed.probes, probed.admin] {
        assert_eq!(status(address, "live").await, 200);
    }
    // There are files for a compiler, and for its output.
    let folder = TempDir::new().unwrap();
    let component = folder.path().join("new.wasm");
    // With a section of its own, no cache has it.
    let name = folder.path().file_name().unwrap().as_encoded_bytes();
    let length = u8::try_from(name.len()).unwrap();
    let section = [&[0, length + 1, length], name].concat();
    let bytes = [fs::read(openline_guests::ECHO).unwrap(), section].concat();
    fs::write(&component, bytes).unwrap();
    let admin = format!("http://{}", probed.admin);
    let deploy = [
        "deploy",
        "new",
        component.to_str().unwrap(),
        "--route",
        "/new",
    ];
    let ended = openline_with(&[("OPENLINE_ADMIN", &admin)], &deploy).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
}

#[tokio::test]
async fn probes_have_64_tcp_connections_and_the_65th_takes_the_place_of_the_oldest() {
    let probed = Probed::start("").await;
    let mut idle = Vec::new();
    for _ in 0..openline_gateway::front::PROBES_MAX {
        let mut raw = Raw::connect(probed.probes).await;
        raw.send(b"GET /.openline/live HTTP/1.1\r\nHost: x\r\n\r\n")
            .await;
        assert!(raw.head().await.starts_with("HTTP/1.1 200 "));
        within("the answer's body", raw.socket.read_exact(&mut [0; 5]))
            .await
            .unwrap();
        idle.push(raw);
    }
    // All of them are still there.
    for raw in &mut idle {
        raw.send(b"GET /.openline/live HTTP/1.1\r\nHost: x\r\n\r\n")
            .await;
        assert!(raw.head().await.starts_with("HTTP/1.1 200 "));
        within("the answer's body", raw.socket.read_exact(&mut [0; 5]))
            .await
            .unwrap();
    }
    assert_eq!(status(probed.probes, "live").await, 200);
    assert!(idle[0].is_ended().await);
    // The next one is not affected.
    idle[1]
        .send(b"GET /.openline/live HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    assert!(idle[1].head().await.starts_with("HTTP/1.1 200 "));
}
