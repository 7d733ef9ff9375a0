//! TLS with the clients that users have: OpenSSL's, Node's `ws` and Python's
//! `websockets`. curl, a browser and an HTTP/2 client are in `tls` and `http2`.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use openline_core::limits::Compression;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::harness::proxy::is_left_out;
use crate::harness::tls::Authority;
use crate::harness::{Host, program, within};

/// A request that OpenSSL sends, which ends the connection.
const REQUEST: &str =
    "GET /.openline/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// Where Debian has packages of Node.
const NODE_PATH: &str = "/usr/share/nodejs";

async fn host(authority: &Authority) -> Host {
    Host::with(openline_guests::ECHO, "/echo")
        .limit(|limit| limit.compression = Compression::Shared)
        .server(|server| {
            server.certificate = vec![
                authority.certificate("host", &["localhost"], true),
                authority.certificate("other", &["other.test"], false),
            ];
        })
        .start()
        .await
}

/// The program of a client, which must be there.
fn needed(names: &[&str]) -> PathBuf {
    program(names).unwrap_or_else(|| {
        panic!(
            "a test needs {}: `scripts/edge.sh` installs it on Debian; \
             OPENLINE_SKIP_EDGE=1 leaves the test out",
            names[0]
        )
    })
}

/// Runs a client to its end; what it says on standard output.
async fn run(mut command: Command, input: &str) -> String {
    let mut client = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdin = client.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    drop(stdin);
    let output = within("a client to end", client.wait_with_output()).await;
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{errors}");
    said
}

/// Makes a handshake with OpenSSL, and a request by HTTP/1.1.
async fn openssl(host: &Host, authority: &Authority, name: &str, more: &[&str]) -> String {
    let command = s_client(host, authority, name, &[&["-ign_eof"], more].concat());
    run(command, REQUEST).await
}

/// OpenSSL's client, which ends with its input. Every certificate must be
/// trusted, and for the name that is asked for.
fn s_client(host: &Host, authority: &Authority, name: &str, more: &[&str]) -> Command {
    let mut command = Command::new(needed(&["openssl"]));
    command
        .args(["s_client", "-verify_return_error", "-CAfile"])
        .arg(authority.path("authority.pem"))
        .args(["-connect", &host.address.to_string()])
        .args(["-servername", name, "-verify_hostname", name])
        .args(more);
    command
}

#[tokio::test]
async fn openssl_makes_and_resumes_sessions_of_both_versions() {
    if is_left_out() {
        return;
    }
    let authority = Authority::new();
    let host = host(&authority).await;
    let session = authority.path("session");
    let session = session.to_str().unwrap();
    for (version, option) in [("TLSv1.2", "-tls1_2"), ("TLSv1.3", "-tls1_3")] {
        let arguments = [option, "-alpn", "http/1.1", "-sess_out", session];
        let said = openssl(&host, &authority, "localhost", &arguments).await;
        let lines: Vec<_> = said.lines().map(str::trim).collect();
        let has = |start: &str| lines.iter().any(|line| line.starts_with(start));
        assert!(has(&format!("New, {version}, Cipher is ")), "{said}");
        assert!(has("ALPN protocol: http/1.1"), "{said}");
        assert!(has("Verify return code: 0 (ok)"), "{said}");
        assert!(has("HTTP/1.1 200 OK") && has("live"), "{said}");

        let arguments = [option, "-alpn", "http/1.1", "-sess_in", session];
        let said = openssl(&host, &authority, "localhost", &arguments).await;
        let resumed = format!("Reused, {version}, Cipher is ");
        assert!(said.contains(&resumed), "{said}");
        assert!(said.contains("HTTP/1.1 200 OK"), "{said}");
    }
}

#[tokio::test]
async fn openssl_gets_the_certificate_that_it_names_and_the_protocol_that_it_prefers() {
    if is_left_out() {
        return;
    }
    let authority = Authority::new();
    let host = host(&authority).await;
    for name in ["localhost", "other.test"] {
        let said = openssl(&host, &authority, name, &["-alpn", "http/1.1"]).await;
        assert!(
            said.contains(&format!("Verified peername: {name}")),
            "{said}"
        );
    }
    // The host prefers HTTP/2, which OpenSSL does not speak.
    let both = ["-alpn", "http/1.1,h2"];
    let said = run(s_client(&host, &authority, "localhost", &both), "").await;
    assert!(said.contains("ALPN protocol: h2"), "{said}");
    let said = openssl(&host, &authority, "localhost", &[]).await;
    assert!(said.contains("No ALPN negotiated"), "{said}");
    assert!(said.contains("HTTP/1.1 200 OK"), "{said}");
}

