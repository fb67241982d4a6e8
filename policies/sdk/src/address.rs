//! Arithmetic and text forms of addresses and ranges.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use crate::{Cidr, IpAddress};

/// An address family. Addresses of different families share nothing, not even an order by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// 32 bits.
    V4,
    /// 128 bits.
    V6,
}

impl Family {
    /// Both, in order.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The number of bits of an address.
    pub const fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    /// The highest number of an address.
    pub const fn highest(self) -> u128 {
        match self {
            Self::V4 => u32::MAX as u128,
            Self::V6 => u128::MAX,
        }
    }
}

/// Text that is no address or range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an address or range")]
pub struct ParseAddressError(String);

impl IpAddress {
    /// Its family.
    pub const fn family(self) -> Family {
        match self {
            Self::Ipv4(_) => Family::V4,
            Self::Ipv6(_) => Family::V6,
        }
    }

    /// The address as a number, to calculate with inside its family.
    pub const fn number(self) -> u128 {
        match self {
            Self::Ipv4(bits) => bits as u128,
            Self::Ipv6((upper, lower)) => ((upper as u128) << 64) | lower as u128,
        }
    }

    /// The address with this number, if the family has one.
    #[expect(clippy::cast_possible_truncation, reason = "the halves of 128 bits; checked for 32")]
    pub const fn from_number(family: Family, number: u128) -> Option<Self> {
        match family {
            Family::V4 if number > family.highest() => None,
            Family::V4 => Some(Self::Ipv4(number as u32)),
            Family::V6 => Some(Self::Ipv6(((number >> 64) as u64, number as u64))),
        }
    }
}

impl Cidr {
    /// The family of its addresses.
    pub const fn family(&self) -> Family {
        self.network.family()
    }

    /// The number of the lowest address. Host bits and an excessive prefix length are ignored.
    pub fn first(&self) -> u128 {
        self.network.number() & !self.host_bits()
    }

    /// The number of the highest address.
    pub fn last(&self) -> u128 {
        self.first() | self.host_bits()
    }

    /// Whether the address is one of these.
    pub fn contains(&self, address: IpAddress) -> bool {
        self.family() == address.family() && (self.first()..=self.last()).contains(&address.number())
    }

    /// All addresses, lowest first. There may be a great many.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddress> + use<> {
        let family = self.family();
        (self.first()..=self.last()).filter_map(move |number| IpAddress::from_number(family, number))
    }

    fn host_bits(&self) -> u128 {
        let bits = self.family().bits();
        let host = bits.saturating_sub(self.prefix_length);
        u128::MAX.checked_shr(128 - u32::from(host)).unwrap_or(0)
    }
}

impl From<IpAddr> for IpAddress {
    fn from(address: IpAddr) -> Self {
        let (family, number) = match address {
            IpAddr::V4(v4) => return Self::Ipv4(v4.to_bits()),
            IpAddr::V6(v6) => (Family::V6, v6.to_bits()),
        };
        Self::from_number(family, number).unwrap_or(Self::Ipv6((0, 0)))
    }
}

impl From<IpAddress> for IpAddr {
    fn from(address: IpAddress) -> Self {
        match address {
            IpAddress::Ipv4(bits) => Self::V4(Ipv4Addr::from_bits(bits)),
            IpAddress::Ipv6(_) => Self::V6(Ipv6Addr::from_bits(address.number())),
        }
    }
}

impl fmt::Display for IpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        IpAddr::from(*self).fmt(f)
    }
}

impl FromStr for IpAddress {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<IpAddr>().map(Self::from).map_err(|_| ParseAddressError(text.to_owned()))
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.prefix_length)
    }
}

impl FromStr for Cidr {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseAddressError(text.to_owned());
        let (network, prefix) = text.split_once('/').ok_or_else(error)?;
        let network: IpAddress = network.parse().map_err(|_| error())?;
        let prefix_length = prefix.parse().map_err(|_| error())?;
        if prefix_length > network.family().bits() {
            return Err(error());
        }
        Ok(Self { network, prefix_length })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn text_and_number_round_trip() {
        for text in ["10.0.0.1", "255.255.255.255", "::1", "fd00:1:2::ffff"] {
            let address: IpAddress = text.parse().unwrap();
            assert_eq!(address.to_string(), text);
            assert_eq!(IpAddress::from_number(address.family(), address.number()), Some(address));
        }
        assert_eq!(IpAddress::from_number(Family::V4, 1 << 32), None);
    }

    #[test]
    fn a_range_knows_its_ends() {
        let range = cidr("10.0.0.16/30");
        assert_eq!(range.first(), 0x0a00_0010);
        assert_eq!(range.last(), 0x0a00_0013);
        assert!(range.contains("10.0.0.19".parse().unwrap()));
        assert!(!range.contains("10.0.0.20".parse().unwrap()));
        assert!(!range.contains("::a00:10".parse().unwrap()));
        assert_eq!(range.addresses().count(), 4);
    }

    #[test]
    fn the_widest_and_the_narrowest_range() {
        assert_eq!(cidr("::/0").last(), u128::MAX);
        assert_eq!(cidr("0.0.0.0/0").last(), u128::from(u32::MAX));
        assert_eq!(cidr("10.0.0.7/32").first(), cidr("10.0.0.7/32").last());
        assert_eq!(cidr("::7/128").first(), 7);
    }

    #[test]
    fn not_an_address() {
        for text in ["", "10.0.0", "10.0.0.0/33", "10.0.0.0/x", "fd00::/129", "a/8"] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
    }
}
