//! Which publications a subscriber wants, by their tags: the tree that
//! Centrifugo's clients send as `tf`, checked and bounded.
//!
//! Reading it costs memory of the peer's connection, and it is evaluated for
//! each publication: so it has few nodes.

use crate::json::{Elements, Fields, Text};

/// The most nodes of a filter.
pub const FILTER_NODES_MAX: usize = 64;

/// The deepest nesting of a filter.
pub const FILTER_DEPTH_MAX: usize = 8;

/// The most values in all lists of a filter.
pub const FILTER_VALUES_MAX: usize = 256;

/// The most bytes of all texts of a filter.
pub const FILTER_BYTES_MAX: usize = 4 << 10;

/// The most bytes of a filter as JSON: what is within the other bounds fits, and
/// what is not takes no more memory than that while it is read. A node of two
/// bytes takes a hundred.
pub(crate) const FILTER_JSON_BYTES_MAX: usize = 32 << 10;

/// A condition on the tags of a publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// All hold. There is at least one.
    All(Vec<Self>),
    /// One holds. There is at least one.
    Any(Vec<Self>),
    /// It does not hold.
    Not(Box<Self>),
    /// A tag passes a test.
    Tag(Box<str>, Test),
}

/// A test of a tag. An absent tag passes those with `Not`; to `In` and `NotIn` it
/// is an empty text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// It is this text.
    Equal(Box<str>),
    /// It is not.
    NotEqual(Box<str>),
    /// It is one of these. There is at least one.
    In(Vec<Box<str>>),
    /// It is none of these.
    NotIn(Vec<Box<str>>),
    /// It is there.
    Exists,
    /// It is not there.
    NotExists,
    /// It begins with this text.
    StartsWith(Box<str>),
    /// It ends with this text.
    EndsWith(Box<str>),
    /// It has this text in it.
    Contains(Box<str>),
    /// It is a decimal number below this one. What is not a number passes none
    /// of these four.
    Less(Box<str>),
    /// At most this one.
    LessOrEqual(Box<str>),
    /// Above this one.
    Greater(Box<str>),
    /// At least this one.
    GreaterOrEqual(Box<str>),
}

/// Why a filter is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// It has too many nodes, levels, values or bytes.
    #[error(
        "the filter is larger than {FILTER_NODES_MAX} nodes, {FILTER_DEPTH_MAX} levels, \
         {FILTER_VALUES_MAX} values or {FILTER_BYTES_MAX} bytes"
    )]
    Large,
    /// A node has an operation or a comparison that does not exist, or not the
    /// parts that it needs.
    #[error("a node of the filter has no such operation, or not its parts")]
    Malformed,
}

/// A node as it is written.
#[derive(Debug, serde::Deserialize)]
struct Node<'a> {
    #[serde(borrow, default)]
    op: Text<'a>,
    #[serde(borrow, default)]
    key: Text<'a>,
    #[serde(borrow, default)]
    cmp: Text<'a>,
    #[serde(borrow, default)]
    val: Text<'a>,
    #[serde(borrow, default)]
    vals: Elements<Text<'a>, FILTER_VALUES_MAX>,
    #[serde(borrow, default)]
    nodes: Elements<Fields<Self>, FILTER_NODES_MAX>,
}

/// What may still be used.
struct Room {
    nodes: usize,
    values: usize,
    bytes: usize,
}

fn take(room: &mut usize, amount: usize) -> Result<(), FilterError> {
    *room = room.checked_sub(amount).ok_or(FilterError::Large)?;
    Ok(())
}

impl Filter {
    /// Reads a filter.
    pub(crate) fn read(json: &str) -> Result<Self, FilterError> {
        if json.len() > FILTER_JSON_BYTES_MAX {
            return Err(FilterError::Large);
        }
        let node: Fields<Node<'_>> =
            serde_json::from_str(json).map_err(|_| FilterError::Malformed)?;
        Self::of(&node)
    }

    fn of(node: &Node<'_>) -> Result<Self, FilterError> {
        let mut room = Room {
            nodes: FILTER_NODES_MAX,
            values: FILTER_VALUES_MAX,
            bytes: FILTER_BYTES_MAX,
        };
        Self::part(node, FILTER_DEPTH_MAX, &mut room)
    }

    fn part(node: &Node<'_>, depth: usize, room: &mut Room) -> Result<Self, FilterError> {
        let depth = depth.checked_sub(1).ok_or(FilterError::Large)?;
        take(&mut room.nodes, 1)?;
        let mut parts = || -> Result<Vec<Self>, FilterError> {
            let nodes = node.nodes.0.iter();
            nodes.map(|node| Self::part(node, depth, room)).collect()
        };
        match &*node.op {
            "" => {
                let test = Test::of(node, room)?;
                let named = !node.key.is_empty() || matches!(test, Test::Exists | Test::NotExists);
                if !named {
                    return Err(FilterError::Malformed);
                }
                Ok(Self::Tag(text(&node.key, room)?, test))
            }
            "and" | "or" if node.nodes.0.is_empty() => Err(FilterError::Malformed),
            "and" => Ok(Self::All(parts()?)),
            "or" => Ok(Self::Any(parts()?)),
            "not" => {
                let mut parts = parts()?;
                match (parts.pop(), parts.is_empty()) {
                    (Some(part), true) => Ok(Self::Not(Box::new(part))),
                    _ => Err(FilterError::Malformed),
                }
            }
            _ => Err(FilterError::Malformed),
        }
    }
}

