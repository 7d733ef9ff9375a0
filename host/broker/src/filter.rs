//! Which publications of a channel a subscriber wants.
//!
//! A filter skips publications: those of the subscriber's own connection, those
//! of a user, and those whose tags do not fit a condition. It is judged for each
//! publication and subscriber, so it is compiled at the subscription and then
//! allocates nothing. It is bounded by [`NODES_MAX`], [`DEPTH_MAX`],
//! [`VALUES_MAX`] and [`FILTER_BYTES_MAX`].
//!
//! The written form is Centrifugo's `tf`: a leaf compares one tag (`key`, `cmp`,
//! `val` or `vals`), and `op` joins others (`and`, `or`, `not`). The meaning is
//! the same, too: a tag that is absent is not equal to anything, and `in` takes it
//! for an empty text.

use std::cmp::Ordering;

use bytestring::ByteString;
use openline_core::channel::ChannelTerms;
use openline_core::name::ConnectionId;
use serde::Deserialize;

use crate::publication::{Publication, Tags};

/// Comparisons and words of one filter: as many are judged for each publication.
pub const NODES_MAX: usize = 64;
/// How deep words may be in each other: judging goes down by calls.
pub const DEPTH_MAX: usize = 8;
/// All keys and values of one filter, in bytes.
pub const FILTER_BYTES_MAX: usize = 4096;
/// Values of one filter: `in` compares with each.
pub const VALUES_MAX: usize = 256;

/// Which publications a subscriber skips.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those of its own connection.
    pub skip_own: bool,
    /// Those of this user, on any connection.
    pub skip_user: Option<ByteString>,
    /// Those whose tags do not fit this condition.
    pub tags: Option<TagFilter>,
}

/// A compiled condition on tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagFilter {
    /// Each word is followed by what it joins.
    nodes: Box<[Node]>,
}

/// A condition on tags as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FilterNode {
    /// `and`, `or`, `not`, or empty for a comparison.
    pub op: String,
    /// The tag that is compared.
    pub key: String,
    /// `eq`, `neq`, `in`, `nin`, `ex`, `nex`, `sw`, `ew`, `ct`, `gt`, `gte`, `lt`
    /// or `lte`.
    pub cmp: String,
    /// What it is compared with.
    pub val: String,
    /// The same for `in` and `nin`.
    pub vals: Vec<String>,
    /// What `op` joins: any number, and one for `not`.
    pub nodes: Vec<Self>,
}

/// Why a condition is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// An unknown `op`.
    #[error("`op` is `and`, `or`, `not`, or absent for a comparison")]
    Word,
    /// An unknown `cmp`.
    #[error("`cmp` is eq, neq, in, nin, ex, nex, sw, ew, ct, gt, gte, lt or lte")]
    Comparison,
    /// The wrong operands.
    #[error("`{0}` needs other keys beside it")]
    Operands(&'static str),
    /// Too large.
    #[error(
        "a filter has at most {NODES_MAX} nodes, {DEPTH_MAX} levels, {VALUES_MAX} values and {FILTER_BYTES_MAX} bytes"
    )]
    TooLarge,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    /// Both have the index after the last one that they join.
    And(usize),
    Or(usize),
    Not,
    Leaf(Box<str>, Test),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    Equal(Box<str>),
    NotEqual(Box<str>),
    In(Box<[Box<str>]>),
    NotIn(Box<[Box<str>]>),
    Exists,
    Absent,
    StartsWith(Box<str>),
    EndsWith(Box<str>),
    Contains(Box<str>),
    /// A comparison of decimal numbers, and the orders that are good.
    Number(Box<str>, &'static [Ordering]),
}

impl Filter {
    /// Whether a subscriber gets a publication.
    pub fn accepts(&self, publication: &Publication, own: ConnectionId) -> bool {
        if let Some(sender) = &publication.sender {
            let is_own = self.skip_own && sender.connection == own;
            let is_user = self.skip_user.is_some() && self.skip_user == sender.user;
            if is_own || is_user {
                return false;
            }
        }
        let tags = self.tags.as_ref();
        tags.is_none_or(|filter| filter.accepts(&publication.tags))
    }

