//! The process is killed while it writes, at arbitrary moments: acknowledged
//! writes are kept, and no write is torn.
//!
//! The test starts itself again as the process that writes; each line that it
//! prints is an acknowledged write.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "helpers of tests, too, should fail with a message if they cannot go on"
)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use openline_core::component::Component;
use openline_core::deployment::{CallStyle, Deployment, VersionRecord};
use openline_core::name::{AlarmName, AliasName, ChannelName, FunctionName};
use openline_store::{Attempt, OpenError, RowChange, Store};

const FOLDER: &str = "OPENLINE_STORE_TEST_FOLDER";
const ROOM: u64 = 1 << 30;
const KEYS: usize = 8;
const CHANNELS: usize = 3;

fn chat() -> FunctionName {
    FunctionName::new("chat").unwrap()
}

/// Content that contains its number and shows when it is torn.
fn content(number: u64) -> Bytes {
    number.to_be_bytes().repeat(500).into()
}

fn say(words: &str) {
    println!("acknowledged {words}");
    std::io::stdout().flush().unwrap();
}

async fn write_states(store: Store, writer: usize) {
    let chat = store.function(&chat());
    for number in 1.. {
        let key = format!("{writer}-{}", number % 3);
        let saved = chat.save_state(&key, content(number), None).await;
        let version = saved.unwrap();
        say(&format!("state {key} {version}"));
    }
}

async fn write_alarms(store: Store) {
    let chat = store.function(&chat());
    for number in 0.. {
        let name = AlarmName::new(&number.to_string()).unwrap();
        chat.keep_alarm("room", &name, number, 0).await.unwrap();
        say(&format!("alarm {number}"));
    }
}

/// Like the host's deploys: first the component, then the deployment that names
/// it.
async fn write_deployments(store: Store, start: u64) {
    let mut deployment = Deployment::new(chat(), None);
    for number in start.. {
        let component = Component::new(content(number));
        store.put_component(component.clone()).await.unwrap();
        let record = VersionRecord {
            digest: component.digest(),
            bytes: component.bytes().len() as u64,
            call_style: CallStyle::Plain,
            deployed_at: number,
            note: None,
        };
        deployment
            .deploy(record, &AliasName::live(), None, None)
            .unwrap();
        store.put_deployment(&deployment).await.unwrap();
        say(&format!("deployment {number}"));
        for removed in deployment.trim(5, |_| false) {
            store.put_deployment(&deployment).await.unwrap();
            store.remove_component(&removed).await.unwrap();
        }
    }
}

/// The number of the last group, a row that is as old, and a row for each.
fn group(number: u64) -> Vec<RowChange> {
    let put = |name: &[u8]| RowChange::Put(name.into(), content(number));
    let mut row = vec![b'p'];
    row.extend(number.to_be_bytes());
    vec![put(b"first"), put(&row), put(b"second")]
}

fn channel(number: usize) -> ChannelName {
    ChannelName::new(&format!("room {number}")).unwrap()
}

/// Eight groups in flight; what is acknowledged is printed in order.
async fn write_rows(store: Store, number: usize) {
    let channels = store.function(&chat()).channels();
    let channel = channel(number);
    let rows = channels.rows(&channel).await.unwrap();
    let start = rows.len().saturating_sub(2) as u64;
    let places = std::sync::Arc::new(tokio::sync::Semaphore::new(8));
    let attempt = Attempt::new();
    for next in start.. {
        let place = places.clone().acquire_owned().await.unwrap();
        let done = move |answer: Result<(), _>| {
            answer.unwrap();
            say(&format!("rows {number} {next}"));
            drop(place);
        };
        channels
            .write(&channel, &attempt, group(next), done)
            .unwrap();
    }
}

/// Not a test by itself, but the process that is killed.
#[tokio::test]
async fn the_process_that_writes() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let store = Store::open(Path::new(&folder), ROOM).unwrap();
    let start = store.components().await.unwrap().len() as u64;
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..KEYS {
        tasks.spawn(write_states(store.clone(), writer));
    }
    tasks.spawn(write_alarms(store.clone()));
    for number in 0..CHANNELS {
        tasks.spawn(write_rows(store.clone(), number));
    }
    tasks.spawn(write_deployments(store, start * 1_000));
    tasks.join_all().await;
}

