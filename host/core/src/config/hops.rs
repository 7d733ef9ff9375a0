//! The rules for proxies that a host believes.

use toml::Spanned;

use super::validate::Check;
use super::{ProxyProtocol, ServerConfig};

impl Check<'_> {
    /// The PROXY protocol is only believed of trusted hops.
    pub(super) fn proxy_protocol(
        &mut self,
        written: Option<&Spanned<ProxyProtocol>>,
        server: &ServerConfig,
    ) {
        let Some(written) = written else { return };
        if *written.get_ref() != ProxyProtocol::Off && server.trusted_hops.is_empty() {
            let message = "`proxy_protocol` is on, and no hop is trusted";
            let hint = "list the addresses of the proxies in `trusted_hops`";
            self.error(Some(written.span()), message, hint);
        }
    }
}
