//! The paths and methods that the admin interface answers, and how it names the
//! allowed ones.

use openline_admin::endpoints;

use crate::harness::AdminHost;

async fn host() -> AdminHost {
    AdminHost::with(openline_guests::ECHO, "/echo")
        .start()
        .await
}

#[tokio::test]
async fn every_operation_of_the_document_is_found_by_its_own_path() {
    let host = host().await;
    for (method, path, _) in endpoints() {
        // Nothing has the names in braces, and there is no body.
        let got = host.ask(method, path, None).await;
        let value = got.status >= 400;
        let word = value.then(|| got.value()["error"].as_str().unwrap().to_owned());
        let word = word.as_deref();
        assert!(
            !matches!(word, Some("not_found" | "method_not_allowed")),
            "{method} {path}: {got:?}"
        );
    }
    let got = host.ask("HEAD", "/v1/state", None).await;
    assert_eq!((got.status, got.body.len()), (200, 0), "{got:?}");
    assert!(!got.head.contains("content-length: 0\r\n"), "{got:?}");
}

#[tokio::test]
async fn parameters_are_decoded_and_stay_one_segment() {
    let host = host().await;
    let path = "/v1/functions/none/aliases/%2e%2e%2Fx";
    host.ask("DELETE", path, None)
        .await
        .refused(400, "bad_name");
    let path = "/v1/functions/ec%68o";
    assert_eq!(host.ask("GET", path, None).await.status, 200);
    let path = "/v1/functions/%ff";
    host.ask("GET", path, None).await.refused(400, "bad_name");
    let path = format!("/v1/functions/{}", "n".repeat(10_000));
    host.ask("GET", &path, None).await.refused(400, "bad_name");
}

#[tokio::test]
async fn other_paths_are_refused() {
    let host = host().await;
    for path in [
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
        "/v1/functions//versions",
    ] {
        // Only OPTIONS may address a whole host.
        let method = if path == "*" { "OPTIONS" } else { "GET" };
        host.ask(method, path, None).await.refused(404, "not_found");
    }
}

#[tokio::test]
async fn other_methods_are_refused_with_those_that_a_path_takes() {
    let host = host().await;
    for (method, path, allowed) in [
        ("POST", "/v1/functions", "get, head"),
        ("PUT", "/v1/functions/a", "get, head, delete"),
        ("DELETE", "/v1/functions/a/versions", "get, head, post"),
        ("PATCH", "/v1/functions/a/aliases/b", "put, delete"),
        ("GET", "/v1/functions/a/aliases/b/promote", "post"),
        ("OPTIONS", "/v1/functions", "get, head"),
        ("get", "/v1/functions", "get, head"),
    ] {
        let got = host.ask(method, path, None).await;
        got.refused(405, "method_not_allowed");
        let allow = format!("\r\nallow: {allowed}\r\n");
        assert!(got.head.contains(&allow), "{method} {path}: {got:?}");
    }
    let got = host.ask("HEAD", "/v1/functions/a/aliases/b", None).await;
    assert_eq!(got.status, 405, "{got:?}");
}
