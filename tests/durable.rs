//! Data in the data directory survives the process, however it ends; and data
//! directories that cannot be used.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use openline_core::digest::Digest;
use tokio::process::Command;

use crate::harness::{self, Client, Raw, Serving, close_frame, openline, within};
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
use crate::harness::{debugger, shell};

/// How long to watch a host that waits for its disk: one that does not wait
/// ends within milliseconds.
const WITHOUT_DISK: Duration = Duration::from_secs(1);

/// How long a deploy may take that waits for its disk in vain.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
const STORE_PATIENCE: Duration = Duration::from_secs(55);

/// A host with a data directory, in a process of its own.
struct Durable {
    folder: tempfile::TempDir,
    /// More keys of `[server]`.
    server: String,
    functions: String,
}

/// One life of it.
struct Life {
    host: Serving,
    admin: String,
    /// The lines that tell where functions are, and how to try one.
    introduction: Vec<String>,
}

impl Durable {
    fn new(functions: &str) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            server: String::new(),
            functions: functions.into(),
        }
    }

    fn configuration(&self) -> String {
        let path = self.folder.path().join("openline.toml");
        let (server, functions) = (&self.server, &self.functions);
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\ndata = \"data\"\n{server}\n{functions}"
        );
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    async fn start(&self) -> Life {
        let mut host = Serving::start(&["serve", "--config", &self.configuration()]).await;
        let mut introduction = Vec::new();
        loop {
            let line = host.line().await;
            if let Some(admin) = line.strip_prefix("admin ") {
                let admin = admin.trim().to_owned();
                return Life {
                    host,
                    admin,
                    introduction,
                };
            }
            if ["function at ", "try "]
                .iter()
                .any(|it| line.starts_with(it))
            {
                introduction.push(line);
            }
        }
    }
}

impl Life {
    async fn connect(&self, path: &str) -> Client {
        Client::open(self.host.address, path, &[]).await.unwrap()
    }

    async fn kill(mut self) {
        self.host.process.start_kill().unwrap();
        within("the killed host to end", self.host.process.wait())
            .await
            .unwrap();
    }

    async fn versions(&self) -> Vec<String> {
        let listed = openline(&["versions", "numbered", "--json", "--admin", &self.admin]).await;
        assert_eq!(listed.code, Some(0), "{}", listed.stderr);
        let listed: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
        let versions = listed.as_array().unwrap().iter();
        versions
            .map(|version| version["digest"].as_str().unwrap().to_owned())
            .collect()
    }
}

fn function(name: &str, component: &str, route: &str, more: &str) -> String {
    format!("[[function]]\nname = {name:?}\ncomponent = {component:?}\nroute = {route:?}\n{more}\n")
}

