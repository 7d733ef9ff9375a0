//! The rules of lists of networks: trusted hops, and private networks.
//!
//! Bounded: [`NETWORKS_MAX`] in a list, each of which is compared with a peer.

use std::net::IpAddr;

use ipnet::IpNet;
use toml::Spanned;

use super::validate::Check;

/// Networks in one list: more than any organisation needs to describe its own,
/// and than a provider of content delivery lists.
pub const NETWORKS_MAX: usize = 256;

impl Check<'_> {
    /// Reads a list of addresses and networks, which is the value of `key`.
    pub(super) fn networks(
        &mut self,
        key: &str,
        written: &Spanned<Vec<Spanned<String>>>,
    ) -> Vec<IpNet> {
        if let Some(past) = written.get_ref().get(NETWORKS_MAX) {
            let message = format!("`{key}` has more than {NETWORKS_MAX} networks");
            let hint = "join neighbouring networks to larger ones";
            self.error(Some(past.span()), &message, hint);
        }
        let mut networks = Vec::new();
        for each in written.get_ref() {
            let text = each.get_ref().as_str();
            let address = text.parse::<IpAddr>().map(IpNet::from);
            let Ok(network) = text.parse::<IpNet>().or(address) else {
                let message = format!("`{text}` in `{key}` is not a network");
                let hint = "write addresses, as in \"10.0.0.7\", or networks, as in \"10.0.0.0/8\" or \"fd00::/8\"";
                self.error(Some(each.span()), &message, hint);
                continue;
            };
            if network.trunc() != network {
                let message = format!("`{text}` in `{key}` has bits behind its prefix");
                let hint = format!("the network is \"{}\"", network.trunc());
                self.error(Some(each.span()), &message, &hint);
            }
            networks.push(network);
        }
        networks
    }
}
