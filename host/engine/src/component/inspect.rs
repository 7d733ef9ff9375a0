//! Finds out what a component exports and imports, and how large it is once
//! everything that it instantiates is expanded, without expanding or compiling
//! it.
//!
//! It walks the sections once, and keeps a stack of the components around the
//! current one. The limits of `openline_core::limits` on the parts of a
//! component bound it: the walk ends at the first limit that is passed, so its
//! own stack and its index spaces are bounded, too. It does not recurse.

use openline_core::limits::{
    COMPONENT_INSTANCES_MAX, COMPONENT_ITEMS_MAX, COMPONENT_NESTING_MAX, COMPONENTS_MAX,
    CORE_INSTANCES_MAX, CORE_ITEMS_MAX, CORE_MODULES_MAX, MEMORIES_MAX, TABLES_MAX,
};
use wasmparser::{
    BinaryReaderError, CanonicalFunction, ComponentAlias, ComponentExternalKind, ComponentInstance,
    ComponentOuterAliasKind, Encoding, Instance, Parser, Payload,
};

use super::error::LoadError;
use super::words;
use crate::contract::handlers::{Handlers, Unserved};

/// The facts about a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contract {
    /// The handlers it exports.
    pub handlers: Handlers,
    /// The interfaces it imports, in its order.
    pub imports: Vec<String>,
    /// How many component instances have functions of their own, once
    /// everything is expanded. In each, one asynchronous call at a time may
    /// wait with a stack of its own; others enter when that one has returned.
    pub lifting: u32,
}

impl Contract {
    /// Whether the component uses an interface of the contract.
    pub(crate) fn is_ours(&self) -> bool {
        let mut imports = self.imports.iter();
        self.handlers.has_own() || imports.any(|name| name.starts_with("openline:"))
    }
}

/// Inspects a component without compiling it.
pub fn inspect(bytes: &[u8]) -> Result<Contract, LoadError> {
    if !bytes.starts_with(b"\0asm") {
        return Err(LoadError::NotWasm);
    }
    let mut walk = Walk::default();
    for payload in Parser::new(0).parse_all(bytes) {
        walk.take(payload.map_err(damaged)?, bytes.len())?;
    }
    contract(walk)
}

fn contract(walk: Walk) -> Result<Contract, LoadError> {
    let Walk {
        exports,
        imports,
        lifting,
        ..
    } = walk;
    let handlers = Handlers::of(&exports).map_err(|unserved| match unserved {
        Unserved::NoHandler => LoadError::NoHandler(listed(&exports)),
        Unserved::BothHandlers => LoadError::BothHandlers,
        Unserved::NotCalled(exports) => LoadError::NotCalled(listed(&exports)),
    })?;
    Ok(Contract {
        handlers,
        imports,
        lifting: u32::try_from(lifting).unwrap_or(u32::MAX),
    })
}

/// Names for people, the first few.
fn listed(names: &[String]) -> String {
    let named = names
        .iter()
        .take(8)
        .map(|name| format!("`{}`", words::name(name)));
    let named: Vec<_> = named.collect();
    if named.is_empty() {
        "nothing".into()
    } else {
        named.join(", ")
    }
}

fn damaged(error: BinaryReaderError) -> LoadError {
    LoadError::Damaged(words::said(&error))
}

fn too_complex(most: u64, what: &'static str) -> LoadError {
    LoadError::TooComplex { most, what }
}

fn within(count: u64, most: u64, what: &'static str) -> Result<(), LoadError> {
    if count > most {
        return Err(too_complex(most, what));
    }
    Ok(())
}

/// The needs of one instance, with everything that is instantiated in it.
#[derive(Clone, Copy, Debug, Default)]
struct Expanded {
    instances: u64,
    /// The instances among them that have functions of their own.
    lifting: u64,
    core_instances: u64,
    memories: u64,
    tables: u64,
    items: u64,
}

/// A component or a core module that an index leads to; `None` if it comes from
/// outside the component, through an import or an instance.
type Known = Option<Expanded>;

/// A component whose sections are being read.
#[derive(Debug, Default)]
struct Scope {
    own: Expanded,
    /// Whether it has functions of its own.
    lifts: bool,
    components: Vec<Known>,
    modules: Vec<Known>,
}

#[derive(Debug)]
enum Frame {
    Component(Scope),
    Module(Expanded),
}

/// How far the reading has come.
#[derive(Debug, Default)]
struct Walk {
    /// The components around the current one, the outermost first; a core
    /// module contains none.
    stack: Vec<Frame>,
    exports: Vec<String>,
    imports: Vec<String>,
    /// The `lifting` of the outermost component.
    lifting: u64,
    components: u64,
    modules: u64,
    core_items: u64,
}