    /// Whether a peer may have it under these terms. Every peer may skip its own
    /// publications.
    pub fn is_allowed(&self, terms: &ChannelTerms) -> bool {
        terms.filters || (self.tags.is_none() && self.skip_user.is_none())
    }

    /// Whether it skips nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl TagFilter {
    /// Checks and compiles a condition.
    ///
    /// # Errors
    ///
    /// See [`FilterError`].
    pub fn new(written: &FilterNode) -> Result<Self, FilterError> {
        let mut compiler = Compiler::default();
        compiler.node(written, 1)?;
        Ok(Self {
            nodes: compiler.nodes.into(),
        })
    }

    /// Whether tags fit the condition.
    pub fn accepts(&self, tags: &Tags) -> bool {
        self.judge(0, tags).0
    }

    /// Judges the node at an index; also answers the index after it.
    fn judge(&self, at: usize, tags: &Tags) -> (bool, usize) {
        match &self.nodes[at] {
            Node::Leaf(key, test) => (test.accepts(tags.get(key)), at + 1),
            Node::Not => {
                let (accepts, after) = self.judge(at + 1, tags);
                (!accepts, after)
            }
            Node::And(end) => (self.each(at + 1, *end, tags, true), *end),
            Node::Or(end) => (!self.each(at + 1, *end, tags, false), *end),
        }
    }

    /// Whether all nodes of a range are judged so.
    fn each(&self, mut at: usize, end: usize, tags: &Tags, expected: bool) -> bool {
        while at < end {
            let (accepts, after) = self.judge(at, tags);
            if accepts != expected {
                return false;
            }
            at = after;
        }
        true
    }
}

impl Test {
    fn accepts(&self, value: Option<&str>) -> bool {
        let has = |test: &dyn Fn(&str) -> bool| value.is_some_and(test);
        let is_in =
            |values: &[Box<str>]| values.iter().any(|it| **it == *value.unwrap_or_default());
        match self {
            Self::Equal(other) => has(&|it| *it == **other),
            Self::NotEqual(other) => !has(&|it| *it == **other),
            Self::In(values) => is_in(values),
            Self::NotIn(values) => !is_in(values),
            Self::Exists => value.is_some(),
            Self::Absent => value.is_none(),
            Self::StartsWith(other) => has(&|it| it.starts_with(&**other)),
            Self::EndsWith(other) => has(&|it| it.ends_with(&**other)),
            Self::Contains(other) => has(&|it| it.contains(&**other)),
            Self::Number(other, good) => has(&|it| {
                let order = Decimal::read(it).zip(Decimal::read(other));
                order.is_some_and(|(it, other)| good.contains(&it.order(&other)))
            }),
        }
    }
}

#[derive(Default)]
struct Compiler {
    nodes: Vec<Node>,
    values: usize,
    bytes: usize,
}

impl Compiler {
    fn node(&mut self, written: &FilterNode, depth: usize) -> Result<(), FilterError> {
        if depth > DEPTH_MAX || self.nodes.len() >= NODES_MAX {
            return Err(FilterError::TooLarge);
        }
        let is_join = !written.op.is_empty();
        let is_leaf = !(written.key.is_empty()
            && written.cmp.is_empty()
            && written.val.is_empty()
            && written.vals.is_empty());
        if is_join && is_leaf {
            return Err(FilterError::Operands("op"));
        }
        let at = self.nodes.len();
        let joins = written.nodes.len();
        match &*written.op {
            "" if joins > 0 => return Err(FilterError::Operands("cmp")),
            "" => {
                let test = self.test(written)?;
                self.nodes.push(Node::Leaf((*written.key).into(), test));
            }
            "and" | "or" if joins == 0 => return Err(FilterError::Operands("op")),
            "not" if joins != 1 => return Err(FilterError::Operands("op")),
            "and" | "or" | "not" => {
                self.nodes.push(Node::Not);
                for node in &written.nodes {
                    self.node(node, depth + 1)?;
                }
                let end = self.nodes.len();
                self.nodes[at] = match &*written.op {
                    "and" => Node::And(end),
                    "or" => Node::Or(end),
                    _ => Node::Not,
                };
            }
            _ => return Err(FilterError::Word),
        }
        Ok(())
    }

