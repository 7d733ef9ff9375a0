//! What a function sees of a request.

use super::*;

async fn seen(host: &Host, request: Request<Body>) -> Value {
    let mut peer = Peer::connect(host).await;
    let answer = within("an answer", peer.send(request)).await.unwrap();
    let (status, text) = read(answer).await;
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

fn header<'a>(seen: &'a Value, name: &str) -> Vec<&'a str> {
    let headers = seen["headers"].as_array().unwrap().iter();
    let headers = headers.filter(|header| header[0] == name);
    headers.map(|header| header[1].as_str().unwrap()).collect()
}

#[tokio::test]
async fn it_sees_the_request_without_what_was_meant_for_the_host() {
    for component in BOTH {
        let host = host(component).start().await;
        let request = Request::builder()
            .method(Method::DELETE)
            .uri("/headers/%61?x=%61&y")
            .header("host", "Some.Example:80")
            .header("connection", "keep-alive, x-hop")
            .header("x-hop", "1")
            .header("keep-alive", "timeout=1")
            .header("proxy-authorization", "Basic eA==")
            .header("cookie", "a=1")
            .header("x-two", "1")
            .header("x-two", "2")
            .body(none())
            .unwrap();
        let seen = seen(&host, request).await;
        assert_eq!(seen["method"], "DELETE");
        assert_eq!(seen["scheme"], "http");
        assert_eq!(seen["authority"], "some.example:80");
        assert_eq!(seen["path"], "/headers/a");
        assert_eq!(seen["query"], "x=%61&y");
        for name in [
            "connection",
            "x-hop",
            "keep-alive",
            "proxy-authorization",
            "host",
        ] {
            assert!(header(&seen, name).is_empty(), "{component} {name}");
        }
        assert_eq!(header(&seen, "x-two"), ["1", "2"]);
        assert_eq!(header(&seen, "cookie"), ["a=1"]);
        assert!(seen["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
        assert_eq!(header(&seen, "openline-request-id").len(), 1);
        assert_eq!(seen["route_params"][0][1], "headers/a");
    }
}

#[tokio::test]
async fn a_header_of_the_host_from_a_peer_is_refused() {
    let host = host(PLAIN).start().await;
    let mut peer = Peer::connect(&host).await;
    let request = Request::builder().uri("/headers").header("host", "a");
    let request = request
        .header("openline-claims", "{}")
        .body(none())
        .unwrap();
    let answer = peer.send(request).await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), word(&answer)),
        (400, "reserved_header")
    );
}
