//! Components that cannot be functions: each is refused with the error and the
//! hint that its author needs, and no bytes cause a panic.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use openline_core::config::FunctionConfig;
use openline_core::config::ServerConfig;
use openline_core::name::FunctionName;
use openline_core::route::Route;
use openline_engine::runtime::{Runtime, RuntimeOptions};
use openline_engine::{CallStyle, Handler, LoadError, inspect};
use openline_hint::Hint;

const PLAIN: &str = "openline:websocket/websocket-handler@0.2.0";
const ASYNCHRONOUS: &str = "openline:websocket/async-websocket-handler@0.2.0";
/// The heads of a component and of a core module.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
const MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// Compiles everything again.
static RUNTIME: LazyLock<Arc<Runtime>> = LazyLock::new(|| runtime(None));

pub(crate) fn runtime(cache: Option<PathBuf>) -> Arc<Runtime> {
    let options = RuntimeOptions {
        instances: 4,
        ..RuntimeOptions::new(&ServerConfig::default(), cache)
    };
    Arc::new(Runtime::new(options).unwrap())
}

pub(crate) fn config() -> FunctionConfig {
    let name = FunctionName::new("tested").unwrap();
    FunctionConfig::new(name, None, Route::new("/tested").unwrap())
}

pub(crate) fn echo() -> Vec<u8> {
    fs::read(openline_guests::ECHO).unwrap()
}

/// The same component with one name replaced by another of the same length.
pub(crate) fn renamed(component: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = component.to_vec();
    let mut found = 0;
    for start in 0..=component.len() - from.len() {
        let place = start..start + from.len();
        if &component[place.clone()] == from.as_bytes() {
            bytes[place].copy_from_slice(to.as_bytes());
            found += 1;
        }
    }
    assert!(found > 0, "`{from}` is not there");
    bytes
}

/// A component that exports an empty instance under each of these names.
fn hollow(names: &[&str], instance: u8) -> Vec<u8> {
    let mut exports = vec![u8::try_from(names.len()).unwrap()];
    for name in names {
        exports.extend([0, u8::try_from(name.len()).unwrap()]);
        exports.extend(name.bytes());
        exports.extend([5, instance, 0]);
    }
    let mut bytes = COMPONENT.to_vec();
    // The instance section has one instance without exports; the export section
    // follows.
    bytes.extend([5, 3, 1, 1, 0, 11, u8::try_from(exports.len()).unwrap()]);
    bytes.extend(exports);
    bytes
}

/// Loads a component that must not load. A panic of the loader would be
/// reported as the host's own failure, so the answer must not be that.
async fn refused(bytes: Vec<u8>) -> LoadError {
    let error = match RUNTIME.load_alone(&config(), bytes).await {
        Ok(function) => panic!("it is a function: {function:?}"),
        Err(error) => error,
    };
    assert!(!matches!(error, LoadError::Host(_)), "{error}");
    assert!(error.hint().is_some_and(|hint| !hint.is_empty()) && !error.to_string().is_empty());
    error
}

#[tokio::test]
async fn what_is_not_wasm_is_said_to_be_none() {
    let text = b"(component)".to_vec();
    let elf = b"\x7fELF\x02\x01\x01\0".to_vec();
    for bytes in [Vec::new(), b"\0as".to_vec(), text, elf, vec![0; 4096]] {
        let error = refused(bytes).await;
        assert!(matches!(error, LoadError::NotWasm), "{error}");
        assert!(error.hint().unwrap().contains("openline build"));
    }
}

#[tokio::test]
async fn a_core_module_is_said_to_be_one() {
    let error = refused(MODULE.to_vec()).await;
    assert!(matches!(error, LoadError::CoreModule), "{error}");
    assert!(error.hint().unwrap().contains("openline build"));
    // One with code in it is none the less a module.
    let mut code = MODULE.to_vec();
    code.extend([1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 10, 4, 1, 2, 0, 0x0b]);
    assert!(matches!(refused(code).await, LoadError::CoreModule));
}

