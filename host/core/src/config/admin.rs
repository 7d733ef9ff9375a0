//! The rules for the address and token of the admin interface, and for the
//! address of probes. Anyone who reaches the admin interface can deploy, so it
//! is never exposed without a token.

use std::net::SocketAddr;

use toml::Spanned;

use super::validate::Check;
use super::{AdminListen, ServerConfig};

/// The shortest token of the admin interface, in characters: 64 bits even when
/// they are only `0-9a-f`.
pub const ADMIN_TOKEN_CHARACTERS_MIN: usize = 16;

/// How far the admin interface's port is from the port of connections, unless
/// the configuration sets it. It is not the next port, because that is where
/// people put the next host.
const ADMIN_PORT_DISTANCE: u16 = 10_000;

/// The admin interface's port for a port of connections: above it, or below it
/// where there is no port so far above.
pub fn admin_port(listen: u16) -> u16 {
    let above = listen.checked_add(ADMIN_PORT_DISTANCE);
    above.unwrap_or_else(|| listen.saturating_sub(ADMIN_PORT_DISTANCE))
}

/// Says why two listeners cannot have these addresses: they are equal, or one
/// is all addresses of the machine with the other's port. Port 0 stands for any
/// free port and never clashes.
fn clash(one: (&str, SocketAddr), other: (&str, SocketAddr)) -> Option<String> {
    let ((key, address), (other_key, other)) = (one, other);
    if address == other && address.port() != 0 {
        return Some(format!("`{key}` and `{other_key}` are both {address}"));
    }
    let all = address.ip().is_unspecified() || other.ip().is_unspecified();
    let one_port = address.port() == other.port() && address.port() != 0;
    (all && one_port).then(|| format!("`{key}` {address} has the port of `{other_key}` {other}"))
}

impl Check<'_> {
    /// Reads the address, which must not clash with the others.
    pub(super) fn admin(
        &mut self,
        written: &Spanned<String>,
        server: &ServerConfig,
    ) -> AdminListen {
        let text = written.get_ref().as_str();
        if text == "off" {
            return AdminListen::Off;
        }
        let Ok(address) = text.parse::<SocketAddr>() else {
            let message = format!("`{text}` is not an address for the admin interface");
            let hint = "write address and port, as in \"127.0.0.1:18080\", or \"off\"";
            self.error(Some(written.span()), &message, hint);
            return AdminListen::Off;
        };
        if let Some(message) = clash(("admin", address), ("listen", server.listen)) {
            let hint = "the admin interface has a listener of its own: choose another port";
            self.error(Some(written.span()), &message, hint);
        }
        if !address.ip().is_loopback() && server.admin_token.is_none() {
            let message = format!("`admin` is {address}, which others can reach, and has no token");
            let hint =
                "set `admin_token`, or listen on a loopback address as in \"127.0.0.1:18080\"";
            self.error(Some(written.span()), &message, hint);
        }
        AdminListen::At(address)
    }

    /// Reads the address of probes, which has a listener of its own.
    pub(super) fn probes(
        &mut self,
        written: &Spanned<String>,
        server: &ServerConfig,
    ) -> Option<SocketAddr> {
        let hint = "probes have a listener of their own: choose another port";
        self.own_listener("probes", "probes", hint, written, server)
    }

    /// Reads the address of a listener of its own, which must not clash with the
    /// others. `purpose` says what it is for, `hint` what to do if it does.
    pub(super) fn own_listener(
        &mut self,
        key: &'static str,
        purpose: &str,
        hint: &str,
        written: &Spanned<String>,
        server: &ServerConfig,
    ) -> Option<SocketAddr> {
        let text = written.get_ref().as_str();
        let Ok(address) = text.parse::<SocketAddr>() else {
            let message = format!("`{text}` is not an address for {purpose}");
            let hint = "write address and port, as in \"0.0.0.0:8081\" or \"[::]:8081\"";
            self.error(Some(written.span()), &message, hint);
            return None;
        };
        let taken = [
            ("listen", Some(server.listen)),
            (
                "admin",
                match server.admin {
                    AdminListen::At(admin) => Some(admin),
                    AdminListen::Beside | AdminListen::Off => None,
                },
            ),
            ("probes", server.probes),
        ];
        for (other_key, other) in taken {
            if let Some(message) = other.and_then(|other| clash((key, address), (other_key, other)))
            {
                self.error(Some(written.span()), &message, hint);
            }
        }
        Some(address)
    }

    /// Checks that a token can be sent in a header and cannot be guessed. No
    /// message contains the token.
    pub(super) fn admin_token(&mut self, written: Option<&Spanned<Option<String>>>) {
        let Some(written) = written else { return };
        let Some(token) = written.get_ref() else {
            return;
        };
        let visible = token.bytes().all(|byte| byte.is_ascii_graphic());
        if !visible || token.len() < ADMIN_TOKEN_CHARACTERS_MIN {
            let message = format!(
                "`admin_token` must be at least {ADMIN_TOKEN_CHARACTERS_MIN} visible ASCII characters"
            );
            let hint = "make one with `openssl rand -hex 32`";
            self.secret_error(written.span(), &message, hint);
        }
    }
}
