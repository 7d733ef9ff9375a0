//! The compiler is a process of its own: its output runs here, and whatever
//! happens to it, the host goes on and reports it.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use openline_core::config::{FunctionConfig, ServerConfig};
use openline_core::name::FunctionName;
use openline_core::route::Route;
use openline_engine::LoadError;
use openline_engine::compiler::{Compiler, WORD};
use openline_engine::runtime::{Runtime, RuntimeOptions};

#[cfg(target_os = "linux")]
use crate::harness::eventually;
use crate::harness::{AdminHost, Raw, openline_under, within};

const OPENLINE: &str = env!("CARGO_BIN_EXE_openline");

fn options(program: impl Into<PathBuf>) -> RuntimeOptions {
    RuntimeOptions {
        instances: 4,
        compiler: Compiler::Child(program.into()),
        ..RuntimeOptions::new(&ServerConfig::default(), None)
    }
}

fn runtime(options: RuntimeOptions) -> Arc<Runtime> {
    Arc::new(Runtime::new(options).unwrap())
}

fn config() -> FunctionConfig {
    let name = FunctionName::new("compiled").unwrap();
    FunctionConfig::new(name, None, Route::new("/compiled").unwrap())
}

fn echo() -> Vec<u8> {
    fs::read(openline_guests::ECHO).unwrap()
}

/// A program that does something other than compile. Another process writes it,
/// because the system does not run a file that a child of this process has open
/// for writing.
fn program(folder: &Path, script: &str) -> PathBuf {
    let path = folder.join("compiler");
    let text = format!("#!/bin/sh\n{script}\n");
    let written = Command::new("sh")
        .args([
            "-c",
            "printf '%s' \"$1\" > \"$2\" && chmod 755 \"$2\"",
            "sh",
        ])
        .arg(text)
        .arg(&path)
        .status();
    assert!(written.unwrap().success());
    path
}

/// Loads with a program in place of the compiler, which must fail.
async fn refused(script: &str) -> LoadError {
    let folder = tempfile::tempdir().unwrap();
    let runtime = runtime(options(program(folder.path(), script)));
    let config = config();
    let loading = runtime.load_alone(&config, echo());
    within("the compiler to fail", loading).await.unwrap_err()
}

/// Waits until a program has written its process number, and returns it.
async fn process_in(file: &Path) -> String {
    let written = async {
        loop {
            match fs::read_to_string(file) {
                Ok(text) if text.ends_with('\n') => return text.trim().to_owned(),
                _ => tokio::task::yield_now().await,
            }
        }
    };
    within("the compiler to start", written).await
}

/// Waits until a process has ended, or is a zombie.
async fn gone(process: &str) {
    let gone = async {
        loop {
            let stat = fs::read_to_string(format!("/proc/{process}/stat"));
            match stat {
                Ok(stat) if !stat.contains(") Z ") => tokio::task::yield_now().await,
                _ => return,
            }
        }
    };
    within("the compiler to be killed", gone).await;
}

#[tokio::test]
async fn what_a_child_compiles_runs_and_is_cached_as_if_it_was_compiled_here() {
    let folder = tempfile::tempdir().unwrap();
    let cached = || fs::read_dir(folder.path()).unwrap().count();
    let mut metered = config();
    metered.limit.fuel_per_event = 10_000_000;
    let all = [
        (config(), openline_guests::ECHO),
        (config(), openline_guests::ECHO_ASYNC),
        (metered, openline_guests::ECHO),
    ];
    let child = runtime(RuntimeOptions {
        cache: Some(folder.path().into()),
        ..options(OPENLINE)
    });
    for (index, (config, component)) in all.iter().enumerate() {
        let bytes = fs::read(component).unwrap();
        child.load_alone(config, bytes).await.unwrap();
        assert_eq!(cached(), index + 1);
    }
    // A host with a compiler that does nothing finds all of them in the cache.
    let other = runtime(RuntimeOptions {
        cache: Some(folder.path().into()),
        ..options("/bin/false")
    });
    for (config, component) in &all {
        let bytes = fs::read(component).unwrap();
        other.load_alone(config, bytes).await.unwrap();
    }
}

