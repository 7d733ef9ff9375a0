//! Which trigger a request leads to.
//!
//! The host decides first: an exact name, then the longest `*.` pattern, then
//! triggers on all hosts. The first of these with a route for the path has the
//! request; among its routes a literal segment wins over `{name}`, and that
//! over `{*name}`. The method decides last, so a method that the triggers there
//! do not take is refused rather than given to a less specific trigger.
//!
//! A request costs a lookup for each label of its host, if any trigger has
//! hosts. Routes are a tree of segments, of which a search visits each node at
//! most once.

use std::collections::HashMap;

use super::{Methods, Trigger, TriggerError, TriggerPlace};
use crate::event::RouteParams;
use crate::route::{DecodeError, Route, Segment};

/// All triggers of a host, each with what it leads to.
#[derive(Clone, Debug)]
pub struct TriggerTable<T> {
    /// By the exact name.
    exact: HashMap<String, Paths<T>>,
    /// By the name behind `*.`.
    below: HashMap<String, Paths<T>>,
    everywhere: Paths<T>,
}

/// The result of a search.
#[derive(Debug)]
pub enum Found<'a, T> {
    /// The target, and the decoded parameters of its route.
    Target(&'a T, Result<RouteParams, DecodeError>),
    /// Triggers match host and path, but take only these methods.
    Methods(Methods),
    /// No trigger matches host and path.
    Nothing,
}

/// The triggers of one host or pattern.
#[derive(Clone, Debug)]
struct Paths<T> {
    root: Node,
    /// Triggers that match the same paths, by distinct methods.
    leaves: Vec<Vec<Leaf<T>>>,
}

/// The routes that begin with the same segments.
#[derive(Clone, Debug, Default)]
struct Node {
    literal: HashMap<Box<str>, Self>,
    /// Behind `{name}`.
    parameter: Option<Box<Self>>,
    /// The place in `leaves` of the route that ends with `{*name}` here.
    rest: Option<usize>,
    /// The place of the route that ends here.
    end: Option<usize>,
}

#[derive(Clone, Debug)]
struct Leaf<T> {
    route: Route,
    methods: Methods,
    place: TriggerPlace,
    target: T,
}

impl<T> Default for TriggerTable<T> {
    fn default() -> Self {
        Self {
            exact: HashMap::new(),
            below: HashMap::new(),
            everywhere: Paths::default(),
        }
    }
}

impl<T: Clone> TriggerTable<T> {
    /// Adds a trigger.
    ///
    /// # Errors
    ///
    /// When another trigger matches the same requests and neither is more
    /// specific. The table is of no use then.
    pub fn insert(
        &mut self,
        trigger: &Trigger,
        place: &TriggerPlace,
        target: &T,
    ) -> Result<(), TriggerError> {
        let leaf = Leaf {
            route: trigger.route.clone(),
            methods: trigger.methods,
            place: place.clone(),
            target: target.clone(),
        };
        if trigger.hosts.is_empty() {
            return self.everywhere.insert(leaf);
        }
        for (index, host) in trigger.hosts.iter().enumerate() {
            if trigger.hosts[..index].contains(host) {
                continue;
            }
            let hosts = if host.is_wildcard() {
                &mut self.below
            } else {
                &mut self.exact
            };
            let paths = hosts.entry(host.name().to_owned()).or_default();
            paths.insert(leaf.clone())?;
        }
        Ok(())
    }

    /// Finds the trigger for a request: its host in the
    /// [one spelling](super::Authority), if it names one, its path in the
    /// [one spelling](crate::path), and its method.
    pub fn find(&self, host: Option<&str>, path: &str, method: &str) -> Found<'_, T> {
        let host = host.unwrap_or_default();
        let exact = self.exact.get(host);
        let dots = host.match_indices('.').map(|(at, _)| &host[at + 1..]);
        let below = dots
            .filter(|_| !self.below.is_empty())
            .filter_map(|name| self.below.get(name));
        let tiers = exact.into_iter().chain(below).chain([&self.everywhere]);
        let mut found = tiers.filter_map(|paths| paths.find(path, method));
        found.next().unwrap_or(Found::Nothing)
    }
}

impl<T> Default for Paths<T> {
    fn default() -> Self {
        Self {
            root: Node::default(),
            leaves: Vec::new(),
        }
    }
}

