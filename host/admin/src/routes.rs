//! The table of all that the admin interface answers, and the search in it.
//!
//! `openapi.json` describes the same; a test holds one against the other.

use http::Method;
use percent_encoding::percent_decode_str;

use crate::problem::Problem;

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Host,
    Config,
    State,
    OpenApi,
    Functions,
    Function,
    RemoveFunction,
    Versions,
    Deploy,
    RemoveVersion,
    Aliases,
    SetAlias,
    RemoveAlias,
    Promote,
    Rollback,
    Connections,
    Connection,
    Send,
    Close,
}

/// A row of the table.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) method: Method,
    /// `{name}` stands for one segment.
    pub(crate) path: &'static str,
    /// What may be behind the question mark.
    pub(crate) keys: &'static [&'static str],
    pub(crate) operation: Operation,
}

const DEPLOY_KEYS: &[&str] = &[
    "alias",
    "weight",
    "migration",
    "drain_connections_per_second",
    "route",
    "note",
    "probe",
];

const fn row(
    method: Method,
    path: &'static str,
    keys: &'static [&'static str],
    operation: Operation,
) -> Endpoint {
    Endpoint {
        method,
        path,
        keys,
        operation,
    }
}

#[rustfmt::skip]
static TABLE: [Endpoint; 19] = [
    row(Method::GET, "/v1/host", &[], Operation::Host),
    row(Method::GET, "/v1/config", &[], Operation::Config),
    row(Method::GET, "/v1/state", &[], Operation::State),
    row(Method::GET, "/v1/openapi.json", &[], Operation::OpenApi),
    row(Method::GET, "/v1/functions", &[], Operation::Functions),
    row(Method::GET, "/v1/functions/{name}", &[], Operation::Function),
    row(Method::DELETE, "/v1/functions/{name}", &[], Operation::RemoveFunction),
    row(Method::GET, "/v1/functions/{name}/versions", &[], Operation::Versions),
    row(Method::POST, "/v1/functions/{name}/versions", DEPLOY_KEYS, Operation::Deploy),
    row(Method::DELETE, "/v1/functions/{name}/versions/{version}", &["force"], Operation::RemoveVersion),
    row(Method::GET, "/v1/functions/{name}/aliases", &[], Operation::Aliases),
    row(Method::PUT, "/v1/functions/{name}/aliases/{alias}", &[], Operation::SetAlias),
    row(Method::DELETE, "/v1/functions/{name}/aliases/{alias}", &[], Operation::RemoveAlias),
    row(Method::POST, "/v1/functions/{name}/aliases/{alias}/promote", &[], Operation::Promote),
    row(Method::POST, "/v1/functions/{name}/aliases/{alias}/rollback", &[], Operation::Rollback),
    row(Method::GET, "/v1/connections", &["function", "tag", "after", "limit"], Operation::Connections),
    row(Method::GET, "/v1/connections/{id}", &[], Operation::Connection),
    row(Method::POST, "/v1/connections/{id}/messages", &[], Operation::Send),
    row(Method::POST, "/v1/connections/{id}/close", &[], Operation::Close),
];

/// All that is answered: method, path with `{name}` for one segment, and the
/// keys of the query.
pub fn endpoints() -> impl Iterator<Item = (&'static str, &'static str, &'static [&'static str])> {
    TABLE
        .iter()
        .map(|endpoint| (endpoint.method.as_str(), endpoint.path, endpoint.keys))
}

/// The row for a request, and the decoded values of its path's parameters.
pub(crate) fn find(
    method: &Method,
    path: &str,
) -> Result<(&'static Endpoint, Vec<String>), Problem> {
    let mut allowed = Vec::new();
    for endpoint in &TABLE {
        let Some(values) = values(endpoint.path, path) else {
            continue;
        };
        let head = *method == Method::HEAD && endpoint.method == Method::GET;
        if head || *method == endpoint.method {
            return Ok((endpoint, decoded(&values)?));
        }
        allowed.push(endpoint.method.as_str());
        if endpoint.method == Method::GET {
            allowed.push("HEAD");
        }
    }
    if allowed.is_empty() {
        return Err(Problem::new(
            404,
            "not_found",
            "there is nothing on this path",
        ));
    }
    let allowed = allowed.join(", ");
    let problem = Problem::new(405, "method_not_allowed", "this is not done here")
        .hint(format!("this path takes {allowed}"));
    // Only names of methods are in it.
    Err(match allowed.parse() {
        Ok(value) => problem.header(http::header::ALLOW, value),
        Err(_) => problem,
    })
}

