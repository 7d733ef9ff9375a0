//! Filters, alone and beside a slow evaluation of what is written.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::moment::Moment;
use crate::publication::tests::channel;
use crate::publication::{Data, Parts, Sender};

fn tags(pairs: &[(&str, &str)]) -> Tags {
    let pairs = pairs
        .iter()
        .map(|(name, value)| ((*name).into(), (*value).into()));
    Tags::new(pairs.collect()).unwrap()
}

fn read(json: &str) -> Result<TagFilter, FilterError> {
    TagFilter::new(&serde_json::from_str(json).unwrap())
}

fn sent(connection: u128, user: Option<&str>) -> Publication {
    Publication::new(Parts {
        channel: channel(),
        position: None,
        id: None,
        event: None,
        key: None,
        removed: false,
        data: Data::Text("".into()),
        tags: tags(&[("room", "1")]),
        sender: Some(Sender {
            connection: ConnectionId::from_random(connection),
            user: user.map(ByteString::from),
        }),
        time: Moment(0),
    })
}

#[test]
fn a_subscriber_skips_itself_a_user_or_other_tags() {
    let own = ConnectionId::from_random(1);
    let everything = Filter::default();
    assert!(everything.is_empty() && everything.accepts(&sent(1, None), own));
    let skip_own = Filter {
        skip_own: true,
        ..Filter::default()
    };
    assert!(!skip_own.accepts(&sent(1, Some("ann")), own));
    assert!(skip_own.accepts(&sent(2, Some("ann")), own));
    let skip_user = Filter {
        skip_user: Some("ann".into()),
        ..Filter::default()
    };
    assert!(!skip_user.accepts(&sent(2, Some("ann")), own));
    assert!(skip_user.accepts(&sent(2, Some("bob")), own));
    assert!(skip_user.accepts(&sent(2, None), own));
    let (closed, open) = (
        ChannelTerms::default(),
        ChannelTerms {
            filters: true,
            ..ChannelTerms::default()
        },
    );
    assert!(skip_own.is_allowed(&closed) && !skip_user.is_allowed(&closed));
    assert!(skip_user.is_allowed(&open));
    let room = |number: &str| Filter {
        tags: Some(read(&format!(r#"{{"key":"room","cmp":"eq","val":"{number}"}}"#)).unwrap()),
        ..Filter::default()
    };
    assert!(room("1").accepts(&sent(1, None), own) && !room("2").accepts(&sent(1, None), own));
}

#[test]
fn comparisons() {
    let tags = tags(&[("a", "b"), ("city", "berlin"), ("n", "10.50")]);
    for (leaf, expected) in [
        (r#""key":"a","cmp":"eq","val":"b""#, true),
        (r#""key":"a","cmp":"eq","val":"c""#, false),
        (r#""key":"x","cmp":"eq","val":"b""#, false),
        (r#""key":"a","cmp":"neq","val":"b""#, false),
        (r#""key":"x","cmp":"neq","val":"b""#, true),
        (r#""key":"a","cmp":"in","vals":["x","b"]"#, true),
        (r#""key":"x","cmp":"in","vals":["x","b"]"#, false),
        (r#""key":"x","cmp":"in","vals":[""]"#, true),
        (r#""key":"a","cmp":"nin","vals":["x","b"]"#, false),
        (r#""key":"x","cmp":"nin","vals":["x"]"#, true),
        (r#""key":"a","cmp":"ex""#, true),
        (r#""key":"x","cmp":"ex""#, false),
        (r#""key":"x","cmp":"nex""#, true),
        (r#""key":"city","cmp":"sw","val":"ber""#, true),
        (r#""key":"city","cmp":"ew","val":"lin""#, true),
        (r#""key":"city","cmp":"ct","val":"erl""#, true),
        (r#""key":"city","cmp":"ct","val":"x""#, false),
        (r#""key":"n","cmp":"gt","val":"9""#, true),
        (r#""key":"n","cmp":"gt","val":"10.5""#, false),
        (r#""key":"n","cmp":"gte","val":"010.500""#, true),
        (r#""key":"n","cmp":"lt","val":"100""#, true),
        (r#""key":"n","cmp":"lte","val":"-10.5""#, false),
        (r#""key":"city","cmp":"gt","val":"1""#, false),
        (r#""key":"n","cmp":"gt","val":"x""#, false),
    ] {
        let filter = read(&format!("{{{leaf}}}")).unwrap();
        assert_eq!(filter.accepts(&tags), expected, "{leaf}");
    }
    let both = r#"{"op":"and","nodes":[
        {"key":"a","cmp":"ex"},
        {"op":"or","nodes":[{"key":"a","cmp":"eq","val":"x"},{"key":"n","cmp":"gt","val":"1"}]},
        {"op":"not","nodes":[{"key":"x","cmp":"ex"}]}]}"#;
    assert!(read(both).unwrap().accepts(&tags));
}

#[test]
fn numbers_are_compared_as_numbers() {
    let order = |one, other| {
        let pair = Decimal::read(one).zip(Decimal::read(other));
        pair.map(|(one, other)| one.order(&other))
    };
    for (one, other, expected) in [
        ("9", "10", Ordering::Less),
        ("-9", "-10", Ordering::Greater),
        ("-1", "1", Ordering::Less),
        ("0", "-0.0", Ordering::Equal),
        ("+1.10", "1.1", Ordering::Equal),
        ("1.09", "1.1", Ordering::Less),
        (
            "99999999999999999999999999",
            "99999999999999999999999998",
            Ordering::Greater,
        ),
    ] {
        assert_eq!(order(one, other), Some(expected), "{one} {other}");
        assert_eq!(order(other, one), Some(expected.reverse()), "{other} {one}");
    }
    for bad in ["", "-", ".5", "1.", "1e3", "1,5", "0x1", " 1", "١"] {
        assert!(Decimal::read(bad).is_none(), "{bad}");
    }
}

#[test]
fn what_is_no_filter_is_refused() {
    for (bad, error) in [
        (
            r#"{"op":"xor","nodes":[{"key":"a","cmp":"ex"}]}"#,
            FilterError::Word,
        ),
        (
            r#"{"key":"a","cmp":"like","val":"b"}"#,
            FilterError::Comparison,
        ),
        (r#"{"key":"a"}"#, FilterError::Comparison),
        (r"{}", FilterError::Comparison),
        (r#"{"cmp":"eq","val":"b"}"#, FilterError::Operands("cmp")),
        (r#"{"key":"a","cmp":"eq"}"#, FilterError::Operands("cmp")),
        (
            r#"{"key":"a","cmp":"eq","val":"b","vals":["c"]}"#,
            FilterError::Operands("cmp"),
        ),
        (
            r#"{"key":"a","cmp":"in","val":"b"}"#,
            FilterError::Operands("cmp"),
        ),
        (
            r#"{"key":"a","cmp":"ex","val":"b"}"#,
            FilterError::Operands("cmp"),
        ),
        (
            r#"{"key":"a","cmp":"ex","nodes":[{}]}"#,
            FilterError::Operands("cmp"),
        ),
        (r#"{"op":"and"}"#, FilterError::Operands("op")),
        (
            r#"{"op":"not","nodes":[{"key":"a","cmp":"ex"},{"key":"b","cmp":"ex"}]}"#,
            FilterError::Operands("op"),
        ),
        (
            r#"{"op":"and","key":"a","nodes":[{"key":"a","cmp":"ex"}]}"#,
            FilterError::Operands("op"),
        ),
    ] {
        assert_eq!(read(bad), Err(error), "{bad}");
    }
    assert!(serde_json::from_str::<FilterNode>(r#"{"keys":"a"}"#).is_err());
}

#[test]
fn sizes_at_their_bounds_and_past_them() {
    let leaf = FilterNode {
        key: "a".into(),
        cmp: "ex".into(),
        ..FilterNode::default()
    };
    let join = |op: &str, nodes: Vec<FilterNode>| FilterNode {
        op: op.into(),
        nodes,
        ..FilterNode::default()
    };
    let wide = |count: usize| TagFilter::new(&join("and", vec![leaf.clone(); count])).is_ok();
    assert!(wide(NODES_MAX - 1) && !wide(NODES_MAX));
    let deep = |depth: usize| {
        let node = (1..depth).fold(leaf.clone(), |node, _| join("not", vec![node]));
        TagFilter::new(&node).is_ok()
    };
    assert!(deep(DEPTH_MAX) && !deep(DEPTH_MAX + 1));
    let long = |bytes: usize| {
        let val = "v".repeat(bytes - 1);
        TagFilter::new(&FilterNode {
            cmp: "eq".into(),
            val,
            ..leaf.clone()
        })
        .is_ok()
    };
    assert!(long(FILTER_BYTES_MAX) && !long(FILTER_BYTES_MAX + 1));
    let many = |count: usize| {
        let vals = vec!["v".into(); count];
        TagFilter::new(&FilterNode {
            cmp: "in".into(),
            vals,
            ..leaf.clone()
        })
        .is_ok()
    };
    assert!(many(VALUES_MAX) && !many(VALUES_MAX + 1));
}

fn node() -> impl Strategy<Value = FilterNode> {
    let leaf = (
        "[ab]",
        prop_oneof!["eq", "neq", "ex", "nex", "in", "nin"],
        "[12]",
    )
        .prop_map(|(key, cmp, val)| {
            let is_list = ["in", "nin"].contains(&&*cmp);
            let is_test = ["ex", "nex"].contains(&&*cmp);
            FilterNode {
                key,
                vals: if is_list { vec![val.clone()] } else { vec![] },
                val: if is_list || is_test {
                    String::new()
                } else {
                    val
                },
                cmp,
                ..FilterNode::default()
            }
        });
    leaf.prop_recursive(4, 20, 3, |node| {
        (prop_oneof!["and", "or", "not"], vec(node, 1..4)).prop_map(|(op, mut nodes)| {
            if op == "not" {
                nodes.truncate(1);
            }
            FilterNode {
                op,
                nodes,
                ..FilterNode::default()
            }
        })
    })
}

fn slowly(node: &FilterNode, tags: &Tags) -> bool {
    let value = tags.get(&node.key);
    match (&*node.op, &*node.cmp) {
        ("and", _) => node.nodes.iter().all(|it| slowly(it, tags)),
        ("or", _) => node.nodes.iter().any(|it| slowly(it, tags)),
        ("not", _) => !slowly(&node.nodes[0], tags),
        (_, "eq") => value == Some(&node.val),
        (_, "neq") => value != Some(&node.val),
        (_, "ex") => value.is_some(),
        (_, "nex") => value.is_none(),
        (_, "in") => node.vals.iter().any(|it| value == Some(it)),
        (_, "nin") => !node.vals.iter().any(|it| value == Some(it)),
        other => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn what_is_compiled_says_what_is_written(
        node in node(), a in proptest::option::of("[12]"), b in proptest::option::of("[12]"),
    ) {
        let Ok(filter) = TagFilter::new(&node) else { return Ok(()) };
        let pairs: Vec<_> = [("a", &a), ("b", &b)]
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.as_deref()?)))
            .collect();
        let tags = tags(&pairs);
        prop_assert_eq!(filter.accepts(&tags), slowly(&node, &tags));
    }
}
