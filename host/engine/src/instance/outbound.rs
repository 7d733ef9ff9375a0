//! Calls of guests to the outside: `wasi:http` on one side, `openline-outbound` on
//! the other, for both generations of WASI alike.
//!
//! It bounds nothing itself: the function's [`FunctionOutbound`] does. Whoever drops
//! a call's future or the body of its answer ends the call, and so does the end of
//! the instance.

use std::sync::Arc;

use http::{HeaderName, Request, Response};
use http_body_util::BodyExt as _;
use openline_outbound::{
    BodyError, CDN_LOOP, CallOptions, FunctionOutbound, HopName, Hops, OutboundError,
};
use parking_lot::Mutex;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiBody,
    WasiHttpHooks,
};

/// How much of a body a guest hands over at once, in bytes.
const CHUNK_BYTES: usize = 64 * 1024;
/// How many of these may wait for whom they are for. A plain call whose answer fits
/// returns without waiting for its peer.
const BUFFER_CHUNKS: usize = 4;

/// What `wasi:http` asks the host, for one instance.
#[derive(Debug)]
pub(crate) struct Calls {
    /// None where nobody may be called: of tools, and in trials.
    outbound: Option<Arc<FunctionOutbound>>,
    /// The way of the requests that the instance handles now.
    hops: Hops,
}

/// What a call's body has failed with.
type BodyFailure = Arc<Mutex<Option<Error>>>;

/// The rest of a call that `wasi:http` polls: there is none, because connections
/// have tasks of their own.
type Rest = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl Calls {
    /// Of an instance of this function.
    pub(crate) fn new(outbound: Option<Arc<FunctionOutbound>>) -> Self {
        Self {
            outbound,
            hops: Hops::default(),
        }
    }

    /// The instance begins to handle a request that has come this way. An instance
    /// with others in flight cannot tell which of them a call is for, so the
    /// farthest way counts.
    pub(crate) fn begin(&mut self, hops: Hops, is_alone: bool) {
        let name = self.hop_name().cloned();
        self.hops = match name {
            Some(name) if !is_alone => std::mem::take(&mut self.hops).farthest(hops, &name),
            _ => hops,
        };
    }

    fn hop_name(&self) -> Option<&HopName> {
        self.outbound.as_deref().map(FunctionOutbound::hop_name)
    }
}

impl WasiHttpHooks for Calls {
    /// Those of wasmtime, and the way of a call, which is the host's to write. This
    /// also hides them from functions. Headers of our own are not here, because
    /// functions read them in requests and write them in answers; calls lose them in
    /// `openline-outbound`.
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(is_forbidden)
    }

    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        is_forbidden(name)
    }

    fn p2_outgoing_body_buffer_chunks(&mut self) -> usize {
        BUFFER_CHUNKS
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK_BYTES
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK_BYTES
    }

    /// It is made of the URL.
    fn set_host_header(&mut self) -> bool {
        false
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Rest,
    ) -> Box<dyn Future<Output = Result<(Response<WasiBody>, Rest), Error>> + Send> {
        let Some(outbound) = &self.outbound else {
            return Box::new(async { Err(Error::HttpRequestDenied) });
        };
        let options = options.unwrap_or_default();
        let options = CallOptions {
            connect_timeout: options.connect_timeout,
            head_timeout: options.first_byte_timeout,
            silence_timeout: options.between_bytes_timeout,
            hops: self.hops.clone(),
        };
        let failure = BodyFailure::default();
        let kept = Arc::clone(&failure);
        let request = request.map(|body| {
            let keep = move |error: Error| -> BodyError {
                let told = error.to_string().into();
                *kept.lock() = Some(error);
                told
            };
            body.map_err(keep).boxed_unsync()
        });
        let call = outbound.call(request, options);
        Box::new(async move {
            let answer = call.await.map_err(|error| told(error, &failure))?;
            let answer = answer.map(|body| {
                let body = body.map_err(move |error| told(error, &failure));
                body.boxed_unsync()
            });
            let rest: Rest = Box::new(async { Ok(()) });
            Ok((answer, rest))
        })
    }
}

