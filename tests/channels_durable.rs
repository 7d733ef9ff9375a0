//! Durable channels survive the process, however it ends: what was acknowledged
//! is there, in order, once, and a peer that comes back gets what it missed.

use std::collections::BTreeMap;
use std::fs;

use crate::harness::{Client, Serving, within};

/// A channel of the function's own, and one that functions share.
const CHANNELS: &str = r#"
[[channel]]
pattern = "all"
durable = true
history = { count = 100 }

[[function]]
name = "broker"
component = "COMPONENT"
route = "/broker"

[[function.channel]]
pattern = "room:*"
durable = true
history = { count = 20000, time = "1 h", bytes = "64 MiB" }

[[function.channel]]
pattern = "cursors"
durable = true
keyed = { keys = 10 }
"#;

/// A host with a data directory, in a process of its own.
struct Disk(tempfile::TempDir);

impl Disk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    async fn start(&self, channels: &str) -> Serving {
        let path = self.0.path().join("openline.toml");
        let functions = channels.replace("COMPONENT", openline_guests::FAULT_BROKER);
        let server = "listen = \"127.0.0.1:0\"\nadmin = \"off\"\ndata = \"data\"";
        fs::write(&path, format!("[server]\n{server}\n{functions}")).unwrap();
        Serving::start(&["serve", "--config", path.to_str().unwrap()]).await
    }
}

async fn connect(host: &Serving) -> Client {
    Client::open(host.address, "/broker", &[]).await.unwrap()
}

async fn kill(mut host: Serving) {
    host.process.start_kill().unwrap();
    within("the killed host to end", host.process.wait())
        .await
        .unwrap();
}

async fn end(mut host: Serving) {
    host.signal("TERM").await;
    within("the host to end", host.process.wait())
        .await
        .unwrap();
}

/// Epoch and offset at the beginning of an answer.
fn position(answer: &str) -> (String, u64) {
    let position = answer.split(' ').next().unwrap();
    let (epoch, offset) = position.split_once('-').expect(answer);
    (epoch.to_owned(), offset.parse().unwrap())
}

/// All that the channel has, page by page.
async fn kept(client: &mut Client, epoch: &str) -> Vec<String> {
    let mut kept = Vec::new();
    loop {
        let since = format!("history room:1 since={epoch}-{}", kept.len());
        let page = client.ask(&since).await;
        let more = page.strip_suffix(" more");
        let texts = more.unwrap_or(&page);
        assert!(!texts.ends_with(" gap"), "{texts}");
        kept.extend(texts.split(' ').map(str::to_owned));
        if more.is_none() {
            return kept;
        }
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_kills_once_and_in_order() {
    let disk = Disk::new();
    let mut acknowledged: BTreeMap<u64, String> = BTreeMap::new();
    let mut epochs = Vec::new();
    for life in 0..4 {
        let host = disk.start(CHANNELS).await;
        let mut publishers = Vec::new();
        for publisher in 0..4 {
            let mut client = connect(&host).await;
            publishers.push(tokio::spawn(async move {
                let mut done = Vec::new();
                for number in 0.. {
                    let text = format!("{life}.{publisher}.{number}");
                    client.text(&format!("publish room:1 -- {text}")).await;
                    // Until the host is killed.
                    match client.next_frame().await {
                        Some(Ok(answer)) => {
                            done.push((answer.into_text().unwrap().to_string(), text));
                        }
                        _ => return done,
                    }
                }
                done
            }));
        }
        let mut watcher = connect(&host).await;
        watcher.text("subscribe room:1").await;
        // Kill it in the middle, when some hundred are there.
        for _ in 0..300 {
            watcher.next_text().await;
        }
        kill(host).await;
        for publisher in publishers {
            let done = within("a publisher to see the end", publisher)
                .await
                .unwrap();
            assert!(!done.is_empty());
            for (answer, text) in done {
                let (epoch, offset) = position(&answer);
                epochs.push(epoch);
                let before = acknowledged.insert(offset, text);
                assert_eq!(before, None, "the offset {offset} was given twice");
            }
        }
    }
    epochs.dedup();
    assert_eq!(epochs.len(), 1, "the channel began anew");
    let host = disk.start(CHANNELS).await;
    let mut client = connect(&host).await;
    let kept = kept(&mut client, &epochs[0]).await;
    for (offset, text) in &acknowledged {
        let index = usize::try_from(offset - 1).unwrap();
        assert_eq!(kept.get(index), Some(text), "offset {offset}");
    }
    let mut once = kept.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), kept.len(), "something is there twice");
    println!(
        "{} acknowledged in four lives, {} kept",
        acknowledged.len(),
        kept.len()
    );
}

#[tokio::test]
async fn a_peer_recovers_over_a_kill_and_values_stay() {
    let disk = Disk::new();
    let host = disk.start(CHANNELS).await;
    let mut client = connect(&host).await;
    let one = client.ask("publish all idem=k -- one").await;
    client.ask("publish all -- two").await;
    client.ask("publish cursors key=a version=7 -- 1").await;
    client.ask("publish cursors key=b -- 2").await;
    client.ask("remove cursors b").await;
    kill(host).await;

    let host = disk.start(CHANNELS).await;
    let mut client = connect(&host).await;
    let (epoch, offset) = position(&one);
    client
        .text(&format!("subscribe all since={epoch}-{offset}"))
        .await;
    assert_eq!(client.next_text().await, "two");
    let answer = client.next_text().await;
    assert_eq!(answer, format!("{epoch}-2 recovered 1"));
    assert_eq!(client.ask("values cursors").await, "1,key=a");
    let stale = client.ask("publish cursors key=a version=7 -- late").await;
    assert!(stale.ends_with(" Stale"), "{stale}");
    let again = client.ask("publish all idem=k -- again").await;
    assert!(again.ends_with(" Repeated"), "{again}");
    client.text("publish all -- three").await;
    assert_eq!(client.next_text().await, "three");
    assert_eq!(client.next_text().await, format!("{epoch}-3 1"));
    kill(host).await;

    // A channel that is not durable any more is forgotten on the disk.
    let host = disk.start(&CHANNELS.replace("durable = true", "")).await;
    let mut client = connect(&host).await;
    assert_eq!(client.ask("history all").await, "");
    // It waits for what is to be written.
    end(host).await;
    let host = disk.start(CHANNELS).await;
    let mut client = connect(&host).await;
    assert_eq!(client.ask("history all").await, "");
    assert_eq!(client.ask("values cursors").await, "");
}