impl<T> Paths<T> {
    fn insert(&mut self, leaf: Leaf<T>) -> Result<(), TriggerError> {
        let next = self.leaves.len();
        let place = *self.root.place_of(&leaf.route).get_or_insert(next);
        let Some(same) = self.leaves.get_mut(place) else {
            self.leaves.push(vec![leaf]);
            return Ok(());
        };
        if let Some(other) = same.iter().find(|it| it.methods.overlaps(leaf.methods)) {
            return Err(TriggerError::Conflict {
                one: Box::new(leaf.place),
                other: Box::new(other.place.clone()),
            });
        }
        same.push(leaf);
        Ok(())
    }

    fn find(&self, path: &str, method: &str) -> Option<Found<'_, T>> {
        let mut values = Vec::new();
        let place = self.root.find(path.strip_prefix('/')?, &mut values)?;
        let leaves = &self.leaves[place];
        let Some(leaf) = leaves.iter().find(|it| it.methods.contains(method)) else {
            let methods = leaves.iter().map(|leaf| leaf.methods);
            return Some(Found::Methods(methods.reduce(Methods::and)?));
        };
        Some(Found::Target(&leaf.target, leaf.route.decode(&values)))
    }
}

impl Node {
    /// Where a route keeps its place.
    fn place_of(&mut self, route: &Route) -> &mut Option<usize> {
        let mut node = self;
        for segment in route.segments() {
            node = match segment {
                Segment::Rest => return &mut node.rest,
                Segment::Parameter => node.parameter.get_or_insert_default(),
                Segment::Literal(text) => node.literal.entry(text.into()).or_default(),
            };
        }
        &mut node.end
    }

