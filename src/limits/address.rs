//! Whose address a request comes from.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::FromRequestParts;
use axum::http::{HeaderMap, HeaderName, request::Parts};
use ipnet::IpNet;

/// The header in which proxies name their clients, each appending its own. `Forwarded` (RFC 7239) is not read: a proxy
/// writes one of the two, and passes the other on as the client has written it.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The address under which a request is counted, as of [`counted`]. `None`: none of the limits per address concerns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ClientAddress(pub Option<IpAddr>);

impl<S: Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().copied().unwrap_or(Self(None)))
    }
}

/// The proxies in front, whose word on their clients is taken. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct TrustedProxies {
    networks: Arc<[IpNet]>,
    has_warned: Arc<AtomicBool>,
}

impl TrustedProxies {
    /// Reads comma-separated networks and addresses.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let networks = text.split(',').map(str::trim).filter(|network| !network.is_empty()).map(|network| {
            let network = network.parse::<IpNet>().or_else(|_| network.parse::<IpAddr>().map(IpNet::from));
            let network = network.map_err(|_| "must be networks, comma-separated: `10.0.0.0/8,2001:db8::/32`")?;
            let is_all = network.prefix_len() == 0;
            if is_all { Err("must not be everybody: any client could name any address") } else { Ok(network) }
        });
        Ok(Self { networks: networks.collect::<Result<_, _>>()?, has_warned: Arc::default() })
    }

    fn contain(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// The address under which a connection is counted: none for those of proxies, through which anybody comes.
    pub(crate) fn counted_peer(&self, peer: IpAddr) -> Option<IpAddr> {
        (!self.contain(peer.to_canonical())).then(|| counted(peer)).flatten()
    }

    /// The client of a request: its peer, or the last address in front of the trusted proxies, as the first of these has
    /// seen it. What a client writes into the header itself stands before that, and is not looked at.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> ClientAddress {
        let mut client = peer.to_canonical();
        let values = headers.get_all(FORWARDED_FOR).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
        let values: Vec<_> = values.collect();
        let mut hops = values.iter().rev().flat_map(|value| value.rsplit(','));
        if !self.contain(client) && !values.is_empty() {
            self.warn_of_proxy(client);
        }
        while self.contain(client) {
            let Some(hop) = hops.next().and_then(parse_hop) else { return ClientAddress(None) };
            client = hop;
        }
        ClientAddress(counted(client))
    }

    /// Warns, once, of a proxy that is not listed: nobody who comes through it is counted by address.
    fn warn_of_proxy(&self, peer: IpAddr) {
        if counted(peer).is_none() && !self.has_warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "requests come through a proxy at {peer}, so their limits per address have no effect: put its network \
                 into TRUSTED_PROXIES, if it appends the client's address to X-Forwarded-For"
            );
        }
    }
}

/// An address of the header: alone, or with a port.
fn parse_hop(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()))?;
    Some(IpAddr::to_canonical(&address))
}

/// The address under which a peer is counted: that of a network of one customer's under IPv6. `None` for peers that no
/// limit per address concerns: this machine and private networks, where proxies are, through which anybody comes.
fn counted(peer: IpAddr) -> Option<IpAddr> {
    match peer.to_canonical() {
        IpAddr::V4(v4) => (!is_private_v4(v4)).then_some(IpAddr::V4(v4)),
        IpAddr::V6(v6) => {
            let is_private = v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local();
            let network = Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX));
            (!is_private).then_some(IpAddr::V6(network))
        }
    }
}

fn is_private_v4(v4: Ipv4Addr) -> bool {
    // 100.64.0.0/10 is shared between customers of a provider, and used within clouds.
    let is_shared = v4.octets()[0] == 100 && v4.octets()[1] & 0xC0 == 64;
    v4.is_loopback() || v4.is_private() || v4.is_link_local() || is_shared
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_not_counted_and_others_by_their_network() {
        let counted = |peer: &str| counted(peer.parse().unwrap()).map(|address| address.to_string());
        for near in ["127.0.0.1", "::1", "10.1.2.3", "172.16.0.1", "192.168.7.7", "169.254.1.1", "100.100.1.1"] {
            assert_eq!(counted(near), None, "{near}");
        }
        for near in ["fd12:3456::1", "fe80::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1"] {
            assert_eq!(counted(near), None, "{near}");
        }
        assert_eq!(counted("203.0.113.7").as_deref(), Some("203.0.113.7"));
        assert_eq!(counted("::ffff:203.0.113.7").as_deref(), Some("203.0.113.7"));
        assert_eq!(counted("100.128.0.1").as_deref(), Some("100.128.0.1"));
        assert_eq!(counted("2001:db8:1:2:3:4:5:6").as_deref(), Some("2001:db8:1:2::"));
    }

    /// The client of a request from `peer` through the proxies 10.0.0.0/8 and 198.51.100.7, with these headers.
    fn client(peer: &str, forwarded_for: &[&str]) -> Option<String> {
        let proxies = TrustedProxies::parse("10.0.0.0/8, 198.51.100.7").unwrap();
        let values = forwarded_for.iter().map(|value| (FORWARDED_FOR, value.parse().unwrap()));
        proxies.client(peer.parse().unwrap(), &values.collect()).0.map(|address| address.to_string())
    }

    #[test]
    fn only_trusted_proxies_name_their_clients() {
        let named = ["203.0.113.7"];
        for (peer, forwarded_for, expected) in [
            ("203.0.113.9", &named[..], Some("203.0.113.9")),
            ("192.168.0.1", &named, None),
            ("10.1.2.3", &named, Some("203.0.113.7")),
            ("::ffff:10.1.2.3", &named, Some("203.0.113.7")),
            ("10.1.2.3", &["8.8.8.8, 203.0.113.7"], Some("203.0.113.7")),
            ("10.1.2.3", &["8.8.8.8", "203.0.113.7,198.51.100.7 , 10.0.0.1"], Some("203.0.113.7")),
            ("198.51.100.7", &["203.0.113.7:4711"], Some("203.0.113.7")),
            ("10.1.2.3", &["[2001:db8:1:2:3::4]:4711"], Some("2001:db8:1:2::")),
            ("10.1.2.3", &["2001:db8:1:2:3::4"], Some("2001:db8:1:2::")),
            ("10.1.2.3", &["203.0.113.7, unknown"], None),
            ("10.1.2.3", &["192.168.0.1"], None),
            ("10.1.2.3", &[], None),
        ] {
            assert_eq!(client(peer, forwarded_for).as_deref(), expected, "{peer} {forwarded_for:?}");
        }
    }

    #[test]
    fn a_proxys_connections_are_not_counted() {
        let proxies = TrustedProxies::parse("198.51.100.7").unwrap();
        assert_eq!(proxies.counted_peer([198, 51, 100, 7].into()), None);
        assert!(proxies.counted_peer([198, 51, 100, 8].into()).is_some());
        for bad in ["0.0.0.0/0", "::/0", "somewhere", "10.0.0.0/33"] {
            assert!(TrustedProxies::parse(bad).is_err(), "{bad}");
        }
    }
}
