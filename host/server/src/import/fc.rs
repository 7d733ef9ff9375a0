//! `s.yaml` of Serverless Devs, with the component `fc3` of Function Compute
//! 3.0: which resources it has, and what becomes of them.

use openline_core::config::Config;

use super::function::{self, DomainRoute, Function};
use super::values::{Document, Table};
use super::yaml::{self, Node};
use super::{Imported, Wrong};

/// Reads an `s.yaml`.
///
/// # Errors
///
/// When it is not YAML, or has something that cannot be read, or no function.
pub(crate) fn import(text: &str) -> Result<Imported, Wrong> {
    let root = yaml::read(text)?;
    let mut document = Document::new(&root);
    let mut file = Table::of(&root, "the file")?;
    let resources = file
        .needed("resources", "the file")
        .map_err(|wrong| Wrong {
            hint:
                "give the path of an `s.yaml` of edition 3; `s cli fc3 s2tos3` converts older ones"
                    .into(),
            ..wrong
        })?;
    let mut functions: Vec<Function> = Vec::new();
    let mut domains: Vec<DomainRoute> = Vec::new();
    for entry in Table::of(resources, "resources")?.rest() {
        let mut resource = Table::of(&entry.node, &entry.key)?;
        let component = resource.take("component");
        let props = resource.needed("props", &format!("the resource `{}`", entry.key))?;
        if resource.has("actions") {
            let text = format!(
                "`actions` of `{}`: `openline build` and `openline deploy` take their place",
                entry.key
            );
            document.left_out(entry.line, text);
        }
        let keys = Table::of(props, "props")?;
        if keys.has("functionName") || keys.has("function") && !keys.has("service") {
            let read = function::function(&mut document, props)?;
            if functions.iter().any(|other| other.name == read.name) {
                let what = format!("two functions are named `{}`", read.name);
                let hint = "write the name that each has when it is deployed";
                return Err(Wrong::new(read.line, what, hint));
            }
            functions.push(read);
        } else if keys.has("domainName") {
            domains.extend(function::custom_domain(&mut document, props)?);
        } else {
            let name = component.map_or("that it has", |_| "of its kind");
            let text = format!(
                "the resource `{}`: a component {name} has no counterpart; `s cli fc3 s2tos3` converts functions of Function Compute 2.0",
                entry.key
            );
            document.left_out(entry.line, text);
        }
    }
    place(&mut document, &mut functions, domains);
    if functions.is_empty() {
        let hint = "a resource with the component `fc3` has `functionName` among its `props`";
        return Err(Wrong::new(resources.line, "the file has no function", hint));
    }
    let text = super::write::write(&mut document, &functions)?;
    check(&text, &root)?;
    Ok(Imported {
        text,
        notes: document.into_notes(),
    })
}

/// Gives the routes of domains to the functions that they lead to.
fn place(document: &mut Document<'_>, functions: &mut [Function], domains: Vec<DomainRoute>) {
    for route in domains {
        let name = route.function.as_deref();
        let found = functions.iter_mut().find(|it| Some(&*it.name) == name);
        match found {
            Some(function) => function.routes.push(route),
            None => {
                let text = format!(
                    "`{}` of the domain `{}`: the function `{}` is not in the file",
                    route.path,
                    route.domain,
                    name.unwrap_or_default()
                );
                document.left_out(route.line, text);
            }
        }
    }
}

/// Checks what was written: a value may be one that the host does not take.
fn check(text: &str, root: &Node) -> Result<(), Wrong> {
    let Err(errors) = Config::parse(text) else {
        return Ok(());
    };
    let Some(error) = errors.first() else {
        return Ok(());
    };
    // Lines of what was written name lines of the file.
    let written = text.lines().take(error.line);
    let marks = written.filter_map(|line| line.rsplit_once("# line ")?.1.parse().ok());
    let line = marks.last().unwrap_or(root.line);
    Err(Wrong::new(line, error.message.clone(), error.hint.clone()))
}