/// Writes the same component under another digest.
fn variant(folder: &Path, component: &str, number: u8) -> String {
    let bytes = harness::variant(&fs::read(component).unwrap(), number);
    let path = folder.join(format!("variant-{number}.wasm"));
    fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

/// One missing component does not keep the host from starting, and is reported.
#[tokio::test]
async fn a_version_that_does_not_load_says_so_at_the_start_and_where_versions_are_listed() {
    let echo = function("served", openline_guests::ECHO, "/served", "");
    let later = "[[function]]\nname = \"later\"\nroute = \"/later\"\n";
    let durable = Durable::new(&format!("{later}{echo}"));
    let life = durable.start().await;
    let component = openline_guests::FAULT_VERSION_A;
    let deploy = ["deploy", "numbered", component, "--route", "/numbered"];
    let deploy = [&deploy[..], &["--admin", &life.admin]].concat();
    assert_eq!(openline(&deploy).await.code, Some(0));
    let listed = |admin: String| async move {
        let arguments = ["versions", "numbered", "--admin", &admin];
        openline(&arguments).await.stdout
    };
    let said = listed(life.admin.clone()).await;
    assert!(!said.contains("does not load"), "{said}");
    life.kill().await;
    for entry in fs::read_dir(durable.folder.path().join("data/components")).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    let life = durable.start().await;
    let said = listed(life.admin.clone()).await;
    assert!(said.contains("does not load: "), "{said}");
    let [later, numbered, served, example] = &life.introduction[..] else {
        panic!("{:?}", life.introduction);
    };
    let why = "/later, which is not served: it leads to no version yet";
    assert!(later.ends_with(why), "{later}");
    let why = "/numbered, which is not served: version ";
    assert!(numbered.contains(why), "{numbered}");
    let why = "does not load: the host cannot prepare the component: its component is not there";
    assert!(numbered.ends_with(why), "{numbered}");
    assert!(served.ends_with("/served"), "{served}");
    assert!(example.contains("/served "), "{example}");
    let ready = "GET /.openline/ready HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let ready = Raw::request(life.host.address, ready).await;
    assert!(ready.starts_with("HTTP/1.1 200 "), "{ready}");
    let refused = Client::open(life.host.address, "/numbered", &[]).await;
    let refused = refused.err().unwrap();
    assert_eq!(refused.headers["openline-error-type"], "not_deployed");
    // Deploying it again repairs it.
    let deploy = ["deploy", "numbered", component, "--admin", &life.admin];
    assert_eq!(openline(&deploy).await.code, Some(0));
    let said = listed(life.admin.clone()).await;
    assert!(!said.contains("does not load"), "{said}");
    let mut client = life.connect("/numbered").await;
    assert_eq!(client.ask("1").await, "a 1");
}

#[tokio::test]
async fn deploys_survive_a_kill_at_any_moment() {
    let durable = Durable::new(&function(
        "numbered",
        openline_guests::FAULT_VERSION_A,
        "/numbered",
        "",
    ));
    let mut acknowledged = Vec::new();
    for round in 0..4_u8 {
        let life = durable.start().await;
        let versions = life.versions().await;
        for version in &acknowledged {
            assert!(
                versions.contains(version),
                "round {round}: {version} is lost"
            );
        }
        // A whole version serves: the last acknowledged one, or the one that
        // was being written.
        let mut client = life.connect("/numbered").await;
        let answer = client.ask("1").await;
        assert!(["a 1", "b 1"].contains(&answer.as_str()), "{answer}");
        let admin = life.admin.clone();
        let folder = durable.folder.path().to_owned();
        // Each round kills at another moment of the third deploy.
        let deploying = async {
            let mut done = Vec::new();
            for number in 0..2 {
                let component = variant(
                    &folder,
                    openline_guests::FAULT_VERSION_B,
                    round * 8 + number,
                );
                let words = [
                    "deploy", "numbered", &component, "--json", "--admin", &admin,
                ];
                let deployed = openline(&words).await;
                assert_eq!(deployed.code, Some(0), "{}", deployed.stderr);
                let deployed: serde_json::Value = serde_json::from_str(&deployed.stdout).unwrap();
                done.push(deployed["version"].as_str().unwrap().to_owned());
            }
            done
        };
        acknowledged.extend(deploying.await);
        let component = variant(&folder, openline_guests::FAULT_VERSION_B, round * 8 + 7);
        let words = [
            "deploy", "numbered", &component, "--json", "--admin", &admin,
        ];
        let last = openline(&words);
        let killing = async {
            let moment = Duration::from_millis(u64::from(round) * 40);
            let _ = tokio::time::timeout(moment, std::future::pending::<()>()).await;
            life.kill().await;
        };
        let (last, ()) = tokio::join!(last, killing);
        if last.code == Some(0) {
            let last: serde_json::Value = serde_json::from_str(&last.stdout).unwrap();
            acknowledged.push(last["version"].as_str().unwrap().to_owned());
        }
    }
    let life = durable.start().await;
    let versions = life.versions().await;
    assert!(
        acknowledged
            .iter()
            .all(|version| versions.contains(version))
    );
    // Only components that a version needs are left.
    let kept = fs::read_dir(durable.folder.path().join("data/components")).unwrap();
    assert_eq!(kept.count(), versions.len());
}

#[tokio::test]
async fn a_state_and_a_durable_alarm_survive_a_kill() {
    let counter = function(
        "counter",
        openline_guests::COUNTER,
        "/counter/{room}",
        "[function.instance]\naffinity = \"room\"",
    );
    let keeper = function("keeper", openline_guests::FAULT_KEEPER, "/keeper", "");
    let durable = Durable::new(&format!("{counter}{keeper}"));
    let life = durable.start().await;
    let mut counting = life.connect("/counter/a").await;
    assert_eq!(counting.ask("add 5").await, "5");
    let mut keeping = life.connect("/keeper").await;
    assert_eq!(keeping.ask("save words").await, "1");
    assert_eq!(keeping.ask("key-alarm wake 1 durable").await, "ok");
    assert_eq!(keeping.next_text().await, "key-alarm wake 1");
    // This one is not due before the next life, and an alarm that is not
    // durable is lost.
    assert_eq!(keeping.ask("key-alarm later 1500 durable").await, "ok");
    assert_eq!(keeping.ask("key-alarm never 1500").await, "ok");
    // The counter has saved every count that it sent: its instance is live.
    life.kill().await;

    let life = durable.start().await;
    let mut counting = life.connect("/counter/a").await;
    assert_eq!(counting.ask("get").await, "5");
    let mut keeping = life.connect("/keeper").await;
    assert_eq!(keeping.ask("load").await, "1 words");
    assert_eq!(keeping.next_text().await, "key-alarm later 1");
    // It was not called again, nor was the other.
    assert_eq!(keeping.ask("load").await, "1 words");
}

#[tokio::test]
async fn what_instances_save_as_they_hibernate_survives_a_graceful_stop() {
    let keepers = function("keeper", openline_guests::FAULT_KEEPER, "/keeper", "")
        + &function("other", openline_guests::FAULT_KEEPER_ASYNC, "/other", "");
    let durable = Durable::new(&keepers);
    let life = durable.start().await;
    for path in ["/keeper", "/other"] {
        let mut client = life.connect(path).await;
        assert_eq!(client.ask("save-on-hibernate words").await, "ok");
    }
    // One peer is connected when the host is stopped, and answers its close.
    let mut staying = life.connect("/other").await;
    life.host.signal("TERM").await;
    assert_eq!(staying.closed().await.code, 1001);
    assert_eq!(life.host.ended().await.0.code(), Some(0));

    let life = durable.start().await;
    for path in ["/keeper", "/other"] {
        let mut client = life.connect(path).await;
        assert_eq!(client.ask("load").await, "1 hibernated 1 words");
    }
}

#[tokio::test]
async fn instances_hibernate_also_where_no_connection_is_waited_for() {
    let keepers = function("keeper", openline_guests::FAULT_KEEPER, "/keeper", "");
    let mut durable = Durable::new(&keepers);
    durable.server = "drain_timeout = \"0 s\"".into();
    let life = durable.start().await;
    let mut staying = life.connect("/keeper").await;
    assert_eq!(staying.ask("save-on-hibernate words").await, "ok");
    life.host.signal("TERM").await;
    assert_eq!(life.host.ended().await.0.code(), Some(0));

    let life = durable.start().await;
    let mut client = life.connect("/keeper").await;
    assert_eq!(client.ask("load").await, "1 hibernated 1 words");
}

#[tokio::test]
async fn a_host_that_stops_refuses_changes_and_says_why() {
    let durable = Durable::new(&function("echo", openline_guests::ECHO, "/echo", ""));
    let mut life = durable.start().await;
    // A peer that answers no close frame keeps the host for a while.
    let mut peer = Raw::upgraded(life.host.address, "/echo").await;
    life.host.signal("TERM").await;
    assert_eq!(peer.read_close().await.0, 1001);
    for words in [
        &["deploy", "echo", openline_guests::FAULT_VERSION_A][..],
        &["rollback", "echo"],
    ] {
        let words = [words, &["--admin", &life.admin]].concat();
        let refused = openline(&words).await;
        refused.failed(3, &["the host is stopping", "hint: ask again when it"]);
    }
    peer.send(&close_frame(1001, b"")).await;
    life.host.told("503").await;
    assert_eq!(life.host.ended().await.0.code(), Some(0));
}

#[tokio::test]
async fn data_directories_that_cannot_be_used() {
    let durable = Durable::new(&function("echo", openline_guests::ECHO, "/echo", ""));
    let life = durable.start().await;
    // Used by another process at the same time.
    let second = openline(&["serve", "--config", &durable.configuration()]).await;
    second.failed(78, &["data", "another process", "hint:"]);
    life.kill().await;
    // A file in place of the folder.
    let folder = durable.folder.path().join("data");
    fs::remove_dir_all(&folder).unwrap();
    fs::write(&folder, "not a folder").unwrap();
    let refused = openline(&["serve", "--config", &durable.configuration()]).await;
    refused.failed(78, &["data", "hint:"]);
    // Something else in place of the store.
    fs::remove_file(&folder).unwrap();
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("store.redb"), "not a store").unwrap();
    let refused = openline(&["serve", "--config", &durable.configuration()]).await;
    refused.failed(78, &["data", "hint:"]);
}