impl Walk {
    fn take(&mut self, payload: Payload<'_>, length: usize) -> Result<(), LoadError> {
        match payload {
            Payload::Version { encoding, .. } => self.begin(encoding)?,
            Payload::End(_) => self.end()?,
            Payload::ModuleSection {
                unchecked_range, ..
            }
            | Payload::ComponentSection {
                unchecked_range, ..
            } => {
                // The parser does not check that a nested component ends before
                // the file does.
                if unchecked_range.end > length {
                    return Err(LoadError::Damaged("it ends too early".into()));
                }
            }
            other => match self.stack.last() {
                Some(Frame::Module(_)) => self.section_of_module(&other)?,
                _ => self.section_of_component(other)?,
            },
        }
        Ok(())
    }

    fn begin(&mut self, encoding: Encoding) -> Result<(), LoadError> {
        match encoding {
            Encoding::Module if self.stack.is_empty() => return Err(LoadError::CoreModule),
            Encoding::Module => {
                self.modules += 1;
                within(self.modules, CORE_MODULES_MAX, "core modules")?;
                self.stack.push(Frame::Module(Expanded {
                    core_instances: 1,
                    ..Expanded::default()
                }));
            }
            Encoding::Component => {
                if self.stack.len() > COMPONENT_NESTING_MAX {
                    let what = "levels of nested components";
                    return Err(too_complex(COMPONENT_NESTING_MAX as u64, what));
                }
                if !self.stack.is_empty() {
                    self.components += 1;
                    within(self.components, COMPONENTS_MAX, "nested components")?;
                }
                let own = Expanded {
                    instances: 1,
                    ..Expanded::default()
                };
                self.stack.push(Frame::Component(Scope {
                    own,
                    ..Scope::default()
                }));
            }
        }
        Ok(())
    }

    /// Ends a component, and adds it to the one around it.
    fn end(&mut self) -> Result<(), LoadError> {
        let mut ended = self.stack.pop();
        if let Some(Frame::Component(scope)) = &mut ended {
            scope.own.lifting += u64::from(scope.lifts);
            self.lifting = scope.own.lifting;
        }
        let Some(Frame::Component(around)) = self.stack.last_mut() else {
            return Ok(());
        };
        match ended {
            Some(Frame::Component(scope)) => around.components.push(Some(scope.own)),
            Some(Frame::Module(module)) => around.modules.push(Some(module)),
            None => {}
        }
        around.add(Expanded {
            items: 1,
            ..Expanded::default()
        })
    }

    fn section_of_module(&mut self, payload: &Payload<'_>) -> Result<(), LoadError> {
        let items = match payload {
            Payload::TypeSection(section) => section.count(),
            Payload::ImportSection(section) => section.count(),
            Payload::FunctionSection(section) => section.count(),
            Payload::TableSection(section) => section.count(),
            Payload::MemorySection(section) => section.count(),
            Payload::TagSection(section) => section.count(),
            Payload::GlobalSection(section) => section.count(),
            Payload::ExportSection(section) => section.count(),
            Payload::ElementSection(section) => section.count(),
            Payload::DataSection(section) => section.count(),
            _ => 0,
        };
        self.core_items += u64::from(items);
        within(self.core_items, CORE_ITEMS_MAX, "items in its core modules")?;
        if let Some(Frame::Module(module)) = self.stack.last_mut() {
            match payload {
                Payload::TableSection(_) => module.tables += u64::from(items),
                Payload::MemorySection(_) => module.memories += u64::from(items),
                _ => {}
            }
        }
        Ok(())
    }

