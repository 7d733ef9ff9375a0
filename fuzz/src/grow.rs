//! Components that could hurt a host: a real one, to which the input adds
//! nested components, modules, instances of both, memories, tables, types that
//! double, and large or deep functions.
//!
//! Everything is valid unless it passes a limit, so most inputs get as far as a
//! trial instance. Bounded by the input: an operation takes one or two bytes of
//! it, and makes at most some kilobytes.

use wasm_encoder::{
    BlockType, CodeSection, Component, ComponentInstanceSection, ComponentTypeSection,
    ComponentValType, ConstExpr, DataSection, Function, FunctionSection, InstanceSection,
    MemorySection, MemoryType, Module, ModuleArg, ModuleSection, NestedComponentSection,
    PrimitiveValType, RefType, TableSection, TableType, TypeSection, ValType,
};
use wasmparser::{Parser, Payload};

/// Counts and sizes at edges.
const COUNTS: [u32; 8] = [1, 2, 3, 8, 15, 16, 17, 64];
/// Pages of a memory, elements of a table, bytes of code.
const SIZES: [u32; 8] = [0, 1, 16, 255, 1_024, 4_096, 65_535, 1_000_000];
/// Deeper than any limit on nesting.
const DEPTH_MAX: usize = 40;

/// The bytes of the input, which make the choices.
struct Choices<'a>(&'a [u8]);

/// A component that is being written, and its content so far.
#[derive(Default)]
struct Scope {
    written: Component,
    modules: u32,
    components: u32,
    types: u32,
}

/// The base with the additions that the input chooses.
pub(crate) fn grown(base: &[u8], bytes: &[u8]) -> Vec<u8> {
    let mut choices = Choices(bytes);
    let mut scopes = vec![Scope::default()];
    while let Some(operation) = choices.next() {
        let deep = scopes.len() >= DEPTH_MAX;
        match operation % 10 {
            8 if !deep => scopes.push(Scope::default()),
            9 if scopes.len() > 1 => close(&mut scopes),
            other => {
                if let Some(scope) = scopes.last_mut() {
                    scope.add(other, &mut choices);
                }
            }
        }
    }
    while scopes.len() > 1 {
        close(&mut scopes);
    }
    let mut root = Component::new();
    for scope in &scopes {
        root.section(&NestedComponentSection(&scope.written));
    }
    let mut instances = ComponentInstanceSection::new();
    let nothing: [(&str, wasm_encoder::ComponentExportKind, u32); 0] = [];
    instances.instantiate(components(base), nothing);
    root.section(&instances);
    let header = Component::new().finish().len();
    [base, &root.finish()[header..]].concat()
}

/// Completes the innermost component.
fn close(scopes: &mut Vec<Scope>) {
    if let (Some(inner), Some(outer)) = (scopes.pop(), scopes.last_mut()) {
        outer
            .written
            .section(&NestedComponentSection(&inner.written));
        outer.components += 1;
    }
}

/// How many components a component has in its own index space, which is the
/// index of the next one.
fn components(base: &[u8]) -> u32 {
    let (mut depth, mut own) = (0, 0);
    for payload in Parser::new(0).parse_all(base) {
        match payload {
            Ok(Payload::ComponentSection { .. }) => {
                own += u32::from(depth == 0);
                depth += 1;
            }
            Ok(Payload::ModuleSection { .. }) => depth += 1,
            Ok(Payload::End(_)) if depth > 0 => depth -= 1,
            Ok(_) => {}
            Err(_) => break,
        }
    }
    own
}

impl Choices<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn of<T: Copy>(&mut self, all: &[T; 8]) -> T {
        all[usize::from(self.next().unwrap_or(0)) % 8]
    }
}