/// What a client of WebSockets must say: the echoes, then how it was closed.
const SAID: &str = "text hello\nbinary 70000\ntext bye\nclosed 1000\n";

fn url(host: &Host) -> String {
    format!("wss://localhost:{}/echo", host.address.port())
}

fn with_trust(command: &mut Command, authority: &Authority, host: &Host) {
    command
        .arg(url(host))
        .arg(authority.path("authority.pem"))
        .env("no_proxy", "*");
}

#[tokio::test]
async fn node_speaks_with_a_function_over_tls() {
    const SCRIPT: &str = "
        const { WebSocket } = require('ws');
        const [url, file] = process.argv.slice(1);
        const socket = new WebSocket(url, { ca: require('fs').readFileSync(file), family: 4 });
        const sent = ['hello', Buffer.alloc(70000, 'x'), 'bye'];
        socket.on('open', () => {
            if (!socket.extensions.includes('permessage-deflate')) process.exit(3);
            for (const message of sent) socket.send(message);
        });
        socket.on('message', (data, isBinary) => {
            const message = sent.shift();
            if (!data.equals(Buffer.from(message))) process.exit(2);
            console.log(isBinary ? `binary ${data.length}` : `text ${data}`);
            if (sent.length === 0) socket.close(1000);
        });
        socket.on('close', (code) => console.log(`closed ${code}`));
    ";
    if is_left_out() {
        return;
    }
    let authority = Authority::new();
    let host = host(&authority).await;
    let mut command = Command::new(needed(&["node", "nodejs"]));
    command
        .env("NODE_PATH", NODE_PATH)
        .args(["--eval", SCRIPT, "--"]);
    with_trust(&mut command, &authority, &host);
    assert_eq!(run(command, "").await, SAID);
    // Without its authority the client refuses the host, and the host goes on.
    let mut command = Command::new(needed(&["node", "nodejs"]));
    command.env("NODE_PATH", NODE_PATH).args([
        "--eval",
        "
            const { WebSocket } = require('ws');
            const socket = new WebSocket(process.argv[1], { family: 4 });
            socket.on('error', (error) => console.log(error.code));
        ",
        "--",
    ]);
    with_trust(&mut command, &authority, &host);
    assert_eq!(run(command, "").await, "UNABLE_TO_VERIFY_LEAF_SIGNATURE\n");
}

/// The first Python that has the package.
async fn python() -> PathBuf {
    let first = program(&["python3"]);
    for python in first.into_iter().chain(["/usr/bin/python3".into()]) {
        if has_websockets(&python).await {
            return python;
        }
    }
    panic!(
        "a test needs Python's websockets: `scripts/edge.sh` installs it on Debian; \
         OPENLINE_SKIP_EDGE=1 leaves the test out"
    )
}

async fn has_websockets(python: &Path) -> bool {
    let mut command = Command::new(python);
    command
        .args(["-c", "import websockets"])
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    let status = within("Python", command.status()).await;
    status.is_ok_and(|status| status.success())
}

#[tokio::test]
async fn python_speaks_with_a_function_over_tls() {
    const SCRIPT: &str = "
import asyncio, socket, ssl, sys, websockets
async def main():
    trust = ssl.create_default_context(cafile=sys.argv[2])
    async with websockets.connect(sys.argv[1], ssl=trust, family=socket.AF_INET) as socket_:
        # Releases from 14 on keep the extensions with their protocol.
        protocol = getattr(socket_, 'protocol', socket_)
        assert protocol.extensions, 'not compressed'
        for message in ['hello', b'x' * 70000, 'bye']:
            await socket_.send(message)
            answer = await socket_.recv()
            assert answer == message
            print(f'text {answer}' if isinstance(answer, str) else f'binary {len(answer)}')
    print(f'closed {socket_.close_code}')
asyncio.run(main())
";
    if is_left_out() {
        return;
    }
    let authority = Authority::new();
    let host = host(&authority).await;
    let mut command = Command::new(python().await);
    command.args(["-c", SCRIPT]);
    with_trust(&mut command, &authority, &host);
    assert_eq!(run(command, "").await, SAID);
    let ledger = host.deployer.services().ledger();
    crate::harness::eventually("the connection to be gone", || ledger.connections() == 0).await;
}