    /// The place of the route that matches a path without its first slash, and
    /// the values of its parameters. A route has few segments, so the depth is
    /// bounded.
    fn find<'a>(&self, path: &'a str, values: &mut Vec<&'a str>) -> Option<usize> {
        let (segment, behind) = match path.split_once('/') {
            Some((segment, behind)) => (segment, Some(behind)),
            None => (path, None),
        };
        let on = |node: &Self, values: &mut Vec<&'a str>| match behind {
            Some(behind) => node.find(behind, values),
            None => node.end,
        };
        let literal = self.literal.get(segment);
        if let Some(place) = literal.and_then(|node| on(node, values)) {
            return Some(place);
        }
        if path.is_empty() {
            return None;
        }
        if let Some(node) = &self.parameter
            && !segment.is_empty()
        {
            values.push(segment);
            if let Some(place) = on(node, values) {
                return Some(place);
            }
            values.pop();
        }
        values.push(path);
        self.rest.or_else(|| {
            values.pop();
            None
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::HostPattern;
    use super::*;
    use crate::name::{FunctionName, TriggerName};

    fn place(number: usize) -> TriggerPlace {
        TriggerPlace {
            function: FunctionName::new("f").unwrap(),
            trigger: TriggerName::new(&number.to_string()).unwrap(),
        }
    }

    fn trigger((hosts, route, methods): &(Vec<&str>, &str, Vec<&str>)) -> Trigger {
        Trigger {
            hosts: hosts
                .iter()
                .map(|it| HostPattern::new(it).unwrap())
                .collect(),
            methods: Methods::new(methods).unwrap(),
            ..Trigger::new(Route::new(route).unwrap())
        }
    }

    fn table(
        triggers: &[(Vec<&str>, &str, Vec<&str>)],
    ) -> Result<TriggerTable<usize>, TriggerError> {
        let mut table = TriggerTable::default();
        for (number, each) in triggers.iter().enumerate() {
            table.insert(&trigger(each), &place(number), &number)?;
        }
        Ok(table)
    }

    fn anywhere<'a>(routes: &[&'a str]) -> Vec<(Vec<&'a str>, &'a str, Vec<&'a str>)> {
        let routes = routes.iter();
        routes.map(|route| (vec![], *route, vec!["GET"])).collect()
    }

    fn target(table: &TriggerTable<usize>, host: &str, path: &str) -> Option<usize> {
        match table.find(Some(host), path, "GET") {
            Found::Target(target, _) => Some(*target),
            _ => None,
        }
    }

    #[test]
    fn literal_segments_win_over_parameters_and_these_over_the_rest() {
        let routes = [
            "/chat/{room}",
            "/chat/lobby",
            "/",
            "/{*rest}",
            "/chat/{room}/log",
        ];
        let table = table(&anywhere(&routes)).unwrap();
        for (path, expected) in [
            ("/chat/a", Some(0)),
            ("/chat/lobby", Some(1)),
            ("/", Some(2)),
            ("/chat", Some(3)),
            ("/chat/", Some(3)),
            ("/chat/a/b", Some(3)),
            ("/chat/lobby/log", Some(4)),
            ("/CHAT/a", Some(3)),
            ("", None),
        ] {
            assert_eq!(target(&table, "h", path), expected, "{path}");
        }
        let Found::Target(_, params) = table.find(None, "/chat/a/b%20c", "GET") else {
            panic!("nothing is found");
        };
        assert_eq!(params, Ok(vec![("rest".into(), "chat/a/b c".into())]));
    }

    #[test]
    fn the_most_specific_host_with_a_route_has_the_request() {
        let table = table(&[
            (vec![], "/a", vec!["GET"]),
            (vec!["*.example.org"], "/a", vec!["GET"]),
            (vec!["*.b.example.org"], "/a", vec!["GET"]),
            (vec!["chat.example.org", "x.org"], "/a", vec!["GET"]),
            (vec![], "/everywhere", vec!["GET"]),
        ])
        .unwrap();
        for (host, path, expected) in [
            ("chat.example.org", "/a", Some(3)),
            ("x.org", "/a", Some(3)),
            ("other.example.org", "/a", Some(1)),
            ("a.b.example.org", "/a", Some(2)),
            ("b.example.org", "/a", Some(1)),
            ("example.org", "/a", Some(0)),
            ("", "/a", Some(0)),
            ("chat.example.org", "/everywhere", Some(4)),
            ("chat.example.org", "/b", None),
        ] {
            assert_eq!(target(&table, host, path), expected, "{host}{path}");
        }
    }

    #[test]
    fn the_example_of_a_route_leads_to_it() {
        let routes = [
            "/",
            "/a/",
            "/chat/{room}",
            "/chat/{room}/{log}",
            "/b/{*rest}",
        ];
        let table = table(&anywhere(&routes)).unwrap();
        for (place, route) in routes.iter().enumerate() {
            let example = Route::new(route).unwrap().example();
            assert_eq!(target(&table, "h", &example), Some(place), "{example}");
        }
    }

    #[test]
    fn the_method_decides_last() {
        let table = table(&[
            (vec![], "/chat/{room}", vec!["GET", "HEAD"]),
            (vec![], "/chat/{name}", vec!["POST"]),
            (vec![], "/{*rest}", vec!["PUT"]),
        ])
        .unwrap();
        let find = |method| table.find(None, "/chat/a", method);
        let Found::Target(1, Ok(params)) = find("POST") else {
            panic!("{:?}", find("POST"));
        };
        assert_eq!(params[0].0, "name");
        for method in ["PUT", "BREW"] {
            let Found::Methods(methods) = find(method) else {
                panic!("{:?}", find(method));
            };
            assert_eq!(methods.to_string(), "GET, POST, HEAD");
        }
    }

    #[test]
    fn two_triggers_for_the_same_requests_conflict_and_both_are_named() {
        let get = || vec!["GET"];
        for (one, other, conflict) in [
            (
                (vec![], "/chat/{room}", get()),
                (vec![], "/chat/{name}", get()),
                true,
            ),
            (
                (vec![], "/{a}/{*b}", get()),
                (vec![], "/{c}/{*d}", get()),
                true,
            ),
            ((vec![], "/a", get()), (vec![], "/a", vec!["PUT"]), false),
            (
                (vec![], "/a", vec!["GET", "PUT"]),
                (vec![], "/a", vec!["PUT"]),
                true,
            ),
            ((vec!["a.org"], "/a", get()), (vec![], "/a", get()), false),
            (
                (vec!["a.org"], "/a", get()),
                (vec!["*.org"], "/a", get()),
                false,
            ),
            (
                (vec!["a.org", "b.org"], "/a", get()),
                (vec!["c.org", "b.org"], "/a", get()),
                true,
            ),
            (
                (vec!["*.A.org"], "/a", get()),
                (vec!["*.a.org."], "/a", get()),
                true,
            ),
            (
                (vec!["a.org", "a.org"], "/a", get()),
                (vec![], "/b", get()),
                false,
            ),
            ((vec![], "/{a}/x", get()), (vec![], "/x/{a}", get()), false),
            ((vec![], "/a/{b}", get()), (vec![], "/a/{*b}", get()), false),
            ((vec![], "/a", get()), (vec![], "/a/", get()), false),
        ] {
            let made = table(&[one.clone(), other.clone()]);
            assert_eq!(made.is_err(), conflict, "{one:?} {other:?}");
            if let Err(error) = made {
                let text = error.to_string();
                assert!(text.contains("trigger `0`"), "{text}");
            }
        }
    }

    /// How specific a route is for a path: for each segment 0 for a literal, 1
    /// for a parameter, 2 for the rest. `None` if it does not match.
    fn rank(route: &str, path: &str) -> Option<Vec<u8>> {
        let (mut route, mut path) = (route.split('/').skip(1), path.split('/').skip(1));
        let mut rank = Vec::new();
        loop {
            match (route.next(), path.next()) {
                (None, None) => return Some(rank),
                (Some(pattern), Some(segment)) if pattern.starts_with("{*") => {
                    rank.push(2);
                    let alone = path.next().is_none();
                    return (!alone || !segment.is_empty()).then_some(rank);
                }
                (Some(pattern), Some(segment)) if pattern.starts_with('{') => {
                    rank.push(1);
                    if segment.is_empty() {
                        return None;
                    }
                }
                (Some(pattern), Some(segment)) if pattern == segment => rank.push(0),
                _ => return None,
            }
        }
    }

    /// Looks at every trigger in turn.
    fn one_by_one(
        triggers: &[(Vec<&str>, &str, Vec<&str>)],
        host: &str,
        path: &str,
        method: &str,
    ) -> Result<Option<usize>, ()> {
        let tier = |hosts: &[&str]| {
            let lengths = hosts.iter().filter_map(|pattern| {
                if *pattern == host {
                    return Some(1000);
                }
                let suffix = pattern.strip_prefix('*')?;
                (host.len() > suffix.len() && host.ends_with(suffix)).then_some(suffix.len())
            });
            match hosts.is_empty() {
                true => Some(0),
                false => lengths.max(),
            }
        };
        let mut all: Vec<_> = (0..triggers.len())
            .filter_map(|number| {
                let (hosts, route, _) = &triggers[number];
                let order = (std::cmp::Reverse(tier(hosts)?), rank(route, path)?);
                Some((order, number))
            })
            .collect();
        all.sort();
        let best: Vec<_> = all.iter().filter(|it| it.0 == all[0].0).collect();
        if best.is_empty() {
            return Ok(None);
        }
        let takes = |number: &usize| triggers[*number].2.contains(&method);
        let mut taking = best.iter().map(|it| it.1).filter(takes);
        taking.next().map(Some).ok_or(())
    }

    fn any_trigger() -> impl Strategy<Value = (Vec<&'static str>, &'static str, Vec<&'static str>)>
    {
        let hosts = prop::sample::select(vec!["a.org", "b.a.org", "*.org", "*.a.org", "*.b.a.org"]);
        let routes = prop::sample::select(vec![
            "/",
            "/a",
            "/a/",
            "/{x}",
            "/{x}/",
            "/a/b",
            "/a/{x}",
            "/{x}/b",
            "/{x}/{y}",
            "/{*x}",
            "/a/{*x}",
            "/{x}/{*y}",
            "/a/b/c",
            "/{x}/b/{y}",
            "/a/{x}/c",
            "/{x}/b/{*y}",
        ]);
        let methods = prop::sample::select(vec!["GET", "POST", "PUT"]);
        let methods = prop::collection::vec(methods, 1..3);
        (prop::collection::vec(hosts, 0..3), routes, methods)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// The table finds what a search through all triggers finds.
        #[test]
        fn finds_what_a_search_through_all_finds(
            candidates in prop::collection::vec(any_trigger(), 1..12),
            segments in prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 0..4),
            slash in any::<bool>(),
            host in prop::sample::select(vec!["a.org", "b.a.org", "c.b.a.org", "x.org", "org", ""]),
            method in prop::sample::select(vec!["GET", "POST", "PUT", "DELETE"]),
        ) {
            // Those that conflict with earlier ones are left out.
            let mut triggers = Vec::new();
            for candidate in candidates {
                triggers.push(candidate);
                if table(&triggers).is_err() {
                    triggers.pop();
                }
            }
            let table = table(&triggers).unwrap();
            let end = if slash || segments.is_empty() { "/" } else { "" };
            let path = match segments.is_empty() {
                true => "/".to_owned(),
                false => format!("/{}{end}", segments.join("/")),
            };
            let found = match table.find(Some(host), &path, method) {
                Found::Target(target, params) => {
                    prop_assert!(params.is_ok());
                    Ok(Some(*target))
                }
                Found::Methods(methods) => {
                    prop_assert!(!methods.contains(method));
                    Err(())
                }
                Found::Nothing => Ok(None),
            };
            prop_assert_eq!(found, one_by_one(&triggers, host, &path, method), "{:?}", triggers);
        }
    }
}