#[tokio::test]
async fn a_head_without_a_body_and_another_format_are_said_to_be_damaged() {
    for bytes in [
        b"\0asm".as_slice(),
        b"\0asm\x0d\0",
        b"\0asm\x0d\0\x02\0",
        b"\0asm\x0c\0\x01\0",
        b"\0asm\xff\xff\xff\xff",
    ] {
        let error = refused(bytes.to_vec()).await;
        assert!(matches!(error, LoadError::Damaged(_)), "{bytes:?}: {error}");
    }
}

#[tokio::test]
async fn a_component_of_another_world_is_told_what_to_export() {
    let error = refused(COMPONENT.to_vec()).await;
    assert!(matches!(error, LoadError::NoHandler(_)), "{error}");
    let said = error.to_string();
    assert!(
        said.contains(PLAIN) && said.contains(ASYNCHRONOUS),
        "{said}"
    );
    assert!(said.ends_with("exports nothing"), "{said}");
    let command = hollow(&["wasi:cli/run@0.2.0"], 0);
    let said = refused(command).await.to_string();
    assert!(said.ends_with("exports `wasi:cli/run@0.2.0`"), "{said}");
    // Another version is another interface.
    let older = renamed(
        &echo(),
        "websocket-handler@0.2.0",
        "websocket-handler@0.1.0",
    );
    let error = refused(older).await;
    assert!(matches!(error, LoadError::NoHandler(_)), "{error}");
    assert_eq!(
        error.hint().unwrap(),
        "it is made for another version of the contract: build it with the SDK of this release"
    );
}

/// An export of another version would not be called, without any report.
#[tokio::test]
async fn an_export_of_the_contract_that_the_host_does_not_call_is_named() {
    let keeper = fs::read(openline_guests::FAULT_KEEPER).unwrap();
    for (from, to) in [
        ("hibernation-handler@0.2.0", "hibernation-handler@0.1.0"),
        ("alarms/alarm-handler@0.2.0", "alarms/alarm-handler@0.3.0"),
        (
            "state/hibernation-handler@0.2.0",
            "state/hibernationshandler@0.2.0",
        ),
    ] {
        let error = refused(renamed(&keeper, from, to)).await;
        assert!(matches!(error, LoadError::NotCalled(_)), "{to}: {error}");
        assert!(error.to_string().contains(&format!("{to}`")), "{error}");
    }
    // An export for the other kind of handler.
    let other = hollow(&[PLAIN, "openline:alarms/async-alarm-handler@0.2.0"], 0);
    let error = refused(other).await;
    assert!(matches!(error, LoadError::NotCalled(_)), "{error}");
}

/// A later patch only adds to the contract.
#[tokio::test]
async fn a_component_of_a_later_patch_of_the_contract_is_called() {
    let keeper = fs::read(openline_guests::FAULT_KEEPER).unwrap();
    let later = renamed(&keeper, "handler@0.2.0", "handler@0.2.1");
    let version = RUNTIME.load_alone(&config(), later).await.unwrap();
    assert_eq!(version.call_style(), CallStyle::Plain);
}

#[tokio::test]
async fn a_component_with_both_handlers_is_refused() {
    let error = refused(hollow(&[PLAIN, ASYNCHRONOUS], 0)).await;
    assert!(matches!(error, LoadError::BothHandlers), "{error}");
}

