//! YAML as a tree whose nodes know their lines.
//!
//! `saphyr-parser` finds the structure. The tree is made here, because anchors
//! make a document as large as its author likes: bounded by [`NODES_MAX`], with
//! those that aliases repeat, by [`DEPTH_MAX`], and by [`COPIED_BYTES_MAX`].

use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::Wrong;

/// Nodes of a document: a hundred functions with all their keys.
pub(super) const NODES_MAX: usize = 100_000;
/// What anchors and aliases copy, in bytes: four times the largest file.
pub(super) const COPIED_BYTES_MAX: usize = 16 << 20;
/// Keys of one map: a function has some forty, and environment variables as many
/// as fit into 4 KiB.
pub(super) const KEYS_MAX: usize = 1024;
/// Levels of a document. Function Compute's has eight.
pub(super) const DEPTH_MAX: usize = 32;

/// A value with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// Counted from 1.
    pub(super) line: usize,
    pub(super) value: Value,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// `null`, `~`, or nothing.
    Nothing,
    /// A scalar of any type.
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key of a map with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Where the key is.
    pub(super) line: usize,
    pub(super) key: String,
    pub(super) node: Node,
    /// Whether `<<` has brought it; then one of the map's own replaces it.
    pub(super) is_merged: bool,
}

impl Node {
    /// The node with all of it in one line, because it was within a text there.
    pub(super) fn at(self, line: usize) -> Self {
        let value = match self.value {
            Value::List(list) => Value::List(list.into_iter().map(|it| it.at(line)).collect()),
            Value::Map(map) => {
                let entries = map.into_iter().map(|entry| Entry {
                    line,
                    node: entry.node.at(line),
                    ..entry
                });
                Value::Map(entries.collect())
            }
            value => value,
        };
        Self { line, value }
    }
}

/// A list or a map that has begun.
struct Open {
    node: Node,
    anchor: usize,
    /// The key whose value comes next.
    key: Option<(usize, String)>,
}

#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Node>>,
    nodes: usize,
    copied_bytes: usize,
    root: Option<Node>,
}

/// Reads the only document of a text.
///
/// # Errors
///
/// The line that is wrong.
pub(super) fn read(text: &str) -> Result<Node, Wrong> {
    let mut builder = Builder::default();
    let mut documents = 0;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let hint = "the file is YAML: look at indentation, quotes and colons there";
            let what = format!("this is not YAML: {}", error.info());
            Wrong::new(error.marker().line(), what, hint)
        })?;
        let line = span.start.line();
        match event {
            Event::DocumentStart(_) => {
                documents += 1;
                if documents > 1 {
                    let hint = "keep one, and import the others by themselves";
                    return Err(Wrong::new(line, "the file has several documents", hint));
                }
            }
            Event::Scalar(text, style, anchor, _) => {
                let is_nothing = style == ScalarStyle::Plain
                    && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let value = match is_nothing {
                    true => Value::Nothing,
                    false => Value::Text(text.into_owned()),
                };
                builder.whole(Node { line, value }, anchor)?;
            }
            Event::SequenceStart(anchor, _) => {
                builder.begin(line, Value::List(Vec::new()), anchor)?;
            }
            Event::MappingStart(anchor, _) => {
                builder.begin(line, Value::Map(Vec::new()), anchor)?;
            }
            Event::SequenceEnd | Event::MappingEnd => builder.end()?,
            Event::Alias(anchor) => {
                let Some(node) = builder.anchors.get(&anchor) else {
                    let hint = "an anchor (`&name`) stands before its aliases (`*name`), and not around them";
                    return Err(Wrong::new(line, "this alias has no anchor", hint));
                };
                let node = Rc::clone(node);
                builder.count(line, size(&node))?;
                let node = builder.copy(line, &node)?;
                builder.add(node)?;
            }
            _ => {}
        }
    }
    builder.root.ok_or_else(|| {
        let hint = "give the path of an `s.yaml`";
        Wrong::new(1, "the file is empty", hint)
    })
}

/// What a copy of a node takes, in bytes, with all below it.
fn bytes(node: &Node) -> usize {
    size_of::<Entry>()
        + match &node.value {
            Value::Nothing => 0,
            Value::Text(text) => text.len(),
            Value::List(list) => list.iter().map(bytes).sum(),
            Value::Map(map) => {
                let entries = map.iter();
                entries.map(|it| it.key.len() + bytes(&it.node)).sum()
            }
        }
}

