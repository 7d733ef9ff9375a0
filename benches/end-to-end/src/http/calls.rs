//! Calls of gRPC by the client: frames that were made before, over the crate h2. Every
//! reply is compared, and so is its status.

use std::net::SocketAddr;

use anyhow::{Context, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use h2::client::SendRequest;
use http::Request;
use tokio::net::TcpStream;

/// The window of all streams of a TCP connection.
const CONNECTION_WINDOW: u32 = 1 << 20;

/// A TCP connection with calls.
#[derive(Clone)]
pub(super) struct Caller {
    requests: SendRequest<Bytes>,
    address: SocketAddr,
    message: Bytes,
    reply: Bytes,
}

impl Caller {
    pub(super) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut builder = h2::client::Builder::new();
        builder.initial_connection_window_size(CONNECTION_WINDOW);
        let (requests, connection) = builder.handshake(stream).await?;
        // It ends with the connection, of which the calls learn, too.
        tokio::task::spawn_local(async { drop(connection.await) });
        Ok(Self {
            requests,
            address,
            message: message("world"),
            reply: message("Hello, world!"),
        })
    }

    /// Makes a call of one message, which has one reply.
    pub(super) async fn call(&self) -> anyhow::Result<()> {
        let mut requests = self.requests.clone().ready().await?;
        let address = self.address;
        let request = Request::post(format!(
            "http://{address}/openline.greeter.v1.Greeter/SayHello"
        ))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())?;
        let (response, mut stream) = requests.send_request(request, false)?;
        stream.send_data(self.message.clone(), true)?;
        let response = response.await?;
        ensure!(response.status() == 200, "status {}", response.status());
        let mut body = response.into_body();
        let mut reply = BytesMut::new();
        while let Some(data) = body.data().await {
            let data = data?;
            body.flow_control().release_capacity(data.len())?;
            reply.extend_from_slice(&data);
        }
        ensure!(reply == self.reply, "not the reply: {reply:?}");
        let trailers = body.trailers().await?.context("there are no trailers")?;
        ensure!(
            trailers
                .get("grpc-status")
                .is_some_and(|status| status == "0"),
            "the call has failed: {trailers:?}"
        );
        Ok(())
    }
}

/// A message with one field, a short text, behind the length of gRPC.
fn message(text: &str) -> Bytes {
    let length = u8::try_from(text.len()).expect("the texts are short");
    let mut message = BytesMut::new();
    message.put_slice(&[0, 0, 0, 0, length + 2, 0x0a, length]);
    message.put_slice(text.as_bytes());
    message.freeze()
}

#[cfg(test)]
mod tests {
    use super::message;

    #[test]
    fn a_message_has_its_length_before_it() {
        assert_eq!(message("ab")[..], [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
    }
}