    fn section_of_component(&mut self, payload: Payload<'_>) -> Result<(), LoadError> {
        let outermost = self.stack.len() == 1;
        let Some(Frame::Component(scope)) = self.stack.last_mut() else {
            return Ok(());
        };
        match payload {
            Payload::CoreTypeSection(section) => scope.items(section.count()),
            Payload::ComponentTypeSection(section) => scope.items(section.count()),
            Payload::ComponentCanonicalSection(section) => {
                scope.items(section.count())?;
                for function in section {
                    let function = function.map_err(damaged)?;
                    scope.lifts |= matches!(function, CanonicalFunction::Lift { .. });
                }
                Ok(())
            }
            Payload::InstanceSection(section) => {
                scope.items(section.count())?;
                for instance in section {
                    if let Instance::Instantiate { module_index, .. } = instance.map_err(damaged)? {
                        scope.add(known(&scope.modules, module_index)?)?;
                    }
                }
                Ok(())
            }
            Payload::ComponentInstanceSection(section) => {
                scope.items(section.count())?;
                for instance in section {
                    if let ComponentInstance::Instantiate {
                        component_index, ..
                    } = instance.map_err(damaged)?
                    {
                        scope.add(known(&scope.components, component_index)?)?;
                    }
                }
                Ok(())
            }
            Payload::ComponentImportSection(section) => {
                scope.items(section.count())?;
                for import in section {
                    let import = import.map_err(damaged)?;
                    scope.unknown(import.ty.kind());
                    if outermost {
                        self.imports.push(import.name.name.to_owned());
                    }
                }
                Ok(())
            }
            Payload::ComponentExportSection(section) => {
                scope.items(section.count())?;
                for export in section {
                    let export = export.map_err(damaged)?;
                    scope.again(export.kind, export.index)?;
                    if outermost {
                        self.exports.push(export.name.name.to_owned());
                    }
                }
                Ok(())
            }
            Payload::ComponentAliasSection(section) => {
                scope.items(section.count())?;
                for alias in section {
                    self.alias(&alias.map_err(damaged)?)?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn alias(&mut self, alias: &ComponentAlias<'_>) -> Result<(), LoadError> {
        let (kind, outward, index) = match alias {
            ComponentAlias::InstanceExport { kind, .. } => {
                if let Some(Frame::Component(scope)) = self.stack.last_mut() {
                    scope.unknown(*kind);
                }
                return Ok(());
            }
            ComponentAlias::CoreInstanceExport { .. } => return Ok(()),
            ComponentAlias::Outer { kind, count, index } => (kind, *count as usize, *index),
        };
        let place = self.stack.len().checked_sub(outward.saturating_add(1));
        let found = match place.and_then(|place| self.stack.get(place)) {
            Some(Frame::Component(outer)) => match kind {
                ComponentOuterAliasKind::CoreModule => at(&outer.modules, index)?,
                ComponentOuterAliasKind::Component => at(&outer.components, index)?,
                _ => return Ok(()),
            },
            _ => return Err(LoadError::Damaged("an alias leads nowhere".into())),
        };
        if let Some(Frame::Component(scope)) = self.stack.last_mut() {
            match kind {
                ComponentOuterAliasKind::CoreModule => scope.modules.push(found),
                _ => scope.components.push(found),
            }
        }
        Ok(())
    }
}

fn at(space: &[Known], index: u32) -> Result<Known, LoadError> {
    let found = space.get(index as usize).copied();
    found.ok_or_else(|| LoadError::Damaged(format!("there is nothing of index {index}")))
}

/// The component or module of an instance. One from outside could be anything,
/// and a chain of these could double in the same way as nested components.
fn known(space: &[Known], index: u32) -> Result<Expanded, LoadError> {
    at(space, index)?.ok_or(LoadError::NotContained)
}

// === impl Scope ===

impl Scope {
    fn items(&mut self, count: u32) -> Result<(), LoadError> {
        self.add(Expanded {
            items: count.into(),
            ..Expanded::default()
        })
    }

    /// Adds an instance to its counts. Each sum is at most twice its limit.
    fn add(&mut self, more: Expanded) -> Result<(), LoadError> {
        let own = &mut self.own;
        own.instances += more.instances;
        // Never more than the instances.
        own.lifting += more.lifting;
        own.core_instances += more.core_instances;
        own.memories += more.memories;
        own.tables += more.tables;
        own.items += more.items;
        within(own.instances, COMPONENT_INSTANCES_MAX, "instances")?;
        within(own.core_instances, CORE_INSTANCES_MAX, "core instances")?;
        within(own.memories, MEMORIES_MAX, "memories")?;
        within(own.tables, TABLES_MAX, "tables")?;
        within(own.items, COMPONENT_ITEMS_MAX, "items")
    }

    /// Gives the next index to something from outside.
    fn unknown(&mut self, kind: ComponentExternalKind) {
        match kind {
            ComponentExternalKind::Module => self.modules.push(None),
            ComponentExternalKind::Component => self.components.push(None),
            _ => {}
        }
    }

    /// An export has an index of its own.
    fn again(&mut self, kind: ComponentExternalKind, index: u32) -> Result<(), LoadError> {
        match kind {
            ComponentExternalKind::Module => {
                let found = at(&self.modules, index)?;
                self.modules.push(found);
            }
            ComponentExternalKind::Component => {
                let found = at(&self.components, index)?;
                self.components.push(found);
            }
            _ => {}
        }
        Ok(())
    }
}
