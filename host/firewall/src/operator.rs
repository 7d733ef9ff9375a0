//! The operators of criteria: Azion's ten, and six more in their manner.

use std::fmt;

/// How a criterion compares. Each operator is one of [`Relation`] or its exact
/// opposite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Operator {
    /// What holds.
    pub(crate) relation: Relation,
    /// Whether the criterion holds when the relation does not.
    pub(crate) is_negated: bool,
}

/// A relation between the values of a variable and an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    /// One value is the argument. An address may be in a network instead.
    Equal,
    /// One value begins with the argument.
    StartsWith,
    /// One value ends with the argument.
    EndsWith,
    /// The argument is somewhere in one value.
    Contains,
    /// A regular expression finds something in one value.
    Matches,
    /// A glob covers the whole of one value.
    MatchesGlob,
    /// One value is in the list that the argument names.
    InList,
    /// There is a value, even an empty one.
    Exists,
}

/// All operators with their names: a relation, and its opposite.
const NAMES: [(Relation, &str, &str); 8] = [
    (Relation::Equal, "is_equal", "is_not_equal"),
    (Relation::StartsWith, "starts_with", "does_not_start_with"),
    (Relation::EndsWith, "ends_with", "does_not_end_with"),
    (Relation::Contains, "contains", "does_not_contain"),
    (Relation::Matches, "matches", "does_not_match"),
    (Relation::MatchesGlob, "matches_glob", "does_not_match_glob"),
    (Relation::InList, "is_in_list", "is_not_in_list"),
    (Relation::Exists, "exists", "does_not_exist"),
];

impl Operator {
    /// Reads the name of an operator.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        NAMES.iter().find_map(|(relation, is, is_not)| {
            let is_negated = name == *is_not;
            (is_negated || name == *is).then_some(Self {
                relation: *relation,
                is_negated,
            })
        })
    }

    /// The names of all operators.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().flat_map(|(_, is, is_not)| [*is, *is_not])
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        let found = NAMES.iter().find(|(it, ..)| *it == self.relation);
        let (_, is, is_not) = found.expect("every relation has names");
        if self.is_negated { is_not } else { is }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_read_as_the_operator_that_has_it() {
        assert_eq!(Operator::names().count(), 16);
        for name in Operator::names() {
            assert_eq!(Operator::parse(name).unwrap().to_string(), name);
        }
        assert_eq!(Operator::parse("is_equals"), None);
        let not = Operator::parse("does_not_exist").unwrap();
        assert_eq!((not.relation, not.is_negated), (Relation::Exists, true));
    }
}