impl Scope {
    fn add(&mut self, operation: u8, choices: &mut Choices<'_>) {
        let any = |count: u32, choices: &mut Choices<'_>| {
            u32::from(choices.next().unwrap_or(0)) % count.max(1)
        };
        match operation {
            0 => self.module(&memories(choices.of(&COUNTS), choices.of(&SIZES))),
            1 => self.module(&tables(choices.of(&COUNTS), choices.of(&SIZES))),
            2 => self.module(&large_function(choices.of(&SIZES))),
            3 => self.module(&deep_function(choices.of(&SIZES))),
            4 => self.module(&functions(choices.of(&SIZES).min(4_096))),
            5 if self.modules > 0 => {
                let module = any(self.modules, choices);
                let mut instances = InstanceSection::new();
                for _ in 0..choices.of(&COUNTS) {
                    let nothing: [(&str, ModuleArg); 0] = [];
                    instances.instantiate(module, nothing);
                }
                self.written.section(&instances);
            }
            6 if self.components > 0 => {
                let component = any(self.components, choices);
                let mut instances = ComponentInstanceSection::new();
                for _ in 0..choices.of(&COUNTS) {
                    let nothing: [(&str, wasm_encoder::ComponentExportKind, u32); 0] = [];
                    instances.instantiate(component, nothing);
                }
                self.written.section(&instances);
            }
            _ => self.doubling_types(choices.of(&COUNTS)),
        }
    }

    fn module(&mut self, module: &Module) {
        self.written.section(&ModuleSection(module));
        self.modules += 1;
    }

    /// Types, each of which is a pair of the one before.
    fn doubling_types(&mut self, count: u32) {
        let mut types = ComponentTypeSection::new();
        let unit = ComponentValType::Primitive(PrimitiveValType::U64);
        types.defined_type().tuple([unit, unit]);
        for number in 0..count {
            let before = ComponentValType::Type(self.types + number);
            types.defined_type().tuple([before, before]);
        }
        self.types += 1 + count;
        self.written.section(&types);
    }
}

fn memories(count: u32, pages: u32) -> Module {
    let mut memories = MemorySection::new();
    for _ in 0..count {
        memories.memory(MemoryType {
            minimum: u64::from(pages.min(65_536)),
            maximum: None,
            memory64: false,
            shared: false,
            page_size_log2: None,
        });
    }
    let mut data = DataSection::new();
    if pages > 0 {
        data.active(0, &ConstExpr::i32_const(0), [1; 1_024]);
    }
    let mut module = Module::new();
    module.section(&memories).section(&data);
    module
}

fn tables(count: u32, elements: u32) -> Module {
    let mut tables = TableSection::new();
    for _ in 0..count {
        tables.table(TableType {
            element_type: RefType::FUNCREF,
            table64: false,
            minimum: elements.into(),
            maximum: None,
            shared: false,
        });
    }
    let mut module = Module::new();
    module.section(&tables);
    module
}

/// One function with this many additions, and as many locals.
fn large_function(size: u32) -> Module {
    let mut function = Function::new([(size.min(50_000), ValType::I64)]);
    for _ in 0..size.min(4_096) {
        let mut code = function.instructions();
        code.i32_const(7).i32_const(3).i32_add().drop();
    }
    function.instructions().end();
    module_of([function])
}

/// Blocks within blocks, and at the bottom a branch to any of them.
fn deep_function(size: u32) -> Module {
    let depth = size.min(4_096);
    let mut function = Function::new([]);
    let mut code = function.instructions();
    for _ in 0..depth {
        code.block(BlockType::Empty);
    }
    let all: Vec<u32> = (0..depth).collect();
    code.i32_const(0).br_table(all, depth);
    for _ in 0..=depth {
        code.end();
    }
    module_of([function])
}

fn functions(count: u32) -> Module {
    module_of((0..count).map(|_| {
        let mut function = Function::new([]);
        function.instructions().end();
        function
    }))
}

fn module_of(bodies: impl IntoIterator<Item = Function>) -> Module {
    let (mut functions, mut code) = (FunctionSection::new(), CodeSection::new());
    for body in bodies {
        functions.function(0);
        code.function(&body);
    }
    let mut types = TypeSection::new();
    types.ty().function([], []);
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&code);
    module
}