fn is_forbidden(name: &HeaderName) -> bool {
    *name == CDN_LOOP || DEFAULT_FORBIDDEN_HEADERS.contains(name)
}

/// What a guest is told of an error: what its own body has failed with, or what has
/// happened to the call.
fn told(error: OutboundError, failure: &BodyFailure) -> Error {
    match error {
        OutboundError::RequestBody => {
            let own = failure.lock().take();
            own.unwrap_or(Error::HttpProtocolError)
        }
        other => of_wasi(other),
    }
}

fn of_wasi(error: OutboundError) -> Error {
    match error {
        OutboundError::Denied(_) | OutboundError::OwnListener => Error::HttpRequestDenied,
        OutboundError::AddressDenied(_) => Error::DestinationIpProhibited,
        OutboundError::Url => Error::HttpRequestUriInvalid,
        OutboundError::Method => Error::HttpRequestMethodInvalid,
        OutboundError::Circle => Error::LoopDetected,
        OutboundError::CallLimit | OutboundError::HostCallLimit => Error::ConnectionLimitReached,
        OutboundError::LookupTimeout => Error::DnsTimeout,
        OutboundError::Lookup => Error::DnsError {
            rcode: None,
            info_code: None,
        },
        OutboundError::ConnectTimeout => Error::ConnectionTimeout,
        OutboundError::Refused => Error::ConnectionRefused,
        OutboundError::Unreachable => Error::DestinationUnavailable,
        OutboundError::Certificate(_) => Error::TlsCertificateError,
        OutboundError::TlsAlert { code, name } => Error::TlsAlertReceived {
            alert_id: Some(code),
            alert_message: Some(name),
        },
        OutboundError::Tls(_) => Error::TlsProtocolError,
        OutboundError::RequestHeaderBytes(bytes) => {
            Error::HttpRequestHeaderSectionSize(Some(bytes))
        }
        OutboundError::RequestBodyBytes(most) => Error::HttpRequestBodySize(Some(most)),
        OutboundError::ResponseHeaderBytes(bytes) => Error::HttpResponseHeaderSectionSize(bytes),
        OutboundError::ResponseBodyBytes(most) => Error::HttpResponseBodySize(Some(most)),
        OutboundError::HeadTimeout | OutboundError::TimeUp => Error::HttpResponseTimeout,
        OutboundError::SilenceTimeout => Error::ConnectionReadTimeout,
        OutboundError::Terminated => Error::ConnectionTerminated,
        OutboundError::Incomplete => Error::HttpResponseIncomplete,
        OutboundError::Upgrade => Error::HttpUpgradeFailed,
        OutboundError::RequestBody | OutboundError::Protocol(_) => Error::HttpProtocolError,
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use bytes::Bytes;
    use http_body_util::{Empty, Full, StreamBody};
    use openline_core::config::ServerConfig;
    use openline_core::limits::FunctionLimits;
    use openline_core::name::FunctionName;
    use openline_core::outbound::{OutboundConfig, OutboundRule, OutboundRules};
    use openline_outbound::{Outbound, SystemRoots, Terms};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::runtime::Handle;
    use tokio::sync::mpsc;

    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    /// The hooks of a function that may call these hosts, with the host that has to
    /// live as long.
    fn calls(hosts: &[&str], limits: &FunctionLimits) -> (Arc<Outbound>, Calls) {
        let rules = hosts.iter().map(|host| OutboundRule::new(host, false));
        let config = OutboundConfig {
            rules: OutboundRules::new(rules.collect::<Result<_, _>>().unwrap()),
            roots: Vec::new(),
        };
        let terms = Terms::read(&config, limits, &SystemRoots::read()).unwrap();
        let outbound = Outbound::new(&ServerConfig::default(), Handle::current());
        let function = outbound.function(&FunctionName::new("f").unwrap(), terms);
        (outbound, Calls::new(Some(function)))
    }

    /// A server that sends what it reads, and writes what is sent to it.
    async fn server() -> (SocketAddr, mpsc::Receiver<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (accepted, streams) = mpsc::channel(16);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if accepted.send(stream).await.is_err() {
                    return;
                }
            }
        });
        (address, streams)
    }

    async fn head(stream: &mut TcpStream) -> String {
        let mut read = Vec::new();
        while !read.ends_with(b"\r\n\r\n") {
            read.push(stream.read_u8().await.unwrap());
        }
        String::from_utf8(read).unwrap()
    }

    fn no_body() -> WasiBody {
        Empty::new().map_err(|never| match never {}).boxed_unsync()
    }

    async fn send(
        calls: &mut Calls,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
    ) -> Result<Response<WasiBody>, Error> {
        let rest = Box::new(async { Ok(()) });
        let call = Box::into_pin(calls.send_request(request, options, rest));
        let (answer, rest) = tokio::time::timeout(SOON, call).await.unwrap()?;
        Box::into_pin(rest).await.unwrap();
        Ok(answer)
    }

    fn get(uri: &str) -> Request<WasiBody> {
        Request::get(uri).body(no_body()).unwrap()
    }

    #[tokio::test]
    async fn a_call_brings_its_answer() {
        let (address, mut streams) = server().await;
        let (_outbound, mut calls) = calls(&[&address.to_string()], &FunctionLimits::default());
        let uri = format!("http://{address}/path?a=b");
        let body = Full::new(Bytes::from_static(b"question"));
        let body = body.map_err(|never| match never {}).boxed_unsync();
        let request = Request::post(uri)
            .header("openline-claims", "{}")
            .header("x", "y");
        let request = request.body(body).unwrap();
        let serve = async {
            let mut stream = streams.recv().await.unwrap();
            let head = head(&mut stream).await;
            let mut body = [0; 8];
            stream.read_exact(&mut body).await.unwrap();
            let says = "HTTP/1.1 201 Created\r\nopenline-hold: poll\r\nz: 1\r\n\
                        content-length: 6\r\n\r\nanswer";
            stream.write_all(says.as_bytes()).await.unwrap();
            (head, body)
        };
        let (answer, (head, body)) = tokio::join!(send(&mut calls, request, None), serve);
        assert!(head.starts_with("POST /path?a=b HTTP/1.1\r\n"), "{head}");
        assert!(head.contains(&format!("host: {address}\r\n")), "{head}");
        assert!(
            head.contains("x: y\r\n") && head.contains("cdn-loop: openline-"),
            "{head}"
        );
        assert!(!head.contains("openline-claims"), "{head}");
        assert_eq!(&body, b"question");
        let answer = answer.unwrap();
        assert_eq!(answer.status(), 201);
        assert_eq!(answer.headers()["z"], "1");
        assert!(!answer.headers().contains_key("openline-hold"));
        let body = answer.into_body().collect().await.unwrap();
        assert_eq!(body.to_bytes(), "answer");
    }

    #[tokio::test]
    async fn what_fails_has_its_own_word() {
        let (address, _streams) = server().await;
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let closed = free.local_addr().unwrap();
        drop(free);
        let limits = FunctionLimits {
            outbound_header_bytes: 256,
            ..FunctionLimits::default()
        };
        let hosts = [
            address.to_string(),
            closed.to_string(),
            "localhost:1".into(),
            "nobody.invalid".into(),
        ];
        let hosts = hosts.each_ref().map(String::as_str);
        let (_outbound, mut calls) = calls(&hosts, &limits);
        for (uri, expected) in [
            ("http://other.example/".to_owned(), "HttpRequestDenied"),
            ("http://localhost:1/".into(), "DestinationIpProhibited"),
            ("http://user@localhost/".into(), "HttpRequestUriInvalid"),
            (
                "http://nobody.invalid/".into(),
                "DnsError { rcode: None, info_code: None }",
            ),
            (format!("http://{closed}/"), "ConnectionRefused"),
            (format!("https://{closed}/"), "ConnectionRefused"),
        ] {
            let error = send(&mut calls, get(&uri), None).await.unwrap_err();
            assert_eq!(format!("{error:?}"), expected, "{uri}");
        }
        let uri = format!("http://{address}/");
        let mut large = get(&uri);
        let value = "v".repeat(300).parse().unwrap();
        large.headers_mut().insert("x", value);
        let error = send(&mut calls, large, None).await.unwrap_err();
        assert!(matches!(error, Error::HttpRequestHeaderSectionSize(Some(bytes)) if bytes > 300));
        let options = RequestOptions {
            first_byte_timeout: Some(Duration::from_millis(20)),
            ..RequestOptions::default()
        };
        let error = send(&mut calls, get(&uri), Some(options))
            .await
            .unwrap_err();
        assert!(matches!(error, Error::HttpResponseTimeout), "{error:?}");
        // Of tools and trials.
        let mut none = Calls::new(None);
        let error = send(&mut none, get(&uri), None).await.unwrap_err();
        assert!(matches!(error, Error::HttpRequestDenied), "{error:?}");
    }

    #[tokio::test]
    async fn the_error_of_a_guests_own_body_comes_back_to_it() {
        let (address, mut streams) = server().await;
        let (_outbound, mut calls) = calls(&[&address.to_string()], &FunctionLimits::default());
        let failing =
            futures_util::stream::once(async { Err(Error::HttpRequestBodySize(Some(7))) });
        let body = StreamBody::new(failing).boxed_unsync();
        let uri = format!("http://{address}/");
        let request = Request::post(uri).body(body).unwrap();
        let (answer, stream) = tokio::join!(send(&mut calls, request, None), streams.recv());
        let error = answer.unwrap_err();
        assert!(
            matches!(error, Error::HttpRequestBodySize(Some(7))),
            "{error:?}"
        );
        drop(stream);
    }

    #[tokio::test]
    async fn a_guest_that_drops_its_call_ends_it() {
        let (address, mut streams) = server().await;
        let (outbound, mut calls) = calls(&[&address.to_string()], &FunctionLimits::default());
        let request = get(&format!("http://{address}/"));
        let call = calls.send_request(request, None, Box::new(async { Ok(()) }));
        let call = tokio::spawn(Box::into_pin(call));
        let mut stream = streams.recv().await.unwrap();
        head(&mut stream).await;
        assert_eq!(outbound.in_flight(), 1);
        call.abort();
        let mut rest = Vec::new();
        let read = tokio::time::timeout(SOON, stream.read_to_end(&mut rest));
        read.await.unwrap().unwrap();
        assert_eq!(outbound.in_flight(), 0);
    }

    #[tokio::test]
    async fn calls_carry_the_way_of_what_the_instance_handles() {
        let (_outbound, mut calls) = calls(&["a.example"], &FunctionLimits::default());
        let name = calls.hop_name().cloned().unwrap();
        let way = |passes: usize| {
            let mut headers = http::HeaderMap::new();
            // The host's own name is not public: the farthest is the longest here.
            let value = vec!["other"; passes].join(", ");
            headers.insert(CDN_LOOP, value.parse().unwrap());
            Hops::of(&headers)
        };
        calls.begin(way(2), true);
        assert_eq!(calls.hops, way(2));
        calls.begin(way(3), false);
        assert_eq!(calls.hops, way(3));
        calls.begin(way(1), false);
        assert_eq!(calls.hops, way(3));
        calls.begin(way(1), true);
        assert_eq!(calls.hops, way(1).farthest(way(1), &name));
    }

    #[test]
    fn functions_can_neither_forge_nor_see_the_way_of_a_call() {
        let mut calls = Calls::new(None);
        let filter = calls.forbidden_header_filter();
        for (name, expected) in [
            ("cdn-loop", true),
            ("host", true),
            ("connection", true),
            ("upgrade", true),
            ("transfer-encoding", true),
            ("te", false),
            ("authorization", false),
            ("openline-hold", false),
        ] {
            let name = HeaderName::from_static(name);
            assert_eq!(filter(&name), expected, "{name}");
            assert_eq!(calls.is_forbidden_header(&name), expected, "{name}");
        }
    }
}
