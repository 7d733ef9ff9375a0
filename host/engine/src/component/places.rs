//! What an instance takes of the engines' pools, in places.
//!
//! Nearly all take one; a component with more memories or tables than a place
//! has, or whose calls may wait on more stacks, takes several, so that no component
//! can use up what others were promised.

/// Memories that a place stands for: one of its own, and one of an adapter.
pub(crate) const MEMORIES_PER_PLACE: u32 = 2;
/// Tables that a place stands for: of a module, its adapter, and the shims
/// between them.
pub(crate) const TABLES_PER_PLACE: u32 = 4;

/// Stacks that a place stands for, of asynchronous functions: of a call that
/// waits in the one component instance that most have, and of what runs beside
/// it.
pub(crate) const STACKS_PER_PLACE: u32 = 2;

/// How many places an instance takes, with so many memories and tables in it,
/// and so many stacks at once.
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
