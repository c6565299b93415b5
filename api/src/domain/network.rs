//! The network of a client, which rate limits apply to, and the client address behind trusted proxies.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

/// An IPv4 address, or the /64 of an IPv6 address: a client usually controls all addresses of a /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Network(IpAddr);

impl Network {
    /// The network of an address. IPv4-mapped IPv6 addresses count as IPv4.
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self(v4.into()),
            IpAddr::V6(v6) => Self(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into()),
        }
    }

    /// The network of this IPv6 prefix length that contains this one, for lengths up to 64. IPv4 addresses stay the same.
    pub(crate) fn prefix(self, length: u8) -> Self {
        match self.0 {
            IpAddr::V4(_) => self,
            IpAddr::V6(v6) => {
                let host_bits = u128::MAX.checked_shr(length.into()).unwrap_or(0);
                Self(Ipv6Addr::from_bits(v6.to_bits() & !host_bits).into())
            }
        }
    }

    /// Whether it consists of IPv6 addresses.
    pub(crate) fn is_ipv6(self) -> bool {
        self.0.is_ipv6()
    }

    /// The canonical text, which is hashed to a subject key.
    pub(crate) fn name(self) -> String {
        self.0.to_string()
    }
}

/// The reverse proxies whose `X-Forwarded-For` header is trusted (`TRUSTED_PROXIES`).
#[derive(Clone, Debug, Default)]
pub(crate) struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    /// Parses a list of addresses and networks, like `10.0.0.0/8, 2001:db8::1`.
    pub(crate) fn parse(list: &str) -> Result<Self, String> {
        let entries = list.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let parse = |entry: &str| {
            let network = entry.parse::<IpNet>().ok().filter(|network| !is_mapped(network));
            let address = || entry.parse::<IpAddr>().ok().map(|address| IpNet::from(address.to_canonical()));
            network.or_else(address).ok_or_else(|| {
                format!("'{entry}' is neither an IP address nor a network: write them like 10.0.0.0/8, 2001:db8::1")
            })
        };
        entries.map(parse).collect::<Result<_, _>>().map(Self)
    }

    /// Whether the address is that of a trusted proxy.
    pub(crate) fn trust(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// What an operator should know if this peer sent `X-Forwarded-For` and is not trusted.
    pub(crate) fn hint(peer: IpAddr) -> String {
        let peer = peer.to_canonical();
        format!(
            "X-Forwarded-For from {peer} is ignored, so all clients behind it share the limits of one network. If it is \
            your proxy, add {peer} to TRUSTED_PROXIES."
        )
    }

    /// The address of the client: the socket's peer, unless that is a trusted proxy. Each proxy appends the address of
    /// its peer to `X-Forwarded-For`, so the header is read from the right, and only as far as trusted proxies wrote
    /// it.
    pub(crate) fn client<'a>(&self, socket: IpAddr, forwarded_for: impl DoubleEndedIterator<Item = &'a str>) -> IpAddr {
        let mut client = socket.to_canonical();
        let hops = forwarded_for.flat_map(|header| header.split(',')).collect::<Vec<_>>();
        for hop in hops.into_iter().rev() {
            if !self.trust(client) {
                break;
            }
            // An invalid entry was not written by a trusted proxy: the last valid one is the client.
            let Some(address) = address(hop.trim()) else { break };
            client = address.to_canonical();
        }
        client
    }
}

/// Whether the network consists of IPv4-mapped addresses. It would match no client, because those are compared as IPv4.
fn is_mapped(network: &IpNet) -> bool {
    network.addr().to_canonical() != network.addr()
}

/// Parses one entry of `X-Forwarded-For`. Some proxies append the port.
fn address(hop: &str) -> Option<IpAddr> {
    let bare = hop.strip_prefix('[').and_then(|hop| hop.split_once(']')).map(|(address, _)| address);
    bare.unwrap_or(hop).parse().ok().or_else(|| hop.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(address: &str) -> String {
        Network::of(address.parse().unwrap()).name()
    }

    #[test]
    fn network_is_an_ipv4_address_or_a_64() {
        assert_eq!(network("203.0.113.7"), "203.0.113.7");
        assert_eq!(network("::ffff:203.0.113.7"), "203.0.113.7");
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network("2001:db8:1:2:ffff::1"), network("2001:db8:1:2::9"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
    }

    #[test]
    fn prefix_of_a_network_contains_it() {
        let prefix = |address: &str, length| Network::of(address.parse().unwrap()).prefix(length).name();
        assert_eq!(prefix("2001:db8:1:2::3", 48), "2001:db8:1::");
        assert_eq!(prefix("2001:db8:1:2::3", 64), "2001:db8:1:2::");
        assert_eq!(prefix("203.0.113.7", 48), "203.0.113.7");
    }

    fn client(proxies: &str, socket: &str, headers: &[&str]) -> String {
        let proxies = TrustedProxies::parse(proxies).unwrap();
        proxies.client(socket.parse().unwrap(), headers.iter().copied()).to_string()
    }

    #[test]
    fn header_of_untrusted_peer_is_ignored() {
        assert_eq!(client("", "203.0.113.7", &["198.51.100.1"]), "203.0.113.7");
        assert_eq!(client("10.0.0.0/8", "203.0.113.7", &["198.51.100.1"]), "203.0.113.7");
    }

    #[test]
    fn trusted_proxy_is_believed_about_its_peer_only() {
        let proxies = "10.0.0.0/8, 2001:db8::1";
        assert_eq!(client(proxies, "10.0.0.1", &["6.6.6.6, 198.51.100.1"]), "198.51.100.1");
        assert_eq!(client(proxies, "10.0.0.1", &["6.6.6.6, 198.51.100.1, 10.0.0.2"]), "198.51.100.1");
        assert_eq!(client(proxies, "10.0.0.1", &["6.6.6.6", "198.51.100.1", "10.0.0.2"]), "198.51.100.1");
        assert_eq!(client(proxies, "2001:db8::1", &["::ffff:198.51.100.1"]), "198.51.100.1");
        assert_eq!(client(proxies, "::ffff:10.0.0.1", &["198.51.100.1:4711"]), "198.51.100.1");
        assert_eq!(client(proxies, "10.0.0.1", &["[2001:db8:9::1]:4711"]), "2001:db8:9::1");
    }

    #[test]
    fn invalid_entry_ends_the_header() {
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &["198.51.100.1, unknown"]), "10.0.0.1");
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &["198.51.100.1, garbage, 10.0.0.2"]), "10.0.0.2");
        assert_eq!(client("10.0.0.0/8", "10.0.0.1", &[]), "10.0.0.1");
    }

    #[test]
    fn hint_names_the_proxy_and_the_setting() {
        let hint = TrustedProxies::hint("::ffff:10.0.0.1".parse().unwrap());
        assert!(hint.contains("add 10.0.0.1 to TRUSTED_PROXIES"), "{hint}");
    }

    #[test]
    fn invalid_proxy_list_is_rejected() {
        assert!(TrustedProxies::parse("10.0.0.0/8,, 10.0.0.1").is_ok());
        assert!(TrustedProxies::parse("10.0.0.0/40").unwrap_err().contains("10.0.0.0/40"));
        assert!(TrustedProxies::parse("::ffff:10.0.0.0/104").is_err());
        assert_eq!(client("::ffff:10.0.0.1", "10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
    }
}