#[tokio::test]
async fn an_import_that_the_host_does_not_have_is_named() {
    for (from, to) in [
        (
            "openline:websocket/connections",
            "openline:websocket/connectionz",
        ),
        ("wasi:cli/environment", "wasi:cli/environmenu"),
        ("wasi:cli/exit", "evil:cli/exit"),
        ("[method]connection.send", "[method]connection.sond"),
    ] {
        let error = refused(renamed(&echo(), from, to)).await;
        assert!(matches!(error, LoadError::UnknownImport(_)), "{error}");
        let said = error.to_string();
        let word = to.rsplit(['/', '.']).next().unwrap();
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
}

#[tokio::test]
async fn types_that_are_not_the_contracts_are_refused() {
    // An import with another type.
    let error = refused(renamed(&echo(), "queued", "quemed")).await;
    assert!(matches!(error, LoadError::UnknownImport(_)), "{error}");
    // A function of the handler that is missing, and one with another type.
    let error = refused(renamed(&echo(), "messages", "mezzages")).await;
    assert!(matches!(error, LoadError::WrongTypes(_)), "{error}");
    assert!(error.to_string().contains("`messages`"), "{error}");
    let error = refused(renamed(&echo(), "\u{4}host\u{4}lost", "\u{4}host\u{4}gone")).await;
    assert!(matches!(error, LoadError::WrongTypes(_)), "{error}");
    assert!(error.hint().unwrap().contains("SDK"));
    // A handler without anything in it, of both kinds.
    for name in [PLAIN, ASYNCHRONOUS] {
        let error = refused(hollow(&[name], 0)).await;
        assert!(matches!(error, LoadError::WrongTypes(_)), "{error}");
    }
}

#[tokio::test]
async fn a_component_that_no_compiler_takes_is_refused() {
    // It exports an instance that it does not have.
    let error = refused(hollow(&[PLAIN], 7)).await;
    assert!(matches!(error, LoadError::Compile(_)), "{error}");
}

#[tokio::test]
async fn a_component_that_does_not_start_is_refused_when_it_is_loaded() {
    let mut config = config();
    config.instance.memory_bytes = 64 * 1024;
    let error = RUNTIME.load_alone(&config, echo()).await.unwrap_err();
    assert!(matches!(error, LoadError::Start(_)), "{error}");
    assert!(error.to_string().contains("memory_bytes"), "{error}");
    assert!(error.hint().unwrap().contains("memory_bytes"));
}

#[tokio::test]
async fn a_component_at_its_size_and_past_it() {
    let component = echo();
    let limited = |component_bytes| {
        let options = RuntimeOptions {
            instances: 1,
            component_bytes,
            ..RuntimeOptions::new(&ServerConfig::default(), None)
        };
        Arc::new(Runtime::new(options).unwrap())
    };
    let at = limited(component.len());
    at.load_alone(&config(), component.clone()).await.unwrap();
    let past = limited(component.len() - 1);
    let error = past.load_alone(&config(), component).await.unwrap_err();
    assert!(matches!(error, LoadError::TooBig { .. }), "{error}");
    assert!(error.to_string().contains("component_bytes"), "{error}");
}

#[tokio::test]
async fn a_component_whose_compiling_takes_too_long_is_refused_and_the_next_one_waits() {
    let options = RuntimeOptions {
        instances: 1,
        compile_timeout: std::time::Duration::from_millis(1),
        ..RuntimeOptions::new(&ServerConfig::default(), None)
    };
    let runtime = Arc::new(Runtime::new(options).unwrap());
    let config = config();
    let load = || runtime.load_alone(&config, echo());
    // Both are refused, the second after it has waited for the first one's
    // compilation, which nothing can stop.
    let (first, second) = tokio::join!(load(), load());
    for error in [first.unwrap_err(), second.unwrap_err()] {
        assert!(matches!(error, LoadError::CompileTimeout(_)), "{error}");
    }
}

#[tokio::test]
async fn the_samples_are_what_they_say() {
    for (path, style) in [
        (openline_guests::ECHO, CallStyle::Plain),
        (openline_guests::CHAT, CallStyle::Plain),
        (openline_guests::COUNTER, CallStyle::Plain),
        (openline_guests::ECHO_ASYNC, CallStyle::Async),
        (openline_guests::FAULT_SLEEP, CallStyle::Async),
    ] {
        let contract = inspect(&fs::read(path).unwrap()).unwrap();
        assert_eq!(
            contract.handlers.get(Handler::WebSocket),
            Some(style),
            "{path}"
        );
        let connections = "openline:websocket/connections@0.2.0";
        assert!(contract.imports.iter().any(|import| import == connections));
    }
    let contract = RUNTIME.check(echo()).await.unwrap();
    assert_eq!(contract, inspect(&echo()).unwrap());
}

/// Where the sections of a component end, and which of these ends come after
/// the one that exports the handler.
fn section_ends(component: &[u8]) -> Vec<(usize, bool)> {
    let (mut place, mut exported, mut ends) = (COMPONENT.len(), false, Vec::new());
    while place < component.len() {
        let exports = component[place] == 11;
        let (mut size, mut shift) = (0, 0);
        loop {
            place += 1;
            size |= usize::from(component[place] & 0x7f) << shift;
            shift += 7;
            if component[place] & 0x80 == 0 {
                break;
            }
        }
        let section = &component[place..][..=size];
        let handler = b"openline:websocket/websocket-handler@0.2.0";
        exported |= exports && section.windows(handler.len()).any(|name| name == handler);
        place += 1 + size;
        ends.push((place, exported));
    }
    ends
}

#[tokio::test]
async fn a_component_that_is_cut_off_anywhere_is_refused() {
    let whole = echo();
    let ends = section_ends(&whole);
    assert_eq!(ends.last(), Some(&(whole.len(), true)));
    for cut in 0..whole.len() {
        // If only trailing sections for tools are cut off, the rest is a valid
        // component.
        let complete = ends.contains(&(cut, true));
        assert_eq!(inspect(&whole[..cut]).is_ok(), complete, "cut at {cut}");
    }
    // The same with the compiler, at fewer places: at each end of a section,
    // next to it, and some in between.
    let beside = ends.iter().flat_map(|(end, _)| [end - 1, *end, end + 1]);
    let between = (0..whole.len()).step_by(whole.len() / 50);
    for cut in beside.chain(between).filter(|cut| *cut < whole.len()) {
        if !ends.contains(&(cut, true)) {
            refused(whole[..cut].to_vec()).await;
        }
    }
}

/// Random numbers, the same ones in each run (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(bound).unwrap()).unwrap()
    }

    /// The component with one to four bits of its first bytes turned.
    fn damaged(&mut self, component: &[u8], bytes: usize) -> Vec<u8> {
        let mut damaged = component.to_vec();
        for _ in 0..=self.below(4) {
            damaged[self.below(bytes)] ^= 1 << self.below(8);
        }
        damaged
    }
}

#[test]
fn whatever_is_read_of_a_damaged_component_nothing_panics() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let whole = echo();
    let refused = (0..20_000).filter(|round| {
        let bytes = if round % 2 == 0 { 1024 } else { whole.len() };
        inspect(&random.damaged(&whole, bytes)).is_err()
    });
    // Some of the damage is in names and types, which are not read here.
    assert!(refused.count() > 1000);
}

#[tokio::test]
async fn whatever_is_loaded_of_a_damaged_component_nothing_panics() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for path in [openline_guests::ECHO, openline_guests::ECHO_ASYNC] {
        let whole = fs::read(path).unwrap();
        let mut refused = 0;
        // First its types and names; then, at fewer places, all of it,
        // including code.
        let first = std::iter::repeat_n(1024, 300);
        for bytes in first.chain(std::iter::repeat_n(whole.len(), 20)) {
            let damaged = random.damaged(&whole, bytes);
            if let Err(error) = RUNTIME.load_alone(&config(), damaged).await {
                assert!(!matches!(error, LoadError::Host(_)), "{error}");
                refused += 1;
            }
        }
        assert!(refused > 200, "only {refused} were refused");
    }
    // The runtime still works.
    RUNTIME.load_alone(&config(), echo()).await.unwrap();
}
