//! Components at each bound and past it, written byte by byte.

use openline_core::limits::{
    COMPONENT_INSTANCES_MAX, COMPONENT_ITEMS_MAX, COMPONENT_NESTING_MAX, COMPONENTS_MAX,
    CORE_INSTANCES_MAX, CORE_ITEMS_MAX, CORE_MODULES_MAX, MEMORIES_MAX, TABLES_MAX,
};

use crate::component::error::LoadError;
use crate::component::inspect::inspect;

const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
const MODULE: &[u8] = b"\0asm\x01\0\0\0";

fn leb(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let byte = u8::try_from(number & 0x7f).unwrap();
        number >>= 7;
        if number == 0 {
            bytes.push(byte);
            return bytes;
        }
        bytes.push(byte | 0x80);
    }
}

fn section(id: u8, content: &[u8]) -> Vec<u8> {
    let length = leb(u64::try_from(content.len()).unwrap());
    [&[id], length.as_slice(), content].concat()
}

/// A section with this many equal items.
fn items(id: u8, count: u64, item: &[u8]) -> Vec<u8> {
    let each = item.repeat(usize::try_from(count).unwrap());
    section(id, &[leb(count), each].concat())
}

/// A section that claims to have this many items.
fn claim(id: u8, count: u64) -> Vec<u8> {
    section(id, &leb(count))
}

fn component(sections: &[Vec<u8>]) -> Vec<u8> {
    [COMPONENT, &sections.concat()].concat()
}

fn nested(component: &[u8]) -> Vec<u8> {
    section(4, component)
}

fn module(sections: &[Vec<u8>]) -> Vec<u8> {
    section(1, &[MODULE, &sections.concat()].concat())
}

/// This many instances of the component with this index.
fn instances(count: u64, index: u8) -> Vec<u8> {
    items(5, count, &[0, index, 0])
}

/// This many instances of the core module with this index.
fn core_instances(count: u64, index: u8) -> Vec<u8> {
    items(2, count, &[0, index, 0])
}

/// Checks that it is within all bounds: its only fault is that it exports no
/// handler.
fn fits(bytes: &[u8]) {
    let error = inspect(bytes).unwrap_err();
    assert!(matches!(error, LoadError::NoHandler(_)), "{error}");
}

fn is_past(bytes: &[u8], most: u64, what: &str) {
    let error = inspect(bytes).unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with(&format!("more than {most} {what}")),
        "{error}"
    );
    assert!(matches!(error, LoadError::TooComplex { .. }), "{error}");
}

fn levels(count: usize) -> Vec<u8> {
    let mut made = component(&[]);
    for _ in 0..count {
        made = component(&[nested(&made)]);
    }
    made
}

#[test]
fn nesting() {
    fits(&levels(COMPONENT_NESTING_MAX));
    let most = u64::try_from(COMPONENT_NESTING_MAX).unwrap();
    let what = "levels of nested components";
    is_past(&levels(COMPONENT_NESTING_MAX + 1), most, what);
    is_past(&levels(2_000), most, what);
}

#[test]
fn nested_components_and_core_modules() {
    let components = |count: u64| {
        let one = nested(COMPONENT);
        component(&[one.repeat(usize::try_from(count).unwrap())])
    };
    fits(&components(COMPONENTS_MAX));
    is_past(
        &components(COMPONENTS_MAX + 1),
        COMPONENTS_MAX,
        "nested components",
    );
    let modules = |count: u64| component(&[module(&[]).repeat(usize::try_from(count).unwrap())]);
    fits(&modules(CORE_MODULES_MAX));
    is_past(
        &modules(CORE_MODULES_MAX + 1),
        CORE_MODULES_MAX,
        "core modules",
    );
}

#[test]
fn instances_are_counted_as_often_as_they_are_made() {
    // The outermost component counts as one.
    let flat = |count| component(&[nested(COMPONENT), instances(count, 0)]);
    fits(&flat(COMPONENT_INSTANCES_MAX - 1));
    let past = |bytes: &[u8]| is_past(bytes, COMPONENT_INSTANCES_MAX, "instances");
    past(&flat(COMPONENT_INSTANCES_MAX));
    // Each level doubles what is below it.
    let doubled = |levels: usize| {
        let mut made = component(&[]);
        for _ in 0..levels {
            made = component(&[nested(&made), instances(2, 0)]);
        }
        made
    };
    fits(&doubled(8));
    past(&doubled(9));
    past(&doubled(COMPONENT_NESTING_MAX));
}

#[test]
fn what_an_alias_or_an_export_leads_to_is_counted() {
    let past = |bytes: &[u8]| is_past(bytes, COMPONENT_INSTANCES_MAX, "instances");
    // Side by side, each component makes two instances of the one before.
    let beside = |count: u8| {
        let mut sections = vec![nested(COMPONENT)];
        for before in 0..count {
            let outer = section(6, &[1, 4, 2, 1, before]);
            sections.push(nested(&component(&[outer, instances(2, 0)])));
        }
        sections.push(instances(1, count));
        component(&sections)
    };
    fits(&beside(8));
    past(&beside(9));
    past(&beside(60));
    // An export has an index of its own.
    let export = section(11, &[1, 0, 1, b'a', 4, 0, 0]);
    let exported = |count| component(&[nested(COMPONENT), export.clone(), instances(count, 1)]);
    fits(&exported(COMPONENT_INSTANCES_MAX - 1));
    past(&exported(COMPONENT_INSTANCES_MAX));
}