/// A node, and all below it.
fn size(node: &Node) -> usize {
    1 + match &node.value {
        Value::Nothing | Value::Text(_) => 0,
        Value::List(list) => list.iter().map(size).sum(),
        Value::Map(map) => map.iter().map(|entry| size(&entry.node)).sum(),
    }
}

impl Builder {
    fn count(&mut self, line: usize, nodes: usize) -> Result<(), Wrong> {
        self.nodes += nodes;
        if self.nodes > NODES_MAX {
            let what = format!("the file has more than {NODES_MAX} values");
            let hint = "an alias repeats all that its anchor has; split the file";
            return Err(Wrong::new(line, what, hint));
        }
        Ok(())
    }

    /// Copies a node, within the bound of all copies.
    fn copy(&mut self, line: usize, node: &Node) -> Result<Node, Wrong> {
        self.copied_bytes += bytes(node);
        if self.copied_bytes > COPIED_BYTES_MAX {
            let most = COPIED_BYTES_MAX >> 20;
            let what = format!("anchors and aliases repeat more than {most} MiB");
            let hint = "an alias repeats all that its anchor has; split the file";
            return Err(Wrong::new(line, what, hint));
        }
        Ok(node.clone())
    }

    /// Keeps a node for the aliases of its anchor, if it has one.
    fn keep(&mut self, node: &Node, anchor: usize) -> Result<(), Wrong> {
        if anchor > 0 {
            let kept = self.copy(node.line, node)?;
            self.anchors.insert(anchor, Rc::new(kept));
        }
        Ok(())
    }

    fn whole(&mut self, node: Node, anchor: usize) -> Result<(), Wrong> {
        self.count(node.line, 1)?;
        self.keep(&node, anchor)?;
        self.add(node)
    }

    fn begin(&mut self, line: usize, value: Value, anchor: usize) -> Result<(), Wrong> {
        self.count(line, 1)?;
        if self.open.len() == DEPTH_MAX {
            let what = format!("the file has more than {DEPTH_MAX} levels");
            return Err(Wrong::new(line, what, "give the path of an `s.yaml`"));
        }
        self.open.push(Open {
            node: Node { line, value },
            anchor,
            key: None,
        });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Wrong> {
        let Some(Open { node, anchor, .. }) = self.open.pop() else {
            return Ok(());
        };
        self.keep(&node, anchor)?;
        self.add(node)
    }

    /// Puts a node where it belongs.
    fn add(&mut self, node: Node) -> Result<(), Wrong> {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut open.node.value {
            Value::List(list) => list.push(node),
            Value::Map(map) => match (open.key.take(), node.value) {
                (None, Value::Text(key)) => open.key = Some((node.line, key)),
                (None, _) => {
                    let what = "a key is a list, a map or nothing";
                    return Err(Wrong::new(node.line, what, "keys are words"));
                }
                (Some((_, key)), value) if key == "<<" => {
                    let node = Node { value, ..node };
                    merge(map, node)?;
                }
                (Some((line, key)), value) => {
                    let node = Node { value, ..node };
                    enter(
                        map,
                        Entry {
                            line,
                            key,
                            node,
                            is_merged: false,
                        },
                    )?;
                }
            },
            Value::Nothing | Value::Text(_) => {}
        }
        Ok(())
    }
}

/// Adds an entry, in the place of one that was merged.
fn enter(map: &mut Vec<Entry>, entry: Entry) -> Result<(), Wrong> {
    match map.iter_mut().find(|it| it.key == entry.key) {
        None => {
            if map.len() == KEYS_MAX {
                let what = format!("a map has more than {KEYS_MAX} keys");
                return Err(Wrong::new(entry.line, what, "give the path of an `s.yaml`"));
            }
            map.push(entry);
        }
        Some(known) if known.is_merged => *known = entry,
        Some(known) => {
            let what = format!("the key `{}` is also in line {}", entry.key, known.line);
            return Err(Wrong::new(entry.line, what, "remove one of them"));
        }
    }
    Ok(())
}

/// Adds the entries of other maps that are not there yet (`<<`).
fn merge(map: &mut Vec<Entry>, from: Node) -> Result<(), Wrong> {
    let sources = match from.value {
        Value::List(list) => list,
        value => vec![Node { value, ..from }],
    };
    for source in sources {
        let Value::Map(entries) = source.value else {
            let what = "`<<` merges something that is no map";
            let hint = "as in `<<: *name`, with the anchor at a map";
            return Err(Wrong::new(from.line, what, hint));
        };
        for mut entry in entries {
            entry.is_merged = true;
            if !map.iter().any(|it| it.key == entry.key) {
                enter(map, entry)?;
            }
        }
    }
    Ok(())
}