#[tokio::test]
async fn what_the_compiler_refuses_is_told_with_its_words() {
    // An instance without a handler's functions: the compiler accepts it.
    let mut bytes = b"\0asm\x0d\0\x01\0\x05\x03\x01\x01\0\x0b".to_vec();
    let name = "openline:websocket/websocket-handler@0.2.0";
    let length = u8::try_from(name.len()).unwrap();
    bytes.extend([length + 6, 1, 0, length]);
    bytes.extend(name.bytes());
    // An instance that does not exist: the compiler refuses it.
    bytes.extend([5, 7, 0]);
    let error = runtime(options(OPENLINE))
        .load_alone(&config(), bytes)
        .await;
    let error = error.unwrap_err();
    assert!(matches!(error, LoadError::Compile(_)), "{error}");
    assert!(error.to_string().contains("unknown instance"), "{error}");
}

#[tokio::test]
async fn a_child_that_needs_more_memory_than_it_may_have_is_refused_by_the_limit() {
    let little = runtime(RuntimeOptions {
        compile_memory_bytes: 64 * 1024 * 1024,
        ..options(OPENLINE)
    });
    let error = little.load_alone(&config(), echo()).await.unwrap_err();
    assert!(matches!(error, LoadError::CompileMemory(_)), "{error}");
    assert!(error.to_string().contains("compile_memory_bytes"));
    // The minimum of the table is enough for a function.
    let enough = runtime(RuntimeOptions {
        compile_memory_bytes: 512 * 1024 * 1024,
        ..options(OPENLINE)
    });
    enough.load_alone(&config(), echo()).await.unwrap();
}

#[tokio::test]
async fn a_child_that_takes_too_long_is_killed_and_its_permit_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("process");
    let script = format!("echo $$ > {}; exec sleep 1000", file.display());
    let runtime = runtime(RuntimeOptions {
        compile_timeout: Duration::from_millis(500),
        compilations: 1,
        ..options(program(folder.path(), &script))
    });
    for _ in 0..2 {
        let config = config();
        let loading = runtime.load_alone(&config, echo());
        let error = within("the limit", loading).await.unwrap_err();
        assert!(matches!(error, LoadError::CompileTimeout(_)), "{error}");
        // On a busy machine it may not even have begun.
        if let Ok(process) = fs::read_to_string(&file) {
            gone(process.trim()).await;
        }
    }
}

#[tokio::test]
async fn a_child_whose_answer_nobody_waits_for_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("process");
    let script = format!("echo $$ > {}; exec sleep 1000", file.display());
    let runtime = runtime(options(program(folder.path(), &script)));
    let loading = tokio::spawn(async move { runtime.load_alone(&config(), echo()).await });
    let process = process_in(&file).await;
    loading.abort();
    gone(&process).await;
}

#[tokio::test]
async fn a_deploy_whose_asker_hangs_up_while_it_is_compiled_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    // The host's own components are found compiled.
    let cache = Some(folder.path().join("cache"));
    let kept = RuntimeOptions::new(&ServerConfig::default(), cache.clone());
    let served = fs::read(openline_guests::FAULT_VERSION_A).unwrap();
    runtime(kept).load_alone(&config(), served).await.unwrap();
    let file = folder.path().join("process");
    let script = format!("echo $$ > {}; exec sleep 1000", file.display());
    let stuck = runtime(RuntimeOptions {
        cache,
        ..options(program(folder.path(), &script))
    });
    let host = AdminHost::with(openline_guests::FAULT_VERSION_A, "/a");
    let host = host.start_on(&stuck).await;
    let component = echo();
    let mut asker = Raw::connect(host.admin).await;
    let head = format!(
        "POST /v1/functions/echo/versions?route=/echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/wasm\r\nContent-Length: {}\r\n\r\n",
        component.len()
    );
    asker.send(head.as_bytes()).await;
    asker.send(&component).await;
    let process = process_in(&file).await;
    drop(asker);
    gone(&process).await;
    let functions = host.ask("GET", "/v1/functions", None).await.value();
    assert_eq!(functions["functions"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_host_without_address_space_for_instances_says_so_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("openline.toml");
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[[function]]\nname = \"echo\"\ncomponent = {:?}\nroute = \"/e\"\n",
        openline_guests::ECHO
    );
    fs::write(&config, text).unwrap();
    let words = ["check", "--config", config.to_str().unwrap()];
    // Eight GiB is enough for the host, and too little for a single place.
    let ended = openline_under("ulimit -v 8388608", &words).await;
    ended.failed(
        78,
        &[
            "no address space for instances",
            "hint:",
            "ulimit -v",
            "`instances`",
        ],
    );
}

