//! What peers, publishers and operators say about channels: conditions on tags,
//! and patterns of names. Each is compared with a slow reading of it.

use openline_broker::filter::{FilterNode, TagFilter};
use openline_broker::publication::Tags;
use openline_core::channel::ChannelPattern;
use openline_core::name::ChannelName;

/// A condition on tags, after a line with the tags of a publication: `a=1&b=2`.
pub(crate) fn filter(bytes: &[u8]) {
    let _ = compared(bytes);
}

/// Whether the publication is accepted; none if there is no condition.
fn compared(bytes: &[u8]) -> Option<bool> {
    let text = String::from_utf8_lossy(bytes);
    let (line, json) = text.split_once('\n').unwrap_or(("", &text));
    let pairs = line.split('&').filter_map(|pair| pair.split_once('='));
    let pairs = pairs.map(|(name, value)| (name.to_owned().into(), value.to_owned().into()));
    let tags = Tags::new(pairs.collect()).ok()?;
    let node: FilterNode = serde_json::from_str(json).ok()?;
    let filter = TagFilter::new(&node).ok()?;
    let accepts = filter.accepts(&tags);
    if let Some(expected) = slowly(&node, &tags) {
        assert_eq!(accepts, expected, "{node:?} of {tags:?}");
    }
    let opposite = FilterNode {
        op: "not".into(),
        nodes: vec![node],
        ..FilterNode::default()
    };
    // It may have one level or one node too many.
    if let Ok(opposite) = TagFilter::new(&opposite) {
        assert_ne!(opposite.accepts(&tags), accepts, "neither or both");
    }
    Some(accepts)
}

/// What a condition means as it is written; none if it compares numbers.
fn slowly(node: &FilterNode, tags: &Tags) -> Option<bool> {
    let value = tags.get(&node.key);
    let text = value.unwrap_or_default();
    let of_all = || {
        node.nodes
            .iter()
            .map(|it| slowly(it, tags))
            .collect::<Option<Vec<_>>>()
    };
    Some(match (&*node.op, &*node.cmp) {
        ("and", _) => of_all()?.into_iter().all(|it| it),
        ("or", _) => of_all()?.into_iter().any(|it| it),
        ("not", _) => !of_all()?.first().copied().unwrap_or_default(),
        (_, "eq") => value == Some(&node.val),
        (_, "neq") => value != Some(&node.val),
        (_, "ex") => value.is_some(),
        (_, "nex") => value.is_none(),
        // To lists, an absent tag is an empty text.
        (_, "in") => node.vals.iter().any(|it| it == text),
        (_, "nin") => !node.vals.iter().any(|it| it == text),
        (_, "sw") => value.is_some_and(|it| it.starts_with(&node.val)),
        (_, "ew") => value.is_some_and(|it| it.ends_with(&node.val)),
        (_, "ct") => value.is_some_and(|it| it.contains(&node.val)),
        _ => return None,
    })
}

/// A pattern and, on the next line, a name.
pub(crate) fn pattern(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (text, name) = text.split_once('\n').unwrap_or((&text, ""));
    let Ok(pattern) = ChannelPattern::new(text) else {
        return;
    };
    assert_eq!(pattern.as_str(), text);
    assert!(pattern.is_alike(&pattern));
    let Ok(name) = ChannelName::new(name) else {
        return;
    };
    let expected = matches(text, name.as_str());
    assert_eq!(pattern.matches(&name), expected, "{text:?} and {name:?}");
    for segment in text.split(':') {
        let segment = segment.trim_start_matches('{').trim_end_matches('}');
        if let Some(value) = pattern.captured(&name, segment) {
            assert!(expected && !value.is_empty() && !value.contains(':'));
        }
    }
}

/// Whether a name matches, segment by segment.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, has_rest) = match pattern.strip_suffix('*') {
        Some(pattern) => (pattern, true),
        None => (pattern, false),
    };
    let (first, others) = match pattern.split_once(':') {
        Some((first, others)) => (first, Some(others)),
        None => (pattern, None),
    };
    let rest = |others: &str| format!("{others}{}", if has_rest { "*" } else { "" });
    match others {
        // All of a segment, and what follows it.
        Some(others) => name.split_once(':').is_some_and(|(segment, after)| {
            let fits = match first.starts_with('{') {
                true => !segment.is_empty(),
                false => segment == first,
            };
            fits && matches(&rest(others), after)
        }),
        None if has_rest => name.strip_prefix(first).is_some_and(|it| !it.is_empty()),
        None if first.starts_with('{') => !name.is_empty() && !name.contains(':'),
        None => name == first,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What no target reads proves nothing.
    #[test]
    fn the_corpus_is_read_to_its_end() {
        for (text, accepts) in [
            (&include_bytes!("../corpus/filter/equal")[..], Some(true)),
            (include_bytes!("../corpus/filter/all"), Some(true)),
            (include_bytes!("../corpus/filter/any"), Some(true)),
            (include_bytes!("../corpus/filter/text"), Some(true)),
            (include_bytes!("../corpus/filter/number"), Some(true)),
            (include_bytes!("../corpus/filter/absent"), Some(true)),
            (include_bytes!("../corpus/filter/deep"), None),
            (
                b"a=2\n{\"key\":\"a\",\"cmp\":\"eq\",\"val\":\"1\"}",
                Some(false),
            ),
        ] {
            assert_eq!(compared(text), accepts, "{}", String::from_utf8_lossy(text));
        }
        for (pattern, name, expected) in [
            ("room:*", "room:1:2", true),
            ("room:*", "room:", false),
            ("inbox:{user}", "inbox:ann", true),
            ("inbox:{user}", "inbox:", false),
            ("a:{b}:c:{d}:*", "a:1:c:2:x", true),
            ("news", "newsy", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
            super::pattern(format!("{pattern}\n{name}").as_bytes());
        }
    }
}