    fn test(&mut self, written: &FilterNode) -> Result<Test, FilterError> {
        const GREATER: &[Ordering] = &[Ordering::Greater];
        const LESS: &[Ordering] = &[Ordering::Less];
        const NOT_LESS: &[Ordering] = &[Ordering::Greater, Ordering::Equal];
        const NOT_GREATER: &[Ordering] = &[Ordering::Less, Ordering::Equal];
        let bytes = written.vals.iter().map(String::len).sum::<usize>();
        self.bytes += written.key.len() + written.val.len() + bytes;
        self.values += written.vals.len();
        if self.bytes > FILTER_BYTES_MAX || self.values > VALUES_MAX {
            return Err(FilterError::TooLarge);
        }
        let has = (
            !written.key.is_empty(),
            !written.val.is_empty(),
            !written.vals.is_empty(),
        );
        let value: Box<str> = (*written.val).into();
        let values = || written.vals.iter().map(|it| (**it).into()).collect();
        let (needs, test) = match &*written.cmp {
            "eq" => ((true, true, false), Test::Equal(value)),
            "neq" => ((true, true, false), Test::NotEqual(value)),
            "sw" => ((true, true, false), Test::StartsWith(value)),
            "ew" => ((true, true, false), Test::EndsWith(value)),
            "ct" => ((true, true, false), Test::Contains(value)),
            "gt" => ((true, true, false), Test::Number(value, GREATER)),
            "gte" => ((true, true, false), Test::Number(value, NOT_LESS)),
            "lt" => ((true, true, false), Test::Number(value, LESS)),
            "lte" => ((true, true, false), Test::Number(value, NOT_GREATER)),
            "in" => ((true, false, true), Test::In(values())),
            "nin" => ((true, false, true), Test::NotIn(values())),
            "ex" => ((true, false, false), Test::Exists),
            "nex" => ((true, false, false), Test::Absent),
            _ => return Err(FilterError::Comparison),
        };
        (has == needs)
            .then_some(test)
            .ok_or(FilterError::Operands("cmp"))
    }
}

/// A decimal number in the digits of its text: exact, of any length.
struct Decimal<'a> {
    is_negative: bool,
    whole: &'a str,
    fraction: &'a str,
}

impl<'a> Decimal<'a> {
    fn read(text: &'a str) -> Option<Self> {
        let (is_negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
            Some(_) => return None,
            None => (digits, ""),
        };
        let all = |text: &str| text.bytes().all(|it| it.is_ascii_digit());
        if whole.is_empty() || !all(whole) || !all(fraction) {
            return None;
        }
        let (whole, fraction) = (
            whole.trim_start_matches('0'),
            fraction.trim_end_matches('0'),
        );
        let is_zero = whole.is_empty() && fraction.is_empty();
        Some(Self {
            is_negative: is_negative && !is_zero,
            whole,
            fraction,
        })
    }

    fn order(&self, other: &Self) -> Ordering {
        if self.is_negative != other.is_negative {
            return other.is_negative.cmp(&self.is_negative);
        }
        let lengths = self.whole.len().cmp(&other.whole.len());
        let digits = lengths.then_with(|| self.whole.cmp(other.whole));
        let order = digits.then_with(|| self.fraction.cmp(other.fraction));
        if self.is_negative {
            order.reverse()
        } else {
            order
        }
    }
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