#[tokio::test]
async fn a_host_with_a_data_directory_may_begin_with_nothing() {
    let durable = Durable::new("");
    let life = durable.start().await;
    let words = [
        "deploy",
        "numbered",
        openline_guests::FAULT_VERSION_A,
        "--route",
        "/numbered",
        "--admin",
        &life.admin,
    ];
    let deployed = openline(&words).await;
    assert_eq!(deployed.code, Some(0), "{}", deployed.stderr);
    life.kill().await;
    let life = durable.start().await;
    let mut client = life.connect("/numbered").await;
    assert_eq!(client.ask("1").await, "a 1");
}

/// Neither before the process ends nor after it is there half of a deploy.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[tokio::test]
async fn a_deploy_that_a_disk_does_not_take_in_time_is_refused_and_taken_back() {
    if !debugger::is_allowed() {
        return;
    }
    let durable = Durable::new(&function("echo", openline_guests::ECHO, "/echo", ""));
    let mut life = durable.start().await;
    let deploy = async |life: &Life, name: &str| {
        let (component, admin) = (openline_guests::FAULT_VERSION_A, &life.admin);
        let line = format!("openline deploy {name} {component} --route /{name} --admin {admin}");
        shell(durable.folder.path(), "", &line, STORE_PATIENCE).await
    };
    let held = debugger::hold(&life.host, "store").await;
    let refused = deploy(&life, "late").await;
    refused.failed(3, &["the data directory does not answer", "10 s", "hint:"]);
    // Others need not find that out for themselves.
    let refused = deploy(&life, "other").await;
    refused.failed(3, &["the data directory does not answer", "hint:"]);
    let answered = Client::open(life.host.address, "/late", &[]).await;
    assert_eq!(answered.err().unwrap().status, 404);
    assert_eq!(life.connect("/echo").await.ask("here").await, "here");
    debugger::release(held).await;
    life.host.told("is taken back").await;
    let listed = openline(&["functions", "--admin", &life.admin]).await;
    assert!(!listed.stdout.contains("late"), "{}", listed.stdout);
    life.kill().await;

    let life = durable.start().await;
    let answered = Client::open(life.host.address, "/late", &[]).await;
    assert_eq!(answered.err().unwrap().status, 404);
    let deployed = deploy(&life, "late").await;
    assert_eq!(deployed.code, Some(0), "{}", deployed.stderr);
    assert_eq!(life.connect("/late").await.ask("1").await, "a 1");
}