/// The segments that stand where a pattern has parameters, if it matches. None
/// of them is empty.
fn values<'a>(pattern: &str, path: &'a str) -> Option<Vec<&'a str>> {
    let mut found = Vec::new();
    let mut segments = path.split('/');
    for part in pattern.split('/') {
        let segment = segments.next()?;
        if part.starts_with('{') && !segment.is_empty() {
            found.push(segment);
        } else if part != segment {
            return None;
        }
    }
    segments.next().is_none().then_some(found)
}

fn decoded(values: &[&str]) -> Result<Vec<String>, Problem> {
    let decode = |value: &&str| {
        let decoded = percent_decode_str(value).decode_utf8();
        decoded.map(Into::into).map_err(|_| {
            Problem::bad(
                "bad_name",
                "a name in the path is not UTF-8 after percent-decoding",
            )
        })
    };
    values.iter().map(decode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(method: &str, path: &str) -> Result<(Operation, Vec<String>), u16> {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        find(&method, path)
            .map(|(endpoint, values)| (endpoint.operation, values))
            .map_err(|problem| problem.status())
    }

    #[test]
    fn every_row_is_found_by_its_own_path() {
        for endpoint in &TABLE {
            let (operation, values) = found(endpoint.method.as_str(), endpoint.path).unwrap();
            assert_eq!(operation, endpoint.operation);
            assert_eq!(values.len(), endpoint.path.matches('{').count());
        }
    }

    #[test]
    fn parameters_are_decoded_and_stay_one_segment() {
        let path = "/v1/functions/a%20b/aliases/%2e%2e%2Fx";
        let values = vec!["a b".to_owned(), "../x".to_owned()];
        assert_eq!(found("PUT", path), Ok((Operation::SetAlias, values)));
        assert_eq!(found("GET", "/v1/functions/%ff"), Err(400));
        let long = "n".repeat(10_000);
        let values = vec![long.clone()];
        let path = format!("/v1/functions/{long}");
        assert_eq!(found("GET", &path), Ok((Operation::Function, values)));
    }

    #[test]
    fn other_paths_and_methods_are_refused() {
        for path in [
            "/",
            "",
            "*",
            "/v1",
            "/v1/",
            "/v1/functions/",
            "/v1//functions",
            "//v1/functions",
            "/v1/functions/a/",
            "/v1/functions/a/versions/b/c",
            "/V1/functions",
            "/v1/../v1/functions",
            "/v1/functions/a/alias/b",
        ] {
            assert_eq!(found("GET", path), Err(404), "{path}");
        }
        for (method, path) in [
            ("POST", "/v1/functions"),
            ("HEAD", "/v1/functions/a/aliases/b"),
            ("GET", "/v1/functions/a/aliases/b/promote"),
            ("OPTIONS", "/v1/functions"),
            ("get", "/v1/functions"),
        ] {
            assert_eq!(found(method, path), Err(405), "{method} {path}");
        }
        assert_eq!(found("HEAD", "/v1/state"), Ok((Operation::State, vec![])));
    }

    /// The paths and methods of the document with the keys of the query.
    fn described() -> Vec<(String, String, Vec<String>)> {
        let document: serde_json::Value = serde_json::from_str(crate::OPENAPI).unwrap();
        let mut found = Vec::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            let operations = item.as_object().unwrap().iter();
            for (method, operation) in operations.filter(|(key, _)| *key != "parameters") {
                let parameters = operation["parameters"].as_array();
                let keys = parameters.into_iter().flatten();
                let keys = keys.map(|key| key["name"].as_str().unwrap().to_owned());
                found.push((method.to_uppercase(), path.clone(), keys.collect()));
            }
        }
        found.sort();
        found
    }

    #[test]
    fn the_document_describes_this_table_and_nothing_else() {
        let row = |(method, path, keys): (&str, &str, &[&str])| {
            let keys = keys.iter().map(|key| (*key).to_owned()).collect();
            (method.to_owned(), path.to_owned(), keys)
        };
        let mut table: Vec<_> = endpoints().map(row).collect();
        table.sort();
        assert_eq!(described(), table);
    }
}