#[test]
fn what_is_given_to_a_component_cannot_be_instantiated_in_it() {
    let given_component = section(10, &[1, 0, 1, b'a', 4, 0]);
    let given_module = section(10, &[1, 0, 1, b'a', 0, 0x11, 0]);
    let of_instance = section(6, &[1, 4, 0, 0, 1, b'a']);
    let module_of_instance = section(6, &[1, 0, 0x11, 0, 0, 1, b'a']);
    for (given, made) in [
        (given_component, instances(1, 0)),
        (given_module, core_instances(1, 0)),
        (of_instance, instances(1, 0)),
        (module_of_instance, core_instances(1, 0)),
    ] {
        fits(&component(&[nested(&component(std::slice::from_ref(
            &given,
        )))]));
        let bytes = component(&[nested(&component(&[given, made]))]);
        let error = inspect(&bytes).unwrap_err();
        assert!(matches!(error, LoadError::NotContained), "{error}");
    }
}

#[test]
fn an_index_that_leads_nowhere_is_damage() {
    for bytes in [
        component(&[instances(1, 0)]),
        component(&[core_instances(1, 0)]),
        component(&[section(6, &[1, 4, 2, 0, 0])]),
        component(&[section(6, &[1, 4, 2, 9, 0])]),
        component(&[section(11, &[1, 0, 1, b'a', 4, 7, 0])]),
    ] {
        let error = inspect(&bytes).unwrap_err();
        assert!(matches!(error, LoadError::Damaged(_)), "{error}");
    }
}

#[test]
fn core_instances_memories_and_tables() {
    let made = |count| component(&[module(&[]), core_instances(count, 0)]);
    fits(&made(CORE_INSTANCES_MAX));
    let what = "core instances";
    is_past(&made(CORE_INSTANCES_MAX + 1), CORE_INSTANCES_MAX, what);
    for (id, item, most, what) in [
        (5, [0, 0].as_slice(), MEMORIES_MAX, "memories"),
        (4, &[0x70, 0, 0], TABLES_MAX, "tables"),
    ] {
        let holding = |each: u64, count: u64| {
            let module = module(&[items(id, each, item)]);
            component(&[module, core_instances(count, 0)])
        };
        fits(&holding(most, 1));
        is_past(&holding(most + 1, 1), most, what);
        fits(&holding(most / 2, 2));
        is_past(&holding(most / 2 + 1, 2), most, what);
        // In a component that is instantiated four times.
        let within = |each| component(&[nested(&holding(each, 1)), instances(4, 0)]);
        fits(&within(most / 4));
        is_past(&within(most / 4 + 1), most, what);
    }
}

#[test]
fn items_of_components_and_core_modules() {
    // Types of components; each nested one counts as one more item.
    let types = |count| component(&[claim(7, count)]);
    fits(&types(COMPONENT_ITEMS_MAX));
    is_past(
        &types(COMPONENT_ITEMS_MAX + 1),
        COMPONENT_ITEMS_MAX,
        "items",
    );
    let twice = |count| component(&[nested(&types(count)), instances(2, 0)]);
    fits(&twice(COMPONENT_ITEMS_MAX / 2 - 2));
    is_past(
        &twice(COMPONENT_ITEMS_MAX / 2),
        COMPONENT_ITEMS_MAX,
        "items",
    );
    let in_modules = |count: u64| {
        let half = module(&[claim(1, count / 2)]);
        let rest = module(&[claim(6, count - count / 2)]);
        component(&[half, rest])
    };
    fits(&in_modules(CORE_ITEMS_MAX));
    let what = "items in its core modules";
    is_past(&in_modules(CORE_ITEMS_MAX + 1), CORE_ITEMS_MAX, what);
}

#[test]
fn component_instances_that_have_functions_are_counted_expanded() {
    let one = std::fs::read(openline_guests::ECHO_ASYNC).unwrap();
    assert_eq!(inspect(&one).unwrap().lifting, 1);
    // A lifted function of type 0 without options, and an export with a
    // handler's name, so that the component is accepted.
    let lifts = component(&[section(8, &[1, 0, 0, 0, 0, 0])]);
    let handler = "openline:websocket/async-websocket-handler@0.2.0";
    let name = [
        &[0],
        leb(handler.len() as u64).as_slice(),
        handler.as_bytes(),
    ]
    .concat();
    let export = section(11, &[&[1], name.as_slice(), &[5, 0, 0]].concat());
    let lifting = |sections: &[Vec<u8>]| {
        let bytes = component(&[sections, std::slice::from_ref(&export)].concat());
        inspect(&bytes).unwrap().lifting
    };
    assert_eq!(lifting(&[]), 0);
    // A component that is not instantiated does not count.
    assert_eq!(lifting(&[nested(&lifts)]), 0);
    assert_eq!(lifting(&[nested(&lifts), instances(3, 0)]), 3);
    let twice = component(&[
        nested(&lifts),
        instances(2, 0),
        section(8, &[1, 0, 0, 0, 0, 0]),
    ]);
    assert_eq!(lifting(&[nested(&twice), instances(2, 0)]), 6);
}

#[test]
fn what_toolchains_make_is_far_within_the_bounds() {
    for (name, path) in openline_guests::ALL {
        let bytes = std::fs::read(path).unwrap();
        inspect(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}