#[tokio::test]
async fn a_host_that_may_have_less_than_a_compiler_compiles_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("openline.toml");
    let text = format!(
        "[server]\ncache = \"cache\"\ncompile_timeout = \"10 min\"\n[[function]]\nname = \"echo\"\ncomponent = {:?}\nroute = \"/e\"\n",
        openline_guests::ECHO
    );
    fs::write(&config, text).unwrap();
    let words = ["check", "--config", config.to_str().unwrap()];
    let ended = openline_under("ulimit -t 300", &words).await;
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(
        fs::read_dir(folder.path().join("cache")).unwrap().count(),
        1
    );
}

#[tokio::test]
async fn a_child_that_dies_says_how() {
    let error = refused("echo 'it hurts' >&2; exit 3").await;
    assert!(matches!(error, LoadError::CompilerEnded(_)), "{error}");
    let said = error.to_string();
    assert!(said.contains("exit status: 3") && said.contains("it hurts"));
    let error = refused("kill -SEGV $$").await;
    assert!(matches!(error, LoadError::CompilerEnded(_)), "{error}");
    assert!(error.to_string().contains("signal: 11"), "{error}");
    let error = refused("kill -XCPU $$").await;
    assert!(matches!(error, LoadError::CompileTimeout(_)), "{error}");
    // The system was out of memory, or an allocation failed.
    for script in [
        "kill -KILL $$",
        "echo 'memory allocation of 64 bytes failed' >&2; kill -ABRT $$",
    ] {
        let error = refused(script).await;
        assert!(matches!(error, LoadError::CompileMemory(_)), "{error}");
    }
    // A compiler that cannot even be started is the host's fault.
    let missing = runtime(options("/nowhere/openline"));
    let error = missing.load_alone(&config(), echo()).await.unwrap_err();
    assert!(matches!(error, LoadError::Host(_)), "{error}");
}

#[tokio::test]
async fn a_child_that_answers_rubbish_is_not_believed_nor_waited_for() {
    // An unknown tag; too long an answer; a wrong digest; half an answer.
    let zeros = "head -c 200 /dev/zero";
    for (script, word) in [
        (format!("{zeros}; exec sleep 1000"), "something else"),
        (
            "printf 'C\\377\\377\\377\\377\\377\\377\\377\\177'; head -c 32 /dev/zero; exec sleep 1000"
                .into(),
            "more than",
        ),
        (
            format!("printf 'C\\001\\000\\000\\000\\000\\000\\000\\000'; {zeros}; exec sleep 1000"),
            "damaged",
        ),
        (
            "printf 'C\\001\\000\\000\\000\\000\\000\\000\\000'; exit 0".into(),
            "exit status: 0",
        ),
    ] {
        let error = refused(&script).await;
        assert!(matches!(error, LoadError::CompilerEnded(_)), "{error}");
        assert!(error.to_string().contains(word), "`{word}` in: {error}");
    }
    // A whole answer, but not compiled code.
    let digest = "\\343\\260\\304\\102\\230\\374\\034\\024\\232\\373\\364\\310\\231\\157\\271\\044\\047\\256\\101\\344\\144\\233\\223\\114\\244\\225\\231\\033\\170\\122\\270\\125";
    let nothing = "\\000\\000\\000\\000\\000\\000\\000\\000";
    let error = refused(&format!("printf 'C{nothing}{digest}'")).await;
    assert!(matches!(error, LoadError::Compile(_)), "{error}");
}

