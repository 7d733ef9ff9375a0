//! A host whose output is not read, or that is told to end or to reload while
//! it waits for a file: it still serves, and it ends. Runs the real binary.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::harness::{Client, Serving, signal, spawned, within};

/// More than a pipe holds, in lines of a kilobyte.
const LINES: usize = 400;

fn function(name: &str, component: &str) -> String {
    format!("[[function]]\nname = \"{name}\"\ncomponent = {component:?}\nroute = \"/{name}\"\n")
}

fn configuration() -> String {
    let functions = [
        function("flood", openline_guests::FAULT_FLOOD),
        function("echo", openline_guests::ECHO),
    ];
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n\n{}",
        functions.concat()
    )
}

/// A configuration that arrives when a test writes it, through a named pipe.
struct Pipe {
    _folder: TempDir,
    path: PathBuf,
}

impl Pipe {
    async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("openline.toml");
        let made = Command::new("mkfifo").arg(&path).status().await;
        assert!(made.unwrap().success());
        Self {
            _folder: folder,
            path,
        }
    }

    /// Waits until the host reads it.
    async fn read(&self) -> std::fs::File {
        let path = self.path.clone();
        let opening =
            tokio::task::spawn_blocking(move || OpenOptions::new().write(true).open(path));
        within("the host to read its configuration", opening)
            .await
            .unwrap()
            .unwrap()
    }

    fn spawn(&self, stdout: Stdio) -> Child {
        spawned(&["serve", "--config", shown(&self.path)], stdout)
    }
}

fn shown(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn write(mut pipe: std::fs::File) {
    pipe.write_all(configuration().as_bytes()).unwrap();
}

async fn ended(mut process: Child) {
    let status = within("the host to end", process.wait()).await.unwrap();
    assert_eq!(status.code(), Some(0));
}

#[tokio::test]
async fn a_host_whose_log_nobody_reads_serves_and_ends() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("openline.toml");
    std::fs::write(&path, configuration()).unwrap();
    // Its standard error is a pipe that is not read before the end.
    let mut host = Serving::start(&["serve", "--config", shown(&path)]).await;
    let mut echo = Client::open(host.address, "/echo", &[]).await.unwrap();
    let mut flood = Client::open(host.address, "/flood", &[]).await.unwrap();
    let line = "z".repeat(1000);
    for _ in 0..LINES {
        assert_eq!(flood.ask(&line).await, line);
    }
    assert_eq!(echo.ask("still here").await, "still here");
    host.signal("TERM").await;
    let status = within("the host to end", host.process.wait()).await;
    assert_eq!(status.unwrap().code(), Some(0));
}

#[tokio::test]
async fn lines_that_are_dropped_are_counted_and_said() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("openline.toml");
    let text = format!(
        "{}[function.limit]\nlog_lines_per_second = 1000000\n",
        function("flood", openline_guests::FAULT_FLOOD)
    );
    std::fs::write(&path, format!("[server]\nlisten = \"127.0.0.1:0\"\n{text}")).unwrap();
    let mut host = Serving::start(&["serve", "--config", shown(&path)]).await;
    let mut flood = Client::open(host.address, "/flood", &[]).await.unwrap();
    let line = "z".repeat(1000);
    // More than the pipe and the queue hold together.
    for _ in 0..2 * LINES {
        assert_eq!(flood.ask(&line).await, line);
    }
    host.told("log lines were dropped").await;
}

