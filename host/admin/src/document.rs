//! The description of the interface, as OpenAPI 3.1. It is made from the types
//! of the answers and from the routes.
//!
//! The server itself uses the description: it takes the allowed keys of a query
//! and methods of a path from here.

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::responses::ERRORS;
use crate::routes;

/// Bodies of requests, in which missing keys have their defaults.
const REQUESTS: [&str; 9] = [
    "SetAlias",
    "ShareNamed",
    "Promote",
    "SetTrigger",
    "Close",
    "Publish",
    "MakeTicket",
    "Revoke",
    "MakeKey",
];

/// Methods in the order in which an answer lists them.
const METHODS: [(&str, &str); 4] = [
    ("get", "GET"),
    ("put", "PUT"),
    ("post", "POST"),
    ("delete", "DELETE"),
];

/// An operation of the document.
#[derive(Debug)]
struct Operation {
    method: &'static str,
    path: &'static str,
    /// The keys that its query may have.
    keys: Vec<&'static str>,
}

static DOCUMENT: LazyLock<Value> = LazyLock::new(document);
static OPERATIONS: LazyLock<Vec<Operation>> = LazyLock::new(operations);
static TEXT: LazyLock<String> = LazyLock::new(|| {
    let mut text = serde_json::to_string_pretty(&*DOCUMENT)
        .expect("a value of JSON with texts as keys can be written");
    text.push('\n');
    text
});

/// The description of the interface, as OpenAPI 3.1.
pub fn openapi() -> &'static str {
    &TEXT
}

/// All endpoints: method, path with `{name}` for one segment, and the keys of
/// the query.
pub fn endpoints() -> impl Iterator<Item = (&'static str, &'static str, &'static [&'static str])> {
    OPERATIONS
        .iter()
        .map(|operation| (operation.method, operation.path, &*operation.keys))
}

/// The keys that the query of a request may have; `path` is a path of the
/// document. HEAD has those of GET.
pub(crate) fn keys(method: &str, path: &str) -> &'static [&'static str] {
    let method = if method == "HEAD" { "GET" } else { method };
    let found = endpoints().find(|each| each.0 == method && each.1 == path);
    found.map_or(&[], |(_, _, keys)| keys)
}

/// The methods of a path of the document, as `Allow` lists them.
pub(crate) fn allowed(path: &str) -> String {
    let mut allowed = Vec::new();
    for (method, _, _) in endpoints().filter(|each| each.1 == path) {
        allowed.push(method);
        if method == "GET" {
            allowed.push("HEAD");
        }
    }
    allowed.join(", ")
}

fn document() -> Value {
    let (_, openapi) = routes::routes().split_for_parts();
    let mut document =
        serde_json::to_value(openapi).expect("the document is made of types that are JSON");
    let components = &mut document["components"];
    for (name, description) in ERRORS {
        let schema = json!({"$ref": "#/components/schemas/Error"});
        components["responses"][name] = json!({
            "description": description,
            "content": {"application/json": {"schema": schema}},
        });
    }
    components["responses"]["E401"]["headers"] =
        json!({"WWW-Authenticate": {"schema": {"type": "string"}}});
    components["securitySchemes"]["token"] = json!({
        "type": "http",
        "scheme": "bearer",
        "description": "The host's `admin_token`. Without one only this machine is answered.",
    });
    document["paths"]["/v1/functions/{name}/versions"]["post"]["requestBody"]["required"] =
        json!(true);
    let schemas = document["components"]["schemas"].as_object_mut();
    for (name, schema) in schemas.into_iter().flatten() {
        close(schema, REQUESTS.contains(&name.as_str()));
    }
    tidy(&mut document);
    document
}

/// Corrects what the derive macro writes: descriptions become one line, numbers
/// have no bounds of Rust types, and a list of fixed items requires all of
/// them.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(object) => {
            if let Some(Value::String(description)) = object.get_mut("description") {
                *description = description.replace('\n', " ");
            }
            let format = object.get("format").and_then(Value::as_str);
            if format.is_some_and(|format| format.starts_with("int")) {
                object.remove("format");
            }
            if let Some(Value::Array(items)) = object.get("prefixItems") {
                let all = items.len();
                object.insert("minItems".into(), json!(all));
            }
            object.values_mut().for_each(tidy);
        }
        Value::Array(array) => array.iter_mut().for_each(tidy),
        _ => {}
    }
}

/// Says that an object has only the described properties, and in an answer all
/// of them.
fn close(schema: &mut Value, is_request: bool) {
    let Some(properties) = schema["properties"].as_object() else {
        return;
    };
    let all: Vec<_> = properties.keys().cloned().collect();
    schema["additionalProperties"] = json!(false);
    if !is_request {
        schema["required"] = json!(all);
    }
}

fn operations() -> Vec<Operation> {
    let mut found = Vec::new();
    let paths = DOCUMENT["paths"].as_object();
    for (path, item) in paths.into_iter().flatten() {
        for (key, method) in METHODS {
            let operation = &item[key];
            if operation.is_null() {
                continue;
            }
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let keys = parameters.filter(|parameter| parameter["in"] == "query");
            found.push(Operation {
                method,
                path,
                keys: keys.filter_map(|key| key["name"].as_str()).collect(),
            });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// People read the file, and a change of the interface shows in it.
    #[test]
    fn the_file_is_the_document() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
        if std::env::var_os("OPENLINE_WRITE_OPENAPI").is_some() {
            std::fs::write(&file, openapi()).unwrap();
        }
        let written = std::fs::read_to_string(&file).unwrap();
        assert!(
            written == openapi(),
            "{} is out of date: write it with `OPENLINE_WRITE_OPENAPI=1 cargo test --workspace --lib -- document`",
            file.display()
        );
    }

    #[test]
    fn an_answer_has_all_that_is_described_and_a_request_may_leave_things_out() {
        let schemas = &DOCUMENT["components"]["schemas"];
        let function = &schemas["Function"];
        let required = function["required"].as_array().unwrap().len();
        assert_eq!(required, function["properties"].as_object().unwrap().len());
        assert_eq!(function["additionalProperties"], false);
        for request in REQUESTS {
            assert_eq!(
                schemas[request]["additionalProperties"], false,
                "{request} is not described"
            );
        }
        assert_eq!(schemas["SetAlias"]["required"], json!(["shares"]));
        assert!(schemas["Close"]["required"].is_null());
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn walk(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(object) => {
                    if let Some(Value::String(reference)) = object.get("$ref") {
                        found.push(reference.clone());
                    }
                    object.values().for_each(|value| walk(value, found));
                }
                Value::Array(array) => array.iter().for_each(|value| walk(value, found)),
                _ => {}
            }
        }
        let mut references = Vec::new();
        walk(&DOCUMENT, &mut references);
        assert!(references.len() > 50, "{}", references.len());
        for reference in references {
            let place = reference.strip_prefix('#').unwrap();
            assert!(DOCUMENT.pointer(place).is_some(), "{reference}");
        }
    }

    #[test]
    fn methods_and_keys_are_those_of_the_document() {
        assert_eq!(allowed("/v1/functions/{name}"), "GET, HEAD, DELETE");
        assert_eq!(
            keys("DELETE", "/v1/functions/{name}/versions/{version}"),
            ["force"]
        );
        let asked = keys("HEAD", "/v1/connections");
        assert_eq!(asked, ["function", "tag", "after", "limit"]);
        assert!(keys("GET", "/v1/host").is_empty());
        assert_eq!(endpoints().count(), 37);
    }
}
