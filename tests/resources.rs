//! A machine without enough files, threads, or space for the compile cache.
//! Runs the real binary under the shell's limits.

use std::fs;
#[cfg(target_os = "linux")]
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::TcpStream;
#[cfg(target_os = "linux")]
use tokio::process::Command;

use crate::harness::{Client, Raw, Serving, within};

#[tokio::test]
async fn a_host_without_file_descriptors_goes_on_and_accepts_when_there_are_some() {
    let arguments = ["run", openline_guests::ECHO, "--listen", "127.0.0.1:0"];
    // The hard limit as well, because the host raises the soft limit by itself.
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

/// The limit on threads is per user, and root has none, so as root another user
/// runs the command.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_command_that_gets_too_few_threads_says_so() {
    let folder = TempDir::new().unwrap();
    let binary = folder.path().join("openline");
    fs::copy(env!("CARGO_BIN_EXE_openline"), &binary).unwrap();
    for path in [folder.path(), &binary] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let run = async |threads: u32| {
        let script = format!(
            "user=; [ \"$(id -u)\" != 0 ] || \
             user='setpriv --reuid=61234 --regid=61234 --clear-groups'; exec prlimit --nproc={threads}:{threads} $user \"$0\" \"$@\""
        );
        let mut command = Command::new("sh");
        let command = command.args(["-c", &script]).arg(&binary);
        // Nothing listens there.
        let command = command.args(["functions", "--admin", "http://127.0.0.1:1"]);
        let output = command.kill_on_drop(true).output();
        let output = within("a command to end", output).await.unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let told = run(4).await;
    assert!(told.contains("threads for this program"), "{told}");
    assert!(
        told.contains("hint: raise the limit on processes"),
        "{told}"
    );
    let told = run(4096).await;
    assert!(told.contains("no connection to"), "{told}");
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
    host.told("could not cache a compiled component").await;
    let mut client = Client::open(host.address, "/echo", &[]).await.unwrap();
    assert_eq!(client.ask("compiled").await, "compiled");
    // No incomplete file is left behind.
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
