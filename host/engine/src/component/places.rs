//! How many places in the engines' pools an instance takes.
//!
//! Nearly all take one. A component that needs more memories, tables or stacks
//! than a place has takes several, so that it cannot use up the places of
//! others.

/// Memories in one place: one of the component, and one of an adapter.
pub(crate) const MEMORIES_PER_PLACE: u32 = 2;
/// Tables in one place: of a module, its adapter, and the shims between them.
pub(crate) const TABLES_PER_PLACE: u32 = 4;

/// Stacks in one place, for asynchronous functions: one for a call that waits
/// in the only component instance that most have, and one for the call that
/// runs.
pub(crate) const STACKS_PER_PLACE: u32 = 2;

/// How many places an instance takes that needs this many memories, tables, and
/// stacks at once.
pub(crate) fn places(memories: u32, tables: u32, stacks: u32) -> u32 {
    let memories = memories.div_ceil(MEMORIES_PER_PLACE);
    let tables = tables.div_ceil(TABLES_PER_PLACE);
    let stacks = stacks.div_ceil(STACKS_PER_PLACE);
    memories.max(tables).max(stacks).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_follow_what_an_instance_needs_most_of() {
        for (memories, tables, stacks, needed) in [
            (0, 0, 0, 1),
            (1, 3, 1, 1),
            (2, 4, 2, 1),
            (3, 0, 1, 2),
            (0, 5, 1, 2),
            (1, 3, 3, 2),
            (16, 4, 2, 8),
            (2, 16, 2, 4),
            (2, 4, 17, 9),
        ] {
            let found = places(memories, tables, stacks);
            assert_eq!(found, needed, "{memories}, {tables}, {stacks}");
        }
    }
}