/// The disk answers while the host stops.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[tokio::test]
async fn a_late_deploy_is_taken_back_before_the_process_ends() {
    if !debugger::is_allowed() {
        return;
    }
    let durable = Durable::new("");
    let mut life = durable.start().await;
    let held = debugger::hold(&life.host, "store").await;
    let (component, admin) = (openline_guests::FAULT_VERSION_A, &life.admin);
    let line = format!("openline deploy late {component} --route /late --admin {admin}");
    let refused = shell(durable.folder.path(), "", &line, STORE_PATIENCE).await;
    refused.failed(3, &["the data directory does not answer", "hint:"]);
    life.host.signal("TERM").await;
    life.host.told("draining").await;
    debugger::release(held).await;
    life.host.told("is taken back").await;
    assert_eq!(life.host.ended().await.0.code(), Some(0));

    let life = durable.start().await;
    let answered = Client::open(life.host.address, "/late", &[]).await;
    assert_eq!(answered.err().unwrap().status, 404);
}

/// A component's file that the disk does not take: a pipe that is full.
struct Stuck {
    path: PathBuf,
}

impl Stuck {
    /// The next file that the host writes, which has written so many.
    async fn next(durable: &Durable, written: usize, component: &str) -> Self {
        let digest = Digest::of(&fs::read(component).unwrap());
        let name = format!("data/components/{digest}.{written}.unfinished");
        let path = durable.folder.path().join(name);
        let made = Command::new("mkfifo").arg(&path).status().await;
        assert!(made.unwrap().success());
        Self { path }
    }

    /// Waits until the host writes it. It does until this is dropped.
    async fn begun(&self) -> File {
        let path = self.path.clone();
        let opening = tokio::task::spawn_blocking(move || File::open(path));
        let opened = within("the host to write the component", opening).await;
        opened.unwrap().unwrap()
    }
}

