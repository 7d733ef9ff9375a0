//! The real binary under test, and plain HTTP to ask it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use openline_kit::exchange::{self, Answer};
use openline_kit::process;
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

/// The line in the log before each start.
pub const START: &str = "=== start";

/// The longest that a host may take to start, on a machine that is busy.
const START_MAX: Duration = Duration::from_secs(60);

/// The host's process; killed when it is dropped.
pub struct Process {
    binary: PathBuf,
    folder: PathBuf,
    workers: Option<u32>,
    child: Option<Child>,
    /// Copies the host's output to its log.
    copying: Option<JoinHandle<()>>,
    pub address: SocketAddr,
    pub admin: SocketAddr,
}

/// The longest that an answer is waited for.
const ANSWER_MAX: Duration = Duration::from_secs(30);

impl Process {
    pub fn new(binary: &Path, folder: &Path, workers: Option<u32>) -> Self {
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
        Self {
            binary: binary.into(),
            folder: folder.into(),
            workers,
            child: None,
            copying: None,
            address: nowhere,
            admin: nowhere,
        }
    }

    pub fn log_path(&self) -> PathBuf {
        self.folder.join("host.log")
    }

    /// Writes the configuration whole.
    pub fn configure(&self, toml: &str) {
        let new = self.folder.join("new.toml");
        fs::write(&new, toml).unwrap();
        fs::rename(new, self.folder.join("openline.toml")).unwrap();
    }

    /// Starts it, and waits until it has printed where it listens.
    pub async fn start(&mut self) -> Result<(), String> {
        let mut log = self.log();
        writeln!(log, "{START}").unwrap();
        // A limit on files fills the disk. It is an error, and not a signal, to
        // a process that ignores that signal. It does not apply to the log,
        // which comes through a pipe.
        let (mut said, says) = io::pipe().unwrap();
        let mut command = Command::new("sh");
        command
            .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
            .arg(&self.binary)
            .args(["serve", "--config", "openline.toml"])
            .current_dir(&self.folder)
            .env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"))
            .env_remove("OPENLINE_LOG")
            .env("RUST_BACKTRACE", "1")
            .stdin(Stdio::null())
            .stdout(says.try_clone().unwrap())
            .stderr(says);
        if let Some(workers) = self.workers {
            command.env("TOKIO_WORKER_THREADS", workers.to_string());
        }
        self.child = Some(command.spawn().unwrap());
        // The command holds this process's ends of the pipe.
        drop(command);
        let copy = move || _ = io::copy(&mut said, &mut log);
        self.copying = Some(std::thread::spawn(copy));
        let begun = Instant::now();
        while begun.elapsed() < START_MAX {
            if let Some(code) = self.exited() {
                return Err(format!("the host ended at its start with {code:?}"));
            }
            let text = fs::read_to_string(self.log_path()).unwrap_or_default();
            let run = text.rsplit(START).next().unwrap_or_default();
            let after = |words: &str| -> Option<SocketAddr> {
                let line = run.lines().find(|line| line.starts_with(words))?;
                process::address_in(line)
            };
            if let (Some(address), Some(admin)) = (after("listening on "), after("admin ")) {
                (self.address, self.admin) = (address, admin);
                return Ok(());
            }
            sleep(Duration::from_millis(10)).await;
        }
        Err(format!("the host did not start within {START_MAX:?}"))
    }

    /// Its exit code, once it has ended; -1 for a signal.
    pub fn exited(&mut self) -> Option<i32> {
        let status = self.child.as_mut()?.try_wait().unwrap()?;
        Some(status.code().unwrap_or(-1))
    }

    pub async fn wait(&mut self, most: Duration) -> Option<i32> {
        let begun = Instant::now();
        loop {
            let code = self.exited();
            if code.is_some() || begun.elapsed() > most {
                return code;
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Its process number.
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Forgets the output until now, as if it started now.
    pub fn cut_log(&self) {
        let mut log = self.log();
        log.set_len(0).unwrap();
        writeln!(log, "{START}").unwrap();
    }

    pub fn signal(&mut self, signal: &str) {
        let Some(child) = &self.child else { return };
        let _ = process::signal(child.id(), signal);
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        // A compiler of the host may still have the pipe, and ends soon.
        if let Some(copying) = self.copying.take() {
            let _ = copying.join();
        }
    }

    /// Fills the disk, or frees it again.
    #[cfg(target_os = "linux")]
    pub fn fill_disk(&self, full: bool) {
        use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
        let Some(pid) = self
            .child
            .as_ref()
            .and_then(|child| Pid::from_raw(i32::try_from(child.id()).ok()?))
        else {
            return;
        };
        let usual = getrlimit(Resource::Fsize);
        let limit = Rlimit {
            current: if full { Some(0) } else { usual.current },
            ..usual
        };
        // It may have ended.
        let _ = prlimit(Some(pid), Resource::Fsize, limit);
    }

    /// Only Linux can change the limits of a running process.
    #[cfg(not(target_os = "linux"))]
    pub fn fill_disk(&self, _full: bool) {
        println!("  the disk is not filled: this system has no `prlimit`");
    }

    fn log(&self) -> File {
        let mut options = OpenOptions::new();
        options
            .create(true)
            .append(true)
            .open(self.log_path())
            .unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Asks once on a TCP connection of its own. A status of 0 is an answer that did
/// not come.
pub async fn ask(address: SocketAddr, method: &str, path: &str, kind: &str, body: &[u8]) -> Answer {
    let asking = exchange::ask(address, method, path, Some((kind, body)));
    let answer = timeout(ANSWER_MAX, asking).await.ok().and_then(Result::ok);
    answer.unwrap_or_else(|| Answer {
        status: 0,
        head: String::new(),
        body: Vec::new(),
    })
}

pub async fn state(address: SocketAddr) -> Value {
    let answer = ask(address, "GET", "/.openline/state", "text/plain", b"").await;
    serde_json::from_slice(&answer.body).unwrap_or_default()
}
