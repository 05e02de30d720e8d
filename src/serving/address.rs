//! Whose address a peer's is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address under which a peer is counted: that of a network of one customer's under IPv6. `None` for peers that no
/// limit per address concerns: this machine and private networks, where proxies are, through which anybody comes.
pub(crate) fn counted(peer: IpAddr) -> Option<IpAddr> {
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
}
