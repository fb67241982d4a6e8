//! Addresses to listen at, as the Go ecosystem writes them.

use std::fmt;
use std::io;
use std::str::FromStr;

use tokio::net::TcpListener;

/// Where to listen: `:8080` is every interface, `0` nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Listen {
    /// Nowhere.
    Nowhere,
    /// At every interface, IPv6 and IPv4.
    Everywhere(u16),
    /// At one address, or at a name that stands for one.
    At(String),
}

impl Listen {
    /// Takes the address; none: nowhere.
    pub(crate) async fn bind(&self) -> io::Result<Option<TcpListener>> {
        match self {
            Self::Nowhere => Ok(None),
            Self::At(address) => TcpListener::bind(address).await.map(Some),
            Self::Everywhere(port) => match TcpListener::bind(("::", *port)).await {
                Ok(listener) => Ok(Some(listener)),
                // A kernel without IPv6.
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
                Err(_) => TcpListener::bind(("0.0.0.0", *port)).await.map(Some),
            },
        }
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "0" {
            return Ok(Self::Nowhere);
        }
        let form = || format!("`{text}` is no address such as :8080, 127.0.0.1:8080 or 0");
        let (host, port) = text.rsplit_once(':').ok_or_else(form)?;
        let port: u16 = port.parse().map_err(|_| form())?;
        Ok(if host.is_empty() { Self::Everywhere(port) } else { Self::At(text.to_owned()) })
    }
}

impl Listen {
    /// Whether nobody but this machine can reach it.
    pub(crate) fn is_loopback(&self) -> bool {
        let Self::At(text) = self else { return *self == Self::Nowhere };
        let host = text.rsplit_once(':').map_or(text.as_str(), |(host, _)| host).trim_matches(['[', ']']);
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nowhere => f.write_str("0"),
            Self::Everywhere(port) => write!(f, ":{port}"),
            Self::At(address) => f.write_str(address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Listen;

    #[test]
    fn addresses_are_read_as_controllers_write_them() {
        assert_eq!(":8080".parse(), Ok(Listen::Everywhere(8080)));
        assert_eq!("0".parse(), Ok(Listen::Nowhere));
        assert_eq!("[::1]:9".parse(), Ok(Listen::At("[::1]:9".to_owned())));
        for wrong in ["", "8080", ":http", "127.0.0.1", ":70000"] {
            assert!(wrong.parse::<Listen>().unwrap_err().contains(wrong));
        }
    }
}
