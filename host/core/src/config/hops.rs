//! The rules for proxies that a host believes.
//!
//! Bounded: [`TRUSTED_HOPS_MAX`] networks, each of which is compared with each
//! peer.

use std::net::IpAddr;

use ipnet::IpNet;
use toml::Spanned;

use super::validate::Check;
use super::{ProxyProtocol, ServerConfig};

/// Networks of trusted hops, at most: a provider of content delivery lists
/// fewer than a hundred.
pub const TRUSTED_HOPS_MAX: usize = 256;

impl Check<'_> {
    /// Reads the networks of trusted hops.
    pub(super) fn trusted_hops(&mut self, written: &Spanned<Vec<Spanned<String>>>) -> Vec<IpNet> {
        if let Some(past) = written.get_ref().get(TRUSTED_HOPS_MAX) {
            let message = format!("`trusted_hops` has more than {TRUSTED_HOPS_MAX} networks");
            let hint = "join neighbouring networks to larger ones";
            self.error(Some(past.span()), &message, hint);
        }
        let mut networks = Vec::new();
        for each in written.get_ref() {
            let text = each.get_ref().as_str();
            let address = text.parse::<IpAddr>().map(IpNet::from);
            let Ok(network) = text.parse::<IpNet>().or(address) else {
                let message = format!("`{text}` is not a network of trusted hops");
                let hint = "write addresses, as in \"10.0.0.7\", or networks, as in \"10.0.0.0/8\" or \"fd00::/8\"";
                self.error(Some(each.span()), &message, hint);
                continue;
            };
            if network.trunc() != network {
                let message = format!("`{text}` has bits behind its prefix");
                let hint = format!("the network is \"{}\"", network.trunc());
                self.error(Some(each.span()), &message, &hint);
            }
            networks.push(network);
        }
        networks
    }

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
