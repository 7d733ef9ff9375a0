//! Checks without a browser that the page's files obey its content security
//! policy and use no outside resource.

use openline_gateway::reserved::RESERVED_HEADERS;

use super::{Asset, INDEX_PATH, LISTING_PATH, asset, development};

const NAMES: [&str; 25] = [
    "",
    "page.css",
    "icon.svg",
    "page.js",
    "admin.css",
    "admin.js",
    "interface.js",
    "managed.js",
    "aliases.js",
    "deploy.js",
    "upload.js",
    "channels.js",
    "channel.js",
    "following.js",
    "publication.js",
    "paging.js",
    "lines.js",
    "line.js",
    "confirm.js",
    "functions.js",
    "panel.js",
    "log.js",
    "address.js",
    "format.js",
    "dom.js",
];

/// Files that exist only in development, in addition to another index.
const IN_DEVELOPMENT: [&str; 2] = ["development.css", "development.js"];

/// The names of all files.
fn names() -> impl Iterator<Item = &'static str> {
    NAMES.into_iter().chain(IN_DEVELOPMENT)
}

/// A file as in development, which has all of them.
fn at(name: &str) -> Asset {
    let path = format!("{INDEX_PATH}{name}");
    let found = development::asset(&path).or_else(|| asset(&path));
    assert!(found.is_some(), "no asset {name}");
    found.unwrap()
}

/// Everything between `before` and the next `after`, wherever it occurs.
fn between<'a>(text: &'a str, before: &'a str, after: char) -> impl Iterator<Item = &'a str> {
    text.split(before)
        .skip(1)
        .filter_map(move |rest| rest.split(after).next())
}

/// The attributes inside tags of the index, comments left out.
fn tags() -> Vec<&'static str> {
    let index = at("").body;
    assert!(!index.contains("<!-- "), "one comment only, at the head");
    let (_, markup) = index.split_once("-->").expect("the head comment");
    between(markup, "<", '>').collect()
}

#[test]
fn every_file_is_there_with_its_type() {
    for name in names() {
        let found = at(name);
        let expected = match name.rsplit('.').next() {
            Some("css") => "text/css; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("svg") => "image/svg+xml",
            _ => "text/html; charset=utf-8",
        };
        assert_eq!(found.content_type, expected, "{name}");
        assert!(!found.body.trim().is_empty(), "{name}");
    }
}

#[test]
fn every_file_on_disk_is_served() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/src/page/assets");
    for entry in std::fs::read_dir(directory).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let name = if name == "index.html" { "" } else { &name };
        // A part of the other index.
        let is_part = name == "development.html";
        assert!(
            is_part || names().any(|known| known == name),
            "{name} is not served or not tested"
        );
    }
}

#[test]
fn what_is_for_development_is_there_in_development_only() {
    for name in IN_DEVELOPMENT {
        assert_eq!(asset(&format!("{INDEX_PATH}{name}")), None, "{name}");
    }
    for name in NAMES {
        let body = asset(&format!("{INDEX_PATH}{name}")).unwrap().body;
        assert!(!body.contains("development"), "{name}");
    }
    let index = at("").body;
    for (text, times) in [
        ("src=\"development.js\"", 1),
        ("href=\"development.css\"", 1),
        ("id=\"development\"", 1),
        ("<main>", 1),
        ("src=\"page.js\"", 1),
    ] {
        assert_eq!(index.matches(text).count(), times, "{text}");
    }
}

#[test]
fn other_paths_have_nothing() {
    for path in [
        "/",
        "/page.js",
        "/.openline",
        "/.openline/index.html",
        "/.openline/../page.js",
        "/.openline//page.js",
        "/.openline/page.js/",
        LISTING_PATH,
    ] {
        assert_eq!(asset(path), None, "{path}");
    }
}

#[test]
fn no_file_names_another_origin() {
    for name in names() {
        let body = at(name)
            .body
            // The name of a format, which no browser fetches.
            .replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
        for scheme in [
            "http://", "https://", "ws://", "wss://", "\"//", "'//", "(//",
        ] {
            assert!(!body.contains(scheme), "{name} has {scheme}");
        }
        assert!(
            !body.contains("url(") && !body.contains("@import"),
            "{name} loads a resource"
        );
    }
}

#[test]
fn the_page_has_no_inline_script_or_style() {
    for tag in tags() {
        let name = tag.split_whitespace().next().unwrap_or_default();
        assert_ne!(name, "style", "<{tag}>");
        assert_ne!(name, "base", "<{tag}>");
        assert!(name != "script" || tag.contains(" src="), "<{tag}>");
        for attribute in tag.split_whitespace().skip(1) {
            let attribute = attribute.split('=').next().unwrap_or_default();
            assert_ne!(attribute, "style", "<{tag}>");
            assert!(!attribute.starts_with("on"), "<{tag}>");
        }
        assert!(!tag.contains("javascript:"), "<{tag}>");
    }
}

#[test]
fn scripts_never_make_markup_or_code_of_text() {
    for name in names().filter(|name| name.ends_with(".js")) {
        let body = at(name).body;
        for word in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "setHTMLUnsafe",
            "document.write",
            "eval(",
            "new Function(",
            "setAttribute(\"style\"",
        ] {
            assert!(!body.contains(word), "{name} uses {word}");
        }
    }
}

#[test]
fn whatever_a_file_refers_to_is_served() {
    for tag in tags() {
        for reference in between(tag, "src=\"", '"').chain(between(tag, "href=\"", '"')) {
            if !reference.starts_with('#') {
                at(reference);
            }
        }
    }
    for name in names().filter(|name| name.ends_with(".js")) {
        for reference in between(at(name).body, " from \"./", '"') {
            at(reference);
        }
    }
}

#[test]
fn headers_are_valid_and_forbid_what_is_inline() {
    for (name, value) in RESERVED_HEADERS {
        let parsed = http::HeaderName::from_lowercase(name.as_bytes()).unwrap();
        assert_eq!(parsed.as_str(), name);
        http::HeaderValue::from_str(value).unwrap();
        assert!(
            !value.contains("unsafe") && !value.contains("  "),
            "{value}"
        );
    }
    let (_, policy) = RESERVED_HEADERS[0];
    assert!(policy.starts_with("default-src 'none';"));
}
