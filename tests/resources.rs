//! What the machine runs out of: files, and space for the compile cache. The
//! real binary, under the shell's limits.

use std::fs;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::harness::{Client, Raw, Serving, within};

#[tokio::test]
async fn a_host_without_file_descriptors_goes_on_and_accepts_when_there_are_some() {
    let arguments = ["run", openline_guests::ECHO, "--listen", "127.0.0.1:0"];
    // Hard as well: the host raises the soft limit by itself.
    let mut host = Serving::under("ulimit -n 48", &arguments).await;
    let mut first = Client::open(host.address, "/echo", &[]).await.unwrap();
    // The kernel takes them from us into its backlog; the host cannot.
    let mut waiting = Vec::new();
    for _ in 0..64 {
        waiting.push(TcpStream::connect(host.address).await.unwrap());
    }
    host.told("few files are left").await;
    assert_eq!(first.ask("served").await, "served");
    drop(waiting);
    let again = async {
        loop {
            // Until the host has noticed that the others are gone.
            let asking = Client::open(host.address, "/echo", &[]);
            if let Ok(Ok(client)) = tokio::time::timeout(Duration::from_secs(2), asking).await {
                return client;
            }
        }
    };
    let mut second = within("a connection after the shortage", again).await;
    assert_eq!(second.ask("again").await, "again");
    assert_eq!(first.ask("still").await, "still");
}

#[tokio::test]
async fn a_full_disk_under_the_compile_cache_costs_the_cache_and_nothing_else() {
    let folder = TempDir::new().unwrap();
    let cache = folder.path().join("cache");
    let config = folder.path().join("openline.toml");
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\ncache = {cache:?}\n[[function]]\nname = \"echo\"\ncomponent = {:?}\nroute = \"/echo\"\n",
        openline_guests::ECHO
    );
    fs::write(&config, text).unwrap();
    // Writing past a few kilobytes fails half-way, as on a full disk.
    let limits = "trap '' XFSZ; ulimit -f 8";
    let arguments = ["serve", "--config", config.to_str().unwrap()];
    let mut host = Serving::under(limits, &arguments).await;
    host.told("a compiled component is not cached").await;
    let mut client = Client::open(host.address, "/echo", &[]).await.unwrap();
    assert_eq!(client.ask("compiled").await, "compiled");
    // Nothing half is left behind.
    assert_eq!(fs::read_dir(&cache).unwrap().count(), 0);
    host.signal("TERM").await;
    assert_eq!(client.closed().await.code, 1001);
    assert_eq!(host.ended().await.0.code(), Some(0));
}

#[tokio::test]
async fn probes_are_answered_to_everybody_and_the_state_only_to_this_machine() {
    let arguments = ["run", openline_guests::ECHO, "--listen", "127.0.0.1:0"];
    let host = Serving::start(&arguments).await;
    for (path, named, status) in [
        ("ready", "anybody.example", "200"),
        ("live", "anybody.example", "200"),
        ("state", "localhost", "200"),
        ("state", "anybody.example", "404"),
    ] {
        let request = format!("GET /.openline/{path} HTTP/1.1\r\nHost: {named}\r\n\r\n");
        let head = Raw::request(host.address, &request).await;
        assert!(
            head.starts_with(&format!("HTTP/1.1 {status} ")),
            "{path} {named}: {head}"
        );
    }
}
