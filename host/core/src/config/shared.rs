//! The rules of hosts that several owners of functions share.
//!
//! Bounded: [`SHARED_HOSTS_MAX`], each of which is compared with the host of a
//! request whose function refuses.

use toml::Spanned;

use super::ServerConfig;
use super::validate::Check;
use crate::trigger::HostPattern;

/// Hosts that are shared: the domains of a platform, not those of its users,
/// which a wildcard covers.
pub const SHARED_HOSTS_MAX: usize = 64;

impl Check<'_> {
    /// Reads `shared_hosts`.
    pub(super) fn shared_hosts(
        &mut self,
        written: &Spanned<Vec<Spanned<String>>>,
    ) -> Vec<HostPattern> {
        if let Some(past) = written.get_ref().get(SHARED_HOSTS_MAX) {
            let message = format!("`shared_hosts` has more than {SHARED_HOSTS_MAX} hosts");
            let hint = "a pattern, as in \"*.example.org\", stands for many";
            self.error(Some(past.span()), &message, hint);
        }
        self.host_patterns(written.get_ref())
    }
}

impl ServerConfig {
    /// Whether several owners of functions share the host that a request names,
    /// in its [one spelling](crate::trigger::Authority).
    pub fn is_shared(&self, host: Option<&str>) -> bool {
        let named = |host| self.shared_hosts.iter().any(|it| it.matches(host));
        host.is_some_and(named)
    }
}
