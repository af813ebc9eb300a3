//! A network as a caveat names it: an address and how many of its bits count.

use std::net::IpAddr;
use std::str::FromStr;

/// `127.0.0.0/8`, `2001:db8::/32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Whether a peer is in it. Addresses of the other family are not.
    pub fn contains(&self, peer: IpAddr) -> bool {
        match (self.address, peer) {
            (IpAddr::V4(_), IpAddr::V4(_)) | (IpAddr::V6(_), IpAddr::V6(_)) => {
                prefix(peer, self.bits) == prefix(self.address, self.bits)
            }
            _ => false,
        }
    }

    /// The part that is in both: the narrower of two, if it is in the other.
    pub fn and(self, other: Self) -> Option<Self> {
        let (narrow, wide) = if self.bits >= other.bits {
            (self, other)
        } else {
            (other, self)
        };
        wide.contains(narrow.address).then_some(narrow)
    }
}

impl FromStr for Network {
    type Err = ();

    /// An address with bits behind its network is not a network, and most likely a mistake.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, bits) = text.split_once('/').ok_or(())?;
        let address: IpAddr = address.parse().map_err(|_| ())?;
        let canonical = !bits.is_empty()
            && bits.bytes().all(|byte| byte.is_ascii_digit())
            && (bits == "0" || !bits.starts_with('0'));
        let bits: u8 = bits.parse().ok().filter(|_| canonical).ok_or(())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        if bits > most || prefix(address, bits) != whole(address) {
            return Err(());
        }
        Ok(Self { address, bits })
    }
}

/// The address at the top of 128 bits.
fn whole(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)) << 96,
        IpAddr::V6(address) => address.into(),
    }
}

/// The same with all but its first `bits` cleared.
fn prefix(address: IpAddr, bits: u8) -> u128 {
    let kept = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
    whole(address) & kept
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn contains(network: &str, peer: &str) -> bool {
        let network: Network = network.parse().unwrap();
        network.contains(peer.parse().unwrap())
    }

    #[test]
    fn a_network_ends_at_its_last_bit() {
        for (network, first, last, beyond) in [
            ("127.0.0.0/8", "127.0.0.0", "127.255.255.255", "128.0.0.0"),
            ("10.1.2.0/23", "10.1.2.0", "10.1.3.255", "10.1.4.0"),
            ("10.0.0.1/32", "10.0.0.1", "10.0.0.1", "10.0.0.2"),
            (
                "2001:db8::/32",
                "2001:db8::",
                "2001:db8:ffff::1",
                "2001:db9::",
            ),
            ("::1/128", "::1", "::1", "::2"),
        ] {
            assert!(
                contains(network, first) && contains(network, last),
                "{network}"
            );
            assert!(!contains(network, beyond), "{network}");
        }
        assert!(contains("0.0.0.0/0", "255.255.255.255") && contains("::/0", "ffff::"));
        assert!(!contains("0.0.0.0/0", "::1") && !contains("::/0", "127.0.0.1"));
    }

    #[test]
    fn what_is_not_exactly_a_network_is_none() {
        for text in [
            "",
            "/",
            "/8",
            "127.0.0.1",
            "127.0.0.0/",
            "127.0.0.0/08",
            "127.0.0.0/+8",
            "127.0.0.0/33",
            "::/129",
            "::/256",
            "127.0.0.1/8",
            "127.0.0/8",
            " 127.0.0.0/8",
            "127.0.0.0/8 ",
            "localhost/8",
            "127.0.0.0/8/8",
            "1.2.3.4/0",
        ] {
            assert_eq!(text.parse::<Network>(), Err(()), "{text:?}");
        }
    }

    #[test]
    fn of_two_networks_the_narrower_is_left_or_nothing() {
        let both = |a: &str, b: &str| a.parse::<Network>().unwrap().and(b.parse().unwrap());
        let narrow = Some("127.1.0.0/16".parse().unwrap());
        assert_eq!(both("127.0.0.0/8", "127.1.0.0/16"), narrow);
        assert_eq!(both("127.1.0.0/16", "127.0.0.0/8"), narrow);
        assert_eq!(both("127.1.0.0/16", "127.1.0.0/16"), narrow);
        assert_eq!(both("127.1.0.0/16", "127.2.0.0/16"), None);
        assert_eq!(both("0.0.0.0/0", "::/0"), None);
    }
}