fn start(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_process_that_writes", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

#[derive(Default)]
struct Acknowledged {
    states: BTreeMap<String, u64>,
    alarms: u64,
    rows: BTreeMap<usize, u64>,
    deployment: Option<u64>,
    lines: usize,
}

impl Acknowledged {
    fn note(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["acknowledged", "state", key, version] => {
                self.states.insert(key.into(), version.parse().unwrap());
            }
            ["acknowledged", "alarm", number] => {
                self.alarms = self.alarms.max(number.parse::<u64>().unwrap() + 1);
            }
            ["acknowledged", "rows", channel, number] => {
                let number = number.parse().unwrap();
                self.rows.insert(channel.parse().unwrap(), number);
            }
            ["acknowledged", "deployment", number] => {
                self.deployment = Some(number.parse().unwrap());
            }
            // Output of the test harness.
            _ => return,
        }
        self.lines += 1;
    }

    /// Reads enough lines, kills the process, and reads the lines that were on
    /// their way.
    fn until(&mut self, mut child: Child, lines: usize) {
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        let end = self.lines + lines;
        let mut killed = false;
        while output.read_line(&mut line).unwrap() > 0 {
            // The last line may be incomplete.
            if let Some(whole) = line.strip_suffix('\n') {
                self.note(whole);
            }
            line.clear();
            if self.lines >= end && !killed {
                child.kill().unwrap();
                killed = true;
            }
        }
        assert!(killed, "it ended by itself");
        child.wait().unwrap();
    }

    /// No acknowledged group is missing, none is half there, and none is missing
    /// between others.
    async fn rows_are_there(&self, store: &Store) {
        let channels = store.function(&chat()).channels();
        for number in 0..CHANNELS {
            let rows = channels.rows(&channel(number)).await.unwrap();
            let rows: BTreeMap<_, _> = rows.into_iter().collect();
            let groups = rows.len().saturating_sub(2) as u64;
            if let Some(last) = self.rows.get(&number) {
                assert!(groups > *last, "{number}: {groups} of {last}");
            }
            let all = (0..groups).flat_map(group);
            let expected: BTreeMap<_, _> = all
                .map(|change| match change {
                    RowChange::Put(name, bytes) => (name, bytes),
                    _ => unreachable!("`group` only puts"),
                })
                .collect();
            assert!(rows == expected, "{number}: a gap, or half a group");
        }
    }

    async fn is_there(&self, folder: &Path) {
        let store = Store::open(folder, ROOM).unwrap();
        for (key, version) in &self.states {
            let found = store.function(&chat()).state(key).await.unwrap().unwrap();
            assert!(found.version >= *version, "{key}: {}", found.version);
            let number = u64::from_be_bytes(found.bytes[..8].try_into().unwrap());
            assert_eq!(found.bytes, content(number), "{key} is torn");
        }
        let alarms = store.alarms().await.unwrap();
        assert!(alarms.len() as u64 >= self.alarms);
        let usage = store.usage().await.unwrap();
        assert_eq!(usage.alarms, alarms.len() as u64);
        self.rows_are_there(&store).await;
        let deployments = store.deployments().await.unwrap();
        for deployment in &deployments {
            for version in deployment.versions() {
                let component = store.component(&version.digest).await.unwrap().unwrap();
                assert_eq!(component.bytes(), &content(version.deployed_at));
            }
        }
        if let Some(number) = self.deployment {
            let newest = deployments[0].versions().last().unwrap();
            assert!(newest.deployed_at >= number);
        }
        for component in store.components().await.unwrap() {
            assert!(store.component(&component).await.is_ok());
        }
        let files = std::fs::read_dir(folder.join("components")).unwrap();
        for file in files {
            let name = file.unwrap().file_name();
            assert!(name.to_string_lossy().ends_with(".wasm"), "{name:?}");
        }
    }
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_when_it_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = Acknowledged::default();
    for lines in [1, 30, 7, 120, 300, 64, 2, 500, 90, 11, 40, 200] {
        let child = start(folder.path());
        acknowledged.until(child, lines);
        acknowledged.is_there(folder.path()).await;
    }
    assert!(acknowledged.deployment.is_some() && acknowledged.alarms > 0);
    assert!(!acknowledged.states.is_empty());
    assert_eq!(acknowledged.rows.len(), CHANNELS);
}

#[test]
fn a_second_process_is_refused_while_the_first_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = start(folder.path());
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.find(|line| line.as_ref().unwrap().starts_with("acknowledged"));
    assert!(first.is_some());
    let error = Store::open(folder.path(), ROOM).unwrap_err();
    assert!(matches!(error, OpenError::InUse(_)), "{error}");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(Store::open(folder.path(), ROOM).is_ok());
}
