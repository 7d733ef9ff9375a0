//! Requests of curl: bodies that wait to be asked for, come in chunks or compressed,
//! and leave as they are written, over both versions of HTTP.

use std::io::Write;

use super::*;
use crate::tls::curl;

const LARGE: usize = 1 << 20;

/// A file of so many bytes, which are not all the same.
fn file(bytes: usize) -> (tempfile::NamedTempFile, Vec<u8>) {
    let content: Vec<u8> = (0..bytes)
        .map(|index| u8::try_from(index * 7 % 251).unwrap())
        .collect();
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&content).unwrap();
    (file, content)
}

#[tokio::test]
async fn curl_waits_to_be_asked_for_a_body() {
    for component in BOTH {
        let host = host(component)
            .limit(|limits| limits.request_body_bytes = LARGE)
            .start()
            .await;
        let told = ["--write-out", "%{http_code} %{size_upload}"];
        // It would wait for longer than the test does.
        let waits = [
            "--header",
            "expect: 100-continue",
            "--expect100-timeout",
            "60",
        ];
        for (bytes, path, expected) in [
            (LARGE, "swallow", format!("{LARGE}\n200 {LARGE}")),
            // Refused before it is sent.
            (LARGE + 1, "swallow", "413 0".to_owned()),
        ] {
            let (file, _) = file(bytes);
            let url = format!("http://{}/{path}", host.address);
            let data = format!("@{}", file.path().display());
            let arguments = [&told[..], &waits, &["--data-binary", &data, &url]].concat();
            let Some(said) = curl(&arguments).await else {
                return;
            };
            assert!(said.ends_with(&expected), "{said}");
        }
        host.nothing_is_left().await;
    }
}

#[tokio::test]
async fn curl_uploads_in_chunks_over_both_versions() {
    for (component, version) in [
        (PLAIN, "--http1.1"),
        (PLAIN, "--http2-prior-knowledge"),
        (ASYNC, "--http1.1"),
        (ASYNC, "--http2-prior-knowledge"),
    ] {
        let host = host(component).start().await;
        let (sent, content) = file(LARGE);
        let folder = tempfile::tempdir().unwrap();
        let got = folder.path().join("got");
        let url = format!("http://{}/echo", host.address);
        // Without a length, as from a pipe.
        let arguments = [
            version,
            "--request",
            "POST",
            "--header",
            "transfer-encoding: chunked",
            "--upload-file",
            sent.path().to_str().unwrap(),
            "--output",
            got.to_str().unwrap(),
            "--write-out",
            "%{http_code} %{http_version}",
            &url,
        ];
        let Some(said) = curl(&arguments).await else {
            return;
        };
        let number = if version == "--http1.1" { "1.1" } else { "2" };
        assert_eq!(said, format!("200 {number}"));
        assert!(std::fs::read(&got).unwrap() == content, "{version}");
        host.nothing_is_left().await;
    }
}

#[tokio::test]
async fn curl_gets_what_it_asks_for_on_one_tcp_connection() {
    let host = host(ASYNC).start().await;
    let url = |path: &str| format!("http://{}/{path}", host.address);
    let (headers, count, hello) = (url("headers"), url("count/3"), url("hello"));
    let told = ["--write-out", "[%{http_code} %{num_connects}]\n"];
    let arguments = [
        &told[..],
        &["--compressed", "--range", "2-5", &headers, "--next"],
        &told,
        &["--no-buffer", &count, "--next"],
        &told,
        &["--head", &hello],
    ]
    .concat();
    let Some(said) = curl(&arguments).await else {
        return;
    };
    let (described, rest) = said.split_once("[200 1]\n").unwrap();
    let described: Value = serde_json::from_str(described).unwrap();
    let headers = described["headers"].as_array().unwrap();
    let header = |name: &str| {
        let found = headers.iter().find(|header| header[0] == name);
        found.map_or("", |header| header[1].as_str().unwrap())
    };
    // A function may keep to them, and the host changes nothing.
    assert!(header("accept-encoding").contains("gzip"), "{described}");
    assert_eq!(header("range"), "bytes=2-5");
    let (counted, head) = rest.split_once("[200 0]\n").unwrap();
    assert_eq!(counted, "1\n2\n3\n");
    let head = head.to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200 ok\r\n"), "{head}");
    assert!(head.contains("content-length: 6\r\n"), "{head}");
    assert!(head.ends_with("\r\n\r\n[200 0]\n"), "{head}");
    host.nothing_is_left().await;
}

/// `compressed` in the format of gzip.
const GZIP: [u8; 30] = [
    0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 3, 75, 206, 207, 45, 40, 74, 45, 46, 78, 77, 1, 0, 30, 75, 86,
    151, 10, 0, 0, 0,
];

#[tokio::test]
async fn curl_unpacks_what_a_function_has_packed() {
    let host = host(PLAIN).start().await;
    let mut packed = tempfile::NamedTempFile::new().unwrap();
    packed.write_all(&GZIP).unwrap();
    let data = format!("@{}", packed.path().display());
    let url = format!("http://{}/echo", host.address);
    let encoding = ["--header", "content-encoding: gzip"];
    let arguments = [
        &["--compressed"],
        &encoding[..],
        &["--data-binary", &data, &url],
    ]
    .concat();
    let Some(said) = curl(&arguments).await else {
        return;
    };
    assert_eq!(said, "compressed");
    host.nothing_is_left().await;
}
