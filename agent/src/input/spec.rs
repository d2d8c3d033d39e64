//! What a stream's URL means.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use url::Url;

/// Why a URL names no input. The texts hold nothing of the URL but its scheme: it may carry credentials.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// The scheme is none of those that can be read.
    #[error("scheme \"{0}\" is not supported: use udp, rtp, http, https, file or a path")]
    Scheme(String),
    /// An http or file URL does not parse.
    #[error("not a valid URL: {0}")]
    Url(#[source] url::ParseError),
    /// A file URL that is no local path.
    #[error("a file URL must name a local, absolute path")]
    FilePath,
    /// The address of a datagram stream is no IP address with a port.
    #[error("a {0} address must be IP:PORT, as in {0}://239.1.1.1:5000")]
    Address(&'static str),
    /// The port is zero.
    #[error("port 0 cannot be received on")]
    Port,
    /// Something follows the port.
    #[error("nothing may follow the port of a {0} address")]
    Trailing(&'static str),
    /// The part before `@` is no IP address.
    #[error("the source before '@' must be an IP address")]
    Source,
    /// A source filter makes sense for a multicast group alone.
    #[error("a source before '@' needs a multicast group behind it")]
    SourceWithoutGroup,
    /// Source and group are not of one family.
    #[error("source and group must both be IPv4 or both IPv6")]
    Family,
    /// Source-specific IPv6 multicast is not supported by the socket library in use.
    #[error("source-specific multicast is supported for IPv4 only")]
    SourceIpv6,
}

/// An http or https URL. It shows itself as its scheme alone, so that no log or error can carry a credential.
#[derive(Clone, PartialEq, Eq)]
pub struct StreamUrl(Url);

impl StreamUrl {
    /// Takes a URL whose scheme is http or https and that has a host; `None` for any other.
    #[must_use]
    pub fn new(url: Url) -> Option<Self> {
        (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(Self(url))
    }

    /// Returns the URL itself, credentials included: for connecting and for resolving references only.
    #[must_use]
    pub const fn reveal(&self) -> &Url {
        &self.0
    }

    /// Resolves a reference as found in a redirect or a playlist; `None` where it is not http(s) or cannot be read.
    /// Credentials go along to the same origin only.
    #[must_use]
    pub fn join(&self, reference: &str) -> Option<Self> {
        let mut url = self.0.join(reference.trim()).ok()?;
        if url.origin() == self.0.origin() && url.username().is_empty() && url.password().is_none()
        {
            url.set_username(self.0.username()).ok()?;
            url.set_password(self.0.password()).ok()?;
        }
        Self::new(url)
    }

    /// Whether its path ends as an HLS playlist's does (RFC 8216, 4: `.m3u8` or `.m3u`).
    #[must_use]
    pub fn names_playlist(&self) -> bool {
        let path = self.0.path().to_ascii_lowercase();
        path.ends_with(".m3u8") || path.ends_with(".m3u")
    }
}

impl fmt::Debug for StreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://...", self.0.scheme())
    }
}

/// What a datagram holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Transport stream packets.
    Ts,
    /// An RTP packet of transport stream packets (RFC 2250).
    Rtp,
}

impl Framing {
    /// Returns `ts` or `rtp`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ts => "ts",
            Self::Rtp => "rtp",
        }
    }
}

/// A stream of datagrams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatagramSpec {
    /// The multicast group, or the local address to receive on, with the port.
    pub address: SocketAddr,
    /// The one sender that is let in (RFC 4607); `None` for any.
    pub source: Option<IpAddr>,
    /// The name of the interface to join on; `None` leaves it to the routing table.
    pub interface: Option<String>,
    /// What the datagrams hold.
    pub framing: Framing,
}

/// What to open, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputSpec {
    /// UDP or RTP.
    Datagrams(DatagramSpec),
    /// HTTP: HLS if the path says so or the answer's content type does, else a transport stream without end.
    Http(StreamUrl),
    /// A file.
    File(PathBuf),
    /// Standard input.
    Stdin,
}

impl InputSpec {
    /// Reads `udp://[SOURCE@]ADDRESS:PORT`, `rtp://` alike, `http(s)://...`, `file:///...`, `-` (standard input) or a
    /// path. `interface` is an interface name and matters to multicast alone.
    ///
    /// # Errors
    /// [`SpecError`] says which part is wrong and what is allowed.
    pub fn parse(text: &str, interface: Option<&str>) -> Result<Self, SpecError> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Ok(if text == "-" { Self::Stdin } else { Self::File(PathBuf::from(text)) });
        };
        match scheme.to_ascii_lowercase().as_str() {
            "udp" => parse_datagrams(rest, Framing::Ts, interface).map(Self::Datagrams),
            "rtp" => parse_datagrams(rest, Framing::Rtp, interface).map(Self::Datagrams),
            "http" | "https" => {
                let url = Url::parse(text).map_err(SpecError::Url)?;
                StreamUrl::new(url)
                    .map(Self::Http)
                    .ok_or(SpecError::Url(url::ParseError::EmptyHost))
            }
            "file" => {
                let url = Url::parse(text).map_err(SpecError::Url)?;
                url.to_file_path().map(Self::File).map_err(|()| SpecError::FilePath)
            }
            other => Err(SpecError::Scheme(other.to_owned())),
        }
    }
}