#[tokio::test]
async fn a_child_has_neither_sockets_nor_variables_of_the_host() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (files, variables) = (folder.path().join("fd"), folder.path().join("env"));
    let script = format!(
        "ls -l /proc/$$/fd > {}; env > {}; exit 1",
        files.display(),
        variables.display()
    );
    let runtime = runtime(options(program(folder.path(), &script)));
    runtime.load_alone(&config(), echo()).await.unwrap_err();
    drop(listener);
    let files = fs::read_to_string(files).unwrap();
    assert!(
        files.contains("pipe:") && !files.contains("socket:"),
        "{files}"
    );
    let variables = fs::read_to_string(variables).unwrap();
    for name in ["CARGO", "HOME", "PATH="] {
        let is_there = variables.lines().any(|line| line.starts_with(name));
        // A shell sets a path by itself.
        assert!(!is_there || name == "PATH=", "{name} in:\n{variables}");
    }
}

/// The soft and the hard value of a limit of a process.
#[cfg(target_os = "linux")]
fn limit_of(process: u32, name: &str) -> (String, String) {
    let limits = fs::read_to_string(format!("/proc/{process}/limits")).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix(name));
    let mut values = line.unwrap().split_whitespace().map(str::to_owned);
    (values.next().unwrap(), values.next().unwrap())
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_child_limits_itself_before_it_reads() {
    const TIMEOUT_SECONDS: u64 = 10;
    let timeout = (TIMEOUT_SECONDS * 1000).to_string();
    let child = tokio::process::Command::new(OPENLINE)
        .args([WORD, "plain", "false", "false", "4294967296", &timeout])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let process = child.id().unwrap();
    let limit = |name| limit_of(process, name);
    let none = ("0".to_owned(), "0".to_owned());
    // The last ones that it sets.
    eventually("the child to allow itself no files", || {
        limit("Max file size") == none && limit("Max core file size") == none
    })
    .await;
    let memory = "4294967296".to_owned();
    assert_eq!(limit("Max address space"), (memory.clone(), memory));
    // A second more than `compile_timeout` on each of its threads, and a second
    // more until it is killed.
    let (soft, hard) = limit("Max cpu time");
    assert_ne!(soft, "unlimited");
    let [soft, hard] = [soft, hard].map(|seconds| seconds.parse::<u64>().unwrap());
    assert!(soft > TIMEOUT_SECONDS, "{soft}");
    assert_eq!((soft % (TIMEOUT_SECONDS + 1), hard), (0, soft + 1));
    let first = fs::read_to_string(format!("/proc/{process}/oom_score_adj"));
    assert_eq!(first.unwrap().trim(), "1000");
}

#[tokio::test]
async fn a_child_ends_when_its_host_does() {
    let mut child = tokio::process::Command::new(OPENLINE)
        .args([WORD, "plain", "false", "false", "4294967296", "600000"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let component = echo();
    let mut stdin = child.stdin.take().unwrap();
    let length = u64::try_from(component.len()).unwrap().to_le_bytes();
    tokio::io::AsyncWriteExt::write_all(&mut stdin, &length)
        .await
        .unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stdin, &component)
        .await
        .unwrap();
    // The answer is larger than a pipe and is not read, so the child would wait
    // forever.
    drop(stdin);
    let status = within("the child to end", child.wait()).await.unwrap();
    assert!(!status.success());
}

#[test]
fn the_word_is_in_no_help_and_wrong_words_after_it_do_nothing() {
    let help = Command::new(OPENLINE).arg("--help").output().unwrap();
    assert!(!String::from_utf8(help.stdout).unwrap().contains(WORD));
    let mut child = Command::new(OPENLINE)
        .args([WORD, "plain"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // It may have ended already.
    let _ = child.stdin.take().unwrap().write_all(b"anything");
    let mut said = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!(
        (child.wait().unwrap().code(), said.as_str()),
        (Some(64), "")
    );
}