impl Test {
    fn of(node: &Node<'_>, room: &mut Room) -> Result<Self, FilterError> {
        let (has_value, has_values) = (!node.val.is_empty(), !node.vals.0.is_empty());
        let mut one = |make: fn(Box<str>) -> Self| match (has_value, has_values) {
            (true, false) => Ok(make(text(&node.val, room)?)),
            _ => Err(FilterError::Malformed),
        };
        match &*node.cmp {
            "eq" => one(Self::Equal),
            "neq" => one(Self::NotEqual),
            "sw" => one(Self::StartsWith),
            "ew" => one(Self::EndsWith),
            "ct" => one(Self::Contains),
            "lt" => one(Self::Less),
            "lte" => one(Self::LessOrEqual),
            "gt" => one(Self::Greater),
            "gte" => one(Self::GreaterOrEqual),
            "in" | "nin" if has_values && !has_value => {
                take(&mut room.values, node.vals.0.len())?;
                let values = node.vals.0.iter().map(|value| text(value, room));
                let values = values.collect::<Result<_, _>>()?;
                Ok(match &*node.cmp {
                    "in" => Self::In(values),
                    _ => Self::NotIn(values),
                })
            }
            "ex" | "nex" if !has_values && !has_value => Ok(match &*node.cmp {
                "ex" => Self::Exists,
                _ => Self::NotExists,
            }),
            _ => Err(FilterError::Malformed),
        }
    }
}

fn text(text: &str, room: &mut Room) -> Result<Box<str>, FilterError> {
    take(&mut room.bytes, text.len())?;
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Filter, FilterError> {
        Filter::read(text)
    }

    #[test]
    fn a_tree_of_all_operations() {
        let text = r#"{"op":"and","nodes":[
            {"key":"ticker","cmp":"eq","val":"BTC"},
            {"op":"or","nodes":[{"key":"price","cmp":"gte","val":"1.5"},{"key":"a","cmp":"nex"}]},
            {"op":"not","nodes":[{"key":"source","cmp":"in","vals":["x","y"]}]}]}"#;
        let tag = |name: &str, test| Filter::Tag(name.into(), test);
        let expected = Filter::All(vec![
            tag("ticker", Test::Equal("BTC".into())),
            Filter::Any(vec![
                tag("price", Test::GreaterOrEqual("1.5".into())),
                tag("a", Test::NotExists),
            ]),
            Filter::Not(Box::new(tag(
                "source",
                Test::In(vec!["x".into(), "y".into()]),
            ))),
        ]);
        assert_eq!(read(text), Ok(expected));
        for cmp in ["eq", "neq", "sw", "ew", "ct", "lt", "lte", "gt", "gte"] {
            let text = format!(r#"{{"op":"","key":"a","cmp":"{cmp}","val":"1","nodes":null}}"#);
            assert!(read(&text).is_ok(), "{cmp}");
        }
    }

    #[test]
    fn a_node_has_its_parts_and_no_others() {
        for bad in [
            "{}",
            r#"["","a","ex","",[],[]]"#,
            r#"{"cmp":"eq","val":"a"}"#,
            r#"{"key":"a","cmp":"eq"}"#,
            r#"{"key":"a","cmp":"eq","val":"a","vals":["a"]}"#,
            r#"{"key":"a","cmp":"in","vals":[]}"#,
            r#"{"key":"a","cmp":"in","vals":["a"],"val":"a"}"#,
            r#"{"key":"a","cmp":"ex","val":"a"}"#,
            r#"{"key":"a","cmp":"like","val":"a"}"#,
            r#"{"op":"and","nodes":[]}"#,
            r#"{"op":"not","nodes":[{"key":"a","cmp":"ex"},{"key":"a","cmp":"ex"}]}"#,
            r#"{"op":"not"}"#,
            r#"{"op":"xor","nodes":[{"key":"a","cmp":"ex"}]}"#,
        ] {
            assert_eq!(read(bad), Err(FilterError::Malformed), "{bad}");
        }
    }

    #[test]
    fn each_bound_has_its_last_and_its_first_too_many() {
        let leaf = r#"{"key":"a","cmp":"ex"}"#;
        let nodes = |count: usize| {
            let leaves = vec![leaf; count - 1].join(",");
            read(&format!(r#"{{"op":"or","nodes":[{leaves}]}}"#))
        };
        assert!(nodes(FILTER_NODES_MAX).is_ok());
        assert_eq!(nodes(FILTER_NODES_MAX + 1), Err(FilterError::Large));

        let deep = |levels: usize| {
            let nots = r#"{"op":"not","nodes":["#.repeat(levels - 1);
            read(&format!("{nots}{leaf}{}", "]}".repeat(levels - 1)))
        };
        assert!(deep(FILTER_DEPTH_MAX).is_ok());
        assert_eq!(deep(FILTER_DEPTH_MAX + 1), Err(FilterError::Large));

        let values = |first: usize, second: usize| {
            let list = |count| vec!["\"v\""; count].join(",");
            let leaf = |count| format!(r#"{{"key":"a","cmp":"in","vals":[{}]}}"#, list(count));
            read(&format!(
                r#"{{"op":"or","nodes":[{},{}]}}"#,
                leaf(first),
                leaf(second)
            ))
        };
        assert!(values(1, FILTER_VALUES_MAX - 1).is_ok());
        assert_eq!(values(1, FILTER_VALUES_MAX), Err(FilterError::Large));

        let padded = |bytes: usize| read(&format!("{leaf:bytes$}"));
        assert!(padded(FILTER_JSON_BYTES_MAX).is_ok());
        let past = padded(FILTER_JSON_BYTES_MAX + 1);
        assert_eq!(past, Err(FilterError::Large));

        let long = |bytes: usize| {
            let value = "v".repeat(bytes - 1);
            read(&format!(r#"{{"key":"a","cmp":"eq","val":"{value}"}}"#))
        };
        assert!(long(FILTER_BYTES_MAX).is_ok());
        assert_eq!(long(FILTER_BYTES_MAX + 1), Err(FilterError::Large));
    }
}