fn parse_datagrams(
    rest: &str,
    framing: Framing,
    interface: Option<&str>,
) -> Result<DatagramSpec, SpecError> {
    let scheme = match framing {
        Framing::Ts => "udp",
        Framing::Rtp => "rtp",
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains(['/', '?', '#']) {
        return Err(SpecError::Trailing(scheme));
    }
    let (source, address) = match rest.rsplit_once('@') {
        // `udp://@GROUP:PORT` is how VLC writes "any source".
        Some(("", address)) => (None, address),
        Some((source, address)) => {
            let source = source.trim_start_matches('[').trim_end_matches(']');
            (Some(source.parse::<IpAddr>().map_err(|_| SpecError::Source)?), address)
        }
        None => (None, rest),
    };
    let address = match address.strip_prefix(':').map(str::parse) {
        Some(Ok(port)) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
        _ => address.parse().map_err(|_| SpecError::Address(scheme))?,
    };
    if address.port() == 0 {
        return Err(SpecError::Port);
    }
    match source {
        Some(_) if !address.ip().is_multicast() => return Err(SpecError::SourceWithoutGroup),
        Some(source) if source.is_ipv4() != address.is_ipv4() => return Err(SpecError::Family),
        Some(source) if source.is_ipv6() => return Err(SpecError::SourceIpv6),
        _ => {}
    }
    Ok(DatagramSpec { address, source, interface: interface.map(str::to_owned), framing })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn datagrams(
        address: &str,
        source: Option<&str>,
        framing: Framing,
    ) -> Result<InputSpec, SpecError> {
        Ok(InputSpec::Datagrams(DatagramSpec {
            address: address.parse().unwrap(),
            source: source.map(|source| source.parse().unwrap()),
            interface: Some("lo".to_owned()),
            framing,
        }))
    }

    #[test]
    fn every_form_of_address_is_understood_or_refused_with_its_reason() {
        let cases = [
            ("udp://239.1.1.1:5000", datagrams("239.1.1.1:5000", None, Framing::Ts)),
            ("udp://@239.1.1.1:5000", datagrams("239.1.1.1:5000", None, Framing::Ts)),
            (
                "UDP://10.0.0.1@232.1.1.1:5000/",
                datagrams("232.1.1.1:5000", Some("10.0.0.1"), Framing::Ts),
            ),
            ("rtp://[ff15::1]:5004", datagrams("[ff15::1]:5004", None, Framing::Rtp)),
            ("udp://:5000", datagrams("0.0.0.0:5000", None, Framing::Ts)),
            ("udp://127.0.0.1:5000", datagrams("127.0.0.1:5000", None, Framing::Ts)),
            ("udp://host:5000", Err(SpecError::Address("udp"))),
            ("udp://239.1.1.1", Err(SpecError::Address("udp"))),
            ("rtp://239.1.1.1:0", Err(SpecError::Port)),
            ("udp://239.1.1.1:5000?ttl=1", Err(SpecError::Trailing("udp"))),
            ("udp://me@239.1.1.1:5000", Err(SpecError::Source)),
            ("udp://10.0.0.1@10.0.0.2:5000", Err(SpecError::SourceWithoutGroup)),
            ("udp://[fe80::1]@239.1.1.1:5000", Err(SpecError::Family)),
            ("udp://[fe80::1]@[ff35::1]:5000", Err(SpecError::SourceIpv6)),
            ("srt://1.2.3.4:5", Err(SpecError::Scheme("srt".to_owned()))),
            ("http://", Err(SpecError::Url(url::ParseError::EmptyHost))),
            ("file://other/x.ts", Err(SpecError::FilePath)),
            ("file:///a%20b.ts", Ok(InputSpec::File("/a b.ts".into()))),
            ("a b.ts", Ok(InputSpec::File("a b.ts".into()))),
            ("-", Ok(InputSpec::Stdin)),
        ];
        for (text, expected) in cases {
            assert_eq!(InputSpec::parse(text, Some("lo")), expected, "{text}");
        }
    }

    #[test]
    fn credentials_show_nowhere_and_stay_with_their_origin() {
        let InputSpec::Http(url) =
            InputSpec::parse("http://user:pw@h:1/a/b.m3u8?token=t", None).unwrap()
        else {
            panic!("not http")
        };
        assert_eq!(format!("{url:?}"), "http://...");
        assert!(url.names_playlist());
        assert_eq!(url.join("c.ts").unwrap().reveal().as_str(), "http://user:pw@h:1/a/c.ts");
        assert_eq!(url.join("http://x/c.ts").unwrap().reveal().as_str(), "http://x/c.ts");
        assert_eq!(url.join("//h:2/c").unwrap().reveal().as_str(), "http://h:2/c");
        assert_eq!(url.join("file:///etc/passwd"), None);
    }
}
