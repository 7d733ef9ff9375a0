//! Greets every connection by its name and sends its messages back.
//!
//! One value of the exported type serves many connections, one call at a time.
//! It is a cache: the host may drop it whenever no call is in flight. Keep what
//! you can't lose in the connection's attachment.

use openline_sdk::prelude::*;

#[derive(Default)]
struct Greeter;

impl Handler for Greeter {
    /// Decides whether to accept a connection: here the query must have a name.
    fn upgrade(&mut self, request: &UpgradeRequest) -> Result<Acceptance, Rejection> {
        match request.query("name") {
            Some(name) => Ok(Acceptance::new().attachment(name.as_bytes())),
            None => Err(Rejection::text(
                400,
                "who are you? add ?name=... to the address\n",
            )),
        }
    }

    /// The connection is open; no message has arrived yet.
    fn open(&mut self, connection: &Connection) {
        let attachment = connection.attachment();
        let name = String::from_utf8_lossy(&attachment);
        connection.send(format!("hello, {name}"));
    }

    /// A message has arrived, text or binary.
    fn message(&mut self, connection: &Connection, message: Message) {
        connection.send(message);
    }

    /// The connection has ended; `_origin` says which side ended it.
    fn close(&mut self, _connection: &Connection, _info: CloseInfo, _origin: CloseOrigin) {}
}

openline_sdk::export!(Greeter);

/// `cargo test` tests code that needs no connection, without a host.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_has_to_say_its_name() {
        let named = Greeter.upgrade(&UpgradeRequest::new("/?name=Ada"));
        assert_eq!(named, Ok(Acceptance::new().attachment("Ada")));
        let unnamed = Greeter.upgrade(&UpgradeRequest::new("/"));
        assert_eq!(unnamed.map_err(|rejection| rejection.status()), Err(400));
    }
}
