//! Limits while an instance is made: the component's own start code computes,
//! recurses, grows, and so on, before any handler is called. The components are
//! written here byte by byte, because no compiler makes such ones on purpose.

use std::sync::Arc;
use std::time::Duration;

use openline_core::config::{FunctionConfig, ServerConfig};
use openline_core::limits::{FunctionLimits, InstancePolicy};
use openline_core::name::FunctionName;
use openline_core::route::Route;
use openline_engine::LoadError;
use openline_engine::runtime::{Runtime, RuntimeOptions};

const PLAIN: &str = "openline:websocket/websocket-handler@0.2.0";
/// Longer than any test waits.
const NEVER: Duration = Duration::from_secs(600);

// Bodies of the start function: instructions without the final `end`.

const NOTHING: &[u8] = &[];
const TRAP: &[u8] = &[0x00];
/// `loop br 0 end`
const COMPUTE: &[u8] = &[0x03, 0x40, 0x0c, 0, 0x0b];
/// `call 0`, which is this function.
const RECURSE: &[u8] = &[0x10, 0];
/// `loop (memory.grow 16) drop br 0 end`
const GROW: &[u8] = &[0x03, 0x40, 0x41, 16, 0x40, 0, 0x1a, 0x0c, 0, 0x0b];

/// Grows table 0 by this many elements, and traps if that fails.
fn grow_table(elements: u8) -> Vec<u8> {
    assert!(elements < 64, "one byte of a signed number");
    let grow = [0xd0, 0x70, 0x41, elements, 0xfc, 0x0f, 0];
    let trap_if_refused = [0x41, 0x7f, 0x46, 0x04, 0x40, 0x00, 0x0b];
    [grow, trap_if_refused].concat()
}

/// A section, or anything else that begins with its size.
fn sized(kind: u8, content: &[u8]) -> Vec<u8> {
    let size = u16::try_from(content.len()).unwrap();
    assert!(size < 1 << 14);
    let low = u8::try_from(size & 0x7f).unwrap() | 0x80;
    let high = u8::try_from(size >> 7).unwrap();
    [&[kind, low, high], content].concat()
}

fn name(name: &str) -> Vec<u8> {
    let mut bytes = vec![u8::try_from(name.len()).unwrap()];
    bytes.extend(name.bytes());
    bytes
}

/// A module with a table of this many elements and a memory of one page, which
/// runs `body` at instantiation and exports a function `f`.
fn module(table_elements: u8, body: &[u8]) -> Vec<u8> {
    let start = [&[0], body, &[0x0b]].concat();
    let size = u8::try_from(start.len()).unwrap();
    let code = [&[2, size], &*start, &[2, 0, 0x0b]].concat();
    [
        b"\0asm\x01\0\0\0".to_vec(),
        sized(1, &[1, 0x60, 0, 0]),
        sized(3, &[2, 0, 0]),
        sized(4, &[1, 0x70, 0, table_elements]),
        sized(5, &[1, 0, 1]),
        sized(7, &[&[1], &*name("f"), &[0, 1]].concat()),
        sized(8, &[0]),
        sized(10, &code),
    ]
    .concat()
}

/// A component of one module, whose handler has the right names and the wrong
/// types, so that it is refused after it has started.
fn component(table_elements: u8, body: &[u8]) -> Vec<u8> {
    let alias = [&[1, 0, 0, 1, 0], &*name("f")].concat();
    let functions = ["upgrade", "open", "messages", "close"];
    let exports: Vec<u8> = functions
        .iter()
        .flat_map(|function| [&[0], &*name(function), &[1, 0]].concat())
        .collect();
    [
        b"\0asm\x0d\0\x01\0".to_vec(),
        sized(1, &module(table_elements, body)),
        sized(2, &[1, 0, 0, 0]),
        sized(6, &alias),
        sized(7, &[1, 0x40, 0, 1, 0]),
        sized(8, &[1, 0, 0, 0, 0, 0]),
        sized(5, &[&[1, 1, 4], &*exports].concat()),
        sized(11, &[&[1, 0], &*name(PLAIN), &[5, 0, 0]].concat()),
    ]
    .concat()
}

struct Start {
    limit: FunctionLimits,
    instance: InstancePolicy,
}

impl Start {
    fn with(limit: impl FnOnce(&mut FunctionLimits)) -> Self {
        let mut start = Self {
            limit: FunctionLimits::default(),
            instance: InstancePolicy::default(),
        };
        limit(&mut start.limit);
        start
    }

    fn instance(mut self, instance: impl FnOnce(&mut InstancePolicy)) -> Self {
        instance(&mut self.instance);
        self
    }

    /// Loads it, and returns why it is not a function.
    async fn refused(&self, component: Vec<u8>) -> LoadError {
        let options = RuntimeOptions {
            instances: 1,
            ..RuntimeOptions::new(&ServerConfig::default(), None)
        };
        let runtime = Arc::new(Runtime::new(options).unwrap());
        let name = FunctionName::new("starting").unwrap();
        let config = FunctionConfig {
            instance: self.instance.clone(),
            limit: self.limit.clone(),
            ..FunctionConfig::new(name, None, Route::new("/starting").unwrap())
        };
        let error = runtime.load_alone(&config, component).await.unwrap_err();
        assert_eq!(runtime.instances(), 0);
        error
    }

    async fn fails(&self, component: Vec<u8>, with: &str) {
        let error = self.refused(component).await;
        assert!(matches!(error, LoadError::Start(_)), "{error}");
        assert!(error.to_string().contains(with), "`{with}`: {error}");
    }

    /// It starts, and is refused only for its types.
    async fn succeeds(&self, component: Vec<u8>) {
        let error = self.refused(component).await;
        assert!(matches!(error, LoadError::WrongTypes(_)), "{error}");
    }
}

#[tokio::test]
async fn what_an_instance_does_while_it_is_made_has_the_limits_of_a_call() {
    let usual = Start::with(|_| {});
    usual.succeeds(component(1, NOTHING)).await;
    usual.fails(component(1, TRAP), "trap").await;
    usual.fails(component(1, COMPUTE), "cpu_timeout").await;
    usual.fails(component(1, RECURSE), "stack overflow").await;
    usual.fails(component(1, GROW), "memory_bytes").await;
    let late = Start::with(|limit| {
        limit.cpu_timeout = NEVER;
        limit.handler_timeout = Duration::from_millis(100);
    });
    late.fails(component(1, COMPUTE), "handler_timeout").await;
    let metered = Start::with(|limit| {
        limit.fuel_per_event = 100_000;
        limit.cpu_timeout = NEVER;
        limit.handler_timeout = NEVER;
    });
    metered.fails(component(1, COMPUTE), "fuel_per_event").await;
    metered.succeeds(component(1, NOTHING)).await;
}

#[tokio::test]
async fn the_tables_of_an_instance_have_their_elements_and_not_one_more() {
    let ten = Start::with(|_| {}).instance(|instance| instance.table_elements = 10);
    ten.succeeds(component(10, NOTHING)).await;
    let error = ten.refused(component(11, NOTHING)).await;
    assert!(matches!(error, LoadError::Start(_)), "{error}");
    // Growing fails, and the guest goes on; this one then traps.
    ten.succeeds(component(4, &grow_table(6))).await;
    ten.fails(component(4, &grow_table(7)), "trap").await;
}