#[tokio::test]
async fn faults_count_among_the_lines_that_their_function_prints() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("openline.toml");
    let text = format!(
        "{}[function.limit]\nlog_lines_per_second = 1\n[function.instance]\nfaults_in_a_row = 1000\n",
        function("trap", openline_guests::FAULT_TRAP)
    );
    std::fs::write(&path, format!("[server]\nlisten = \"127.0.0.1:0\"\n{text}")).unwrap();
    let mut host = Serving::start(&["serve", "--config", shown(&path)]).await;
    let began = Instant::now();
    // Each also prints a panic.
    for _ in 0..20 {
        let mut client = Client::open(host.address, "/trap", &[]).await.unwrap();
        client.text("trap").await;
        assert_eq!(client.closed().await.code, 1011);
    }
    host.signal("TERM").await;
    let lines = host.rest().await;
    let shown = lines.iter().filter(|line| line.contains("function=trap"));
    let shown = shown.filter(|line| !line.contains("more lines than are shown"));
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap();
    let (shown, most) = (shown.count(), 1 + seconds + 1);
    assert!((1..=most).contains(&shown), "{shown} of {most}: {lines:#?}");
}

#[tokio::test]
async fn a_host_whose_standard_output_is_closed_goes_on() {
    let pipe = Pipe::new().await;
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut process = pipe.spawn(writer.into());
    write(pipe.read().await);
    let stderr = process.stderr.take().unwrap();
    let mut lines = BufReader::new(stderr).lines();
    let page = loop {
        let line = within("the page's address", lines.next_line()).await;
        let line = line.unwrap().expect("the host has not ended");
        if let Some(address) = line.strip_prefix("page ") {
            break address.trim().to_owned();
        }
    };
    let address = page.strip_prefix("http://").unwrap();
    let address = address.strip_suffix("/.openline/").unwrap();
    let client = Client::open(address.parse().unwrap(), "/echo", &[]).await;
    assert_eq!(client.unwrap().ask("hello").await, "hello");
    signal(&process, "TERM").await;
    ended(process).await;
}

#[tokio::test]
async fn a_host_that_is_asked_to_end_while_it_starts_ends() {
    for name in ["TERM", "INT"] {
        let pipe = Pipe::new().await;
        let process = pipe.spawn(Stdio::piped());
        let _unwritten = pipe.read().await;
        signal(&process, name).await;
        ended(process).await;
    }
}

#[tokio::test]
async fn a_reload_that_is_asked_for_while_the_host_starts_or_reloads_is_kept() {
    let pipe = Pipe::new().await;
    let mut process = pipe.spawn(Stdio::piped());
    let mut told = BufReader::new(process.stderr.take().unwrap()).lines();
    // Each time it reads, it is asked to read again; and then to end.
    for done in ["page ", "reloaded: ", "reloaded: "] {
        let reading = pipe.read().await;
        signal(&process, "HUP").await;
        write(reading);
        loop {
            let line = within(done, told.next_line()).await.unwrap();
            if line.expect("the host has not ended").starts_with(done) {
                break;
            }
        }
    }
    let _unwritten = pipe.read().await;
    signal(&process, "TERM").await;
    ended(process).await;
}

#[tokio::test]
async fn a_host_whose_starter_blocked_signals_hears_them() {
    use nix::sys::signal::{SigSet, Signal};

    let folder = TempDir::new().unwrap();
    let config = folder.path().join("openline.toml");
    std::fs::write(&config, configuration()).unwrap();
    let blocked = SigSet::from_iter([Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM]);
    // The mask of this thread, which starts the host.
    blocked.thread_block().unwrap();
    let mut host = Serving::start(&["serve", "--config", shown(&config)]).await;
    blocked.thread_unblock().unwrap();
    host.signal("HUP").await;
    host.told("reloaded: ").await;
    host.signal("TERM").await;
    assert_eq!(host.ended().await.0.code(), Some(0));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn data_that_cannot_be_written_are_an_error_also_when_they_are_help() {
    for arguments in [
        &["--help"][..],
        &["deploy", "--help"],
        &["limits"],
        &["close-codes"],
    ] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let process = spawned(arguments, full.into());
        let output = within("the command to end", process.wait_with_output()).await;
        let output = output.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains("cannot write to standard output"), "{said}");
    }
    // A reader that has read enough is not an error.
    let mut process = spawned(&["--help"], Stdio::piped());
    drop(process.stdout.take());
    let status = within("the command to end", process.wait()).await.unwrap();
    assert!(status.success());
}