/// A component that fills a pipe, which takes 64 KiB.
fn large(folder: &Path) -> String {
    let bytes = fs::read(openline_guests::FAULT_VERSION_A).unwrap();
    // A custom section of 128 KiB: its size, the size of its name, its name.
    let (size, name) = ([0x80, 0x80, 0x08], [1, b'x']);
    let section = [&[0][..], &size, &name, &[0; 0x2_0000 - 2]].concat();
    let path = folder.join("large.wasm");
    fs::write(&path, [bytes, section].concat()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_reload_whose_component_a_disk_does_not_take_ends_and_so_do_other_changes() {
    let mut durable = Durable::new(&function("echo", openline_guests::ECHO, "/echo", ""));
    let mut life = durable.start().await;
    let component = large(durable.folder.path());
    let stuck = Stuck::next(&durable, 1, &component).await;
    durable.functions = function("echo", &component, "/echo", "");
    durable.configuration();
    life.host.signal("HUP").await;
    let writing = stuck.begun().await;
    life.host.told("has not done its work after 10 s").await;
    let hint = life.host.told_next().await.unwrap();
    assert!(hint.starts_with("hint: "), "{hint}");
    // The disk is known to be late: others are not kept waiting.
    let words = [
        "deploy",
        "numbered",
        openline_guests::FAULT_VERSION_B,
        "--route",
        "/numbered",
        "--admin",
        &life.admin,
    ];
    let refused = openline(&words).await;
    refused.failed(3, &["the data directory does not answer", "hint:"]);
    assert_eq!(life.connect("/echo").await.ask("here").await, "here");
    drop(writing);
    let deployed = async { while openline(&words).await.code != Some(0) {} };
    within("a deploy once the disk has answered", deployed).await;
}

/// The memory for components is bounded however often clients give up.
#[tokio::test]
async fn a_component_has_its_place_until_its_deploy_ends_though_the_client_has_gone() {
    let durable = Durable::new("");
    let life = durable.start().await;
    let component = large(durable.folder.path());
    let stuck = Stuck::next(&durable, 0, &component).await;
    let bytes = fs::read(&component).unwrap();
    let admin = life.admin.strip_prefix("http://").unwrap();
    let admin: SocketAddr = admin.trim_end_matches('/').parse().unwrap();
    let send = async |length: usize, more: &str| {
        let mut raw = Raw::connect(admin).await;
        let head = format!(
            "POST /v1/functions/numbered/versions?route=/numbered HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/wasm\r\nContent-Length: {length}\r\n{more}\r\n"
        );
        raw.send(head.as_bytes()).await;
        raw
    };
    let mut first = send(bytes.len(), "").await;
    first.send(&bytes).await;
    let writing = stuck.begun().await;
    drop(first);
    // The second place: the body is read, and does not come.
    let expect = "Expect: 100-continue\r\n";
    let mut second = send(bytes.len(), expect).await;
    assert!(second.head().await.starts_with("HTTP/1.1 100 "));
    // A third one is not even told that it is too large.
    let mut third = send(usize::MAX >> 1, expect).await;
    let early = tokio::time::timeout(WITHOUT_DISK, third.head()).await;
    assert!(early.is_err(), "{early:?}");
    drop(writing);
    let head = third.head().await;
    assert!(head.starts_with("HTTP/1.1 413 "), "{head}");
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[tokio::test]
async fn a_graceful_stop_waits_for_a_slow_disk() {
    if !debugger::is_allowed() {
        return;
    }
    let durable = Durable::new(&function(
        "keeper",
        openline_guests::FAULT_KEEPER,
        "/keeper",
        "[function.instance]\nhibernate_timeout = \"50 ms\"",
    ));
    let mut life = durable.start().await;
    let mut client = life.connect("/keeper").await;
    assert_eq!(client.ask("save-on-hibernate words").await, "ok");
    drop(client);
    // A thread that is stopped writes nothing, as with a disk that does not
    // answer.
    let held = debugger::hold(&life.host, "store").await;
    life.host.signal("TERM").await;
    // The host has stopped waiting for the instance: its state has been handed
    // to the store, but is not on the disk.
    life.host.told("hibernate_timeout").await;
    let early = tokio::time::timeout(WITHOUT_DISK, life.host.process.wait()).await;
    assert!(early.is_err(), "it has ended without the disk: {early:?}");
    debugger::release(held).await;
    assert_eq!(life.host.ended().await.0.code(), Some(0));

    let life = durable.start().await;
    let mut client = life.connect("/keeper").await;
    assert_eq!(client.ask("load").await, "1 hibernated 1 words");
}
