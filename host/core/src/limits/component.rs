//! Limits on the parts of a component. They are the same for all components,
//! and checked before one is compiled.
//!
//! A component can instantiate its parts more than once on each level of
//! nesting: fifty bytes a level double everything below it, and a compiler
//! expands everything before it checks a limit of its own. Where it makes a
//! difference, these limits therefore count the parts after expansion.

/// Levels of components within components. Toolchains make one, and each
/// composition adds one.
pub const COMPONENT_NESTING_MAX: usize = 16;
/// Components within the file. Toolchains make one for each exported
/// interface.
pub const COMPONENTS_MAX: u64 = 1_000;
/// Core modules within the file: a language's runtime, its libraries, adapters
/// and the shims between them. There can be no more instances of them.
pub const CORE_MODULES_MAX: u64 = 64;
/// Instances of components, expanded.
pub const COMPONENT_INSTANCES_MAX: u64 = 1_000;
/// Instances of core modules, expanded: the module, the adapter, the shims
/// between them, and as many for languages that link several modules. Python
/// has ten.
pub const CORE_INSTANCES_MAX: u64 = 16;
/// Linear memories of all core instances. Nearly all components have one.
pub const MEMORIES_MAX: u64 = 16;
/// Tables of all core instances. Most components have two or three.
pub const TABLES_MAX: u64 = 16;
/// Types, imports, exports, aliases, instances and functions of components,
/// expanded. A JavaScript runtime has under two thousand; each takes the
/// compiler up to a kilobyte.
pub const COMPONENT_ITEMS_MAX: u64 = 100_000;
/// Types, imports, exports, functions, globals and segments of all core
/// modules within the file. A JavaScript runtime has 30,000, and each takes
/// the host about a hundred bytes.
pub const CORE_ITEMS_MAX: u64 = 1_000_000;
