//! An HTTP/1.1 client that knows how long each phase took.
//!
//! `reqwest` hides what a probe must report (when the name was resolved, when the connection stood, when TLS stood), so
//! this is hyper's connection with tokio's sockets. One [`Client`] keeps one connection alive, as a player does for the
//! segments of one host. Every wait and every body has a limit, and no error names an address.

use std::{
    fmt,
    io::{self, Read as _},
    net::{IpAddr, SocketAddr},
    sync::{Arc, OnceLock},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use flate2::read::MultiGzDecoder;
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    client::conn::http1::{self, SendRequest},
    header::{self, HeaderValue},
};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use rustls::{CertificateError, ClientConfig, RootCertStore, pki_types::ServerName};
use tallylight_model::MonoTime;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpSocket, TcpStream, lookup_host},
    task::JoinHandle,
    time::timeout,
};
use url::{Host, Url};

use super::{attend::patient, clock};
use crate::input::{FetchError, Phases, StreamUrl, playlist::ByteRange};

/// What the client calls itself.
const USER_AGENT: &str = concat!("tallylight/", env!("CARGO_PKG_VERSION"));
/// How long each phase may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Resolving the host name.
    pub resolve: Duration,
    /// Connecting, all addresses of a host together.
    pub connect: Duration,
    /// The TLS handshake.
    pub tls: Duration,
    /// From the request to the head of the answer.
    pub header: Duration,
    /// How long a body may stand still.
    pub idle: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            resolve: Duration::from_secs(5),
            connect: Duration::from_secs(3),
            tls: Duration::from_secs(3),
            header: Duration::from_secs(5),
            idle: Duration::from_secs(10),
        }
    }
}

/// A kept connection that is not ready for the next request after this long is given up.
const REUSE_WAIT: Duration = Duration::from_millis(50);
/// Addresses of one host that are tried.
const MAX_ADDRESSES: usize = 4;
const MAX_REDIRECTS: usize = 5;

/// The TLS configuration, read from the system's roots when first needed.
#[derive(Clone, Debug, Default)]
pub struct Tls(Arc<OnceLock<Arc<ClientConfig>>>);

impl Tls {
    fn config(&self) -> Result<Arc<ClientConfig>, FetchError> {
        if let Some(config) = self.0.get() {
            return Ok(Arc::clone(config));
        }
        let mut roots = RootCertStore::empty();
        let loaded = rustls_native_certs::load_native_certs();
        let (taken, _) = roots.add_parsable_certificates(loaded.certs);
        if taken == 0 {
            tracing::warn!(
                "no TLS root certificates on this system: no https stream can be verified"
            );
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| FetchError::Tls("no protocol version to offer"))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::clone(self.0.get_or_init(|| Arc::new(config))))
    }
}

/// How connections are made.
#[derive(Clone, Debug)]
pub struct Connector {
    tls: Tls,
    source: Option<IpAddr>,
    patience: Patience,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Connector {
    /// Takes the shared TLS configuration and the local address to connect from.
    #[must_use]
    pub fn new(tls: Tls, source: Option<IpAddr>) -> Self {
        Self { tls, source, patience: Patience::default() }
    }

    /// Changes how long each phase may take.
    #[must_use]
    pub fn with_patience(self, patience: Patience) -> Self {
        Self { patience, ..self }
    }

    async fn connect(&self, url: &Url, phases: &mut Phases) -> Result<Kept, FetchError> {
        let host = url.host().ok_or(FetchError::Unrequestable)?;
        let port = url.port_or_known_default().ok_or(FetchError::Unrequestable)?;
        let addresses = resolve(&host, port, self.patience.resolve, phases).await?;
        let begun = clock::now();
        let tcp = self.connect_tcp(addresses).await?;
        add(&mut phases.connect, begun);
        let stream: Box<dyn Stream> = if url.scheme() == "https" {
            let begun = clock::now();
            let stream = self.handshake(&host, tcp).await?;
            add(&mut phases.tls, begun);
            stream
        } else {
            Box::new(tcp)
        };
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|_| FetchError::ClosedEarly)?;
        // Errors of the connection reach whoever waits for an answer or a body.
        let task = tokio::spawn(async move { drop(connection.await) });
        Ok(Kept { origin: url.origin(), sender, task })
    }

    async fn connect_tcp(&self, addresses: Vec<SocketAddr>) -> Result<TcpStream, FetchError> {
        let mut failure = FetchError::Connect("no address of the family of source_address");
        let same_family =
            |address: &SocketAddr| self.source.is_none_or(|ip| ip.is_ipv4() == address.is_ipv4());
        let connected = async {
            for address in addresses.into_iter().filter(same_family).take(MAX_ADDRESSES) {
                match self.connect_to(address).await {
                    Ok(stream) => return Ok(stream),
                    Err(error) => failure = describe(&error),
                }
            }
            Err(failure)
        };
        let limit = self.patience.connect;
        patient(limit, connected).await.unwrap_or(Err(FetchError::ConnectTimeout(limit)))
    }

    async fn connect_to(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        if let Some(source) = self.source {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        let stream = socket.connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn handshake(
        &self,
        host: &Host<&str>,
        tcp: TcpStream,
    ) -> Result<Box<dyn Stream>, FetchError> {
        let name = match host {
            Host::Domain(name) => ServerName::try_from((*name).to_owned())
                .map_err(|_| FetchError::Tls("host name is not valid"))?,
            Host::Ipv4(ip) => IpAddr::from(*ip).into(),
            Host::Ipv6(ip) => IpAddr::from(*ip).into(),
        };
        let connector = tokio_rustls::TlsConnector::from(self.tls.config()?);
        match patient(self.patience.tls, connector.connect(name, tcp)).await {
            Some(Ok(stream)) => Ok(Box::new(stream)),
            Some(Err(error)) => Err(FetchError::Tls(describe_tls(&error))),
            None => Err(FetchError::Tls("no handshake in time")),
        }
    }
}

async fn resolve(
    host: &Host<&str>,
    port: u16,
    limit: Duration,
    phases: &mut Phases,
) -> Result<Vec<SocketAddr>, FetchError> {
    match *host {
        Host::Ipv4(ip) => Ok(vec![(ip, port).into()]),
        Host::Ipv6(ip) => Ok(vec![(ip, port).into()]),
        Host::Domain(name) => {
            let begun = clock::now();
            let found = patient(limit, lookup_host((name, port)))
                .await
                .ok_or(FetchError::ResolveTimeout(limit))?
                .map_err(|_| FetchError::Resolve)?
                .collect::<Vec<_>>();
            add(&mut phases.dns, begun);
            if found.is_empty() { Err(FetchError::Resolve) } else { Ok(found) }
        }
    }
}

pub(super) fn describe(error: &io::Error) -> FetchError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => FetchError::Refused,
        io::ErrorKind::AddrNotAvailable => {
            FetchError::Connect("source_address is not an address of this host")
        }
        io::ErrorKind::HostUnreachable => FetchError::Connect("no route to the host"),
        io::ErrorKind::NetworkUnreachable => FetchError::Connect("network unreachable"),
        io::ErrorKind::ConnectionReset => FetchError::Connect("connection reset"),
        io::ErrorKind::TimedOut => FetchError::Connect("no answer to the connection"),
        _ => FetchError::Connect("the system refused"),
    }
}

/// The reason in fixed words: rustls' own name the host.
pub(super) fn describe_tls(error: &io::Error) -> &'static str {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(reason)) => match reason {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "certificate expired"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "certificate not valid yet"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "certificate is for another name"
            }
            CertificateError::UnknownIssuer => "certificate of an unknown issuer",
            CertificateError::Revoked => "certificate revoked",
            _ => "certificate not acceptable",
        },
        Some(rustls::Error::AlertReceived(_)) => "the server refused the handshake",
        Some(rustls::Error::InvalidMessage(_)) => "the server does not speak TLS",
        _ => "handshake failed",
    }
}

/// Adds the time since `begun`: redirects go through the phases again.
fn add(phase: &mut Option<Duration>, begun: MonoTime) {
    *phase = Some(phase.unwrap_or_default() + clock::now().since(begun));
}

/// A connection that may serve the next request.
struct Kept {
    origin: url::Origin,
    sender: SendRequest<Empty<Bytes>>,
    task: JoinHandle<()>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Makes requests one after the other, over one connection while host and server allow.
pub struct Client {
    connector: Connector,
    kept: Option<Kept>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("connected", &self.kept.is_some()).finish_non_exhaustive()
    }
}

/// An answer with a good status, its body still to come.
#[derive(Debug)]
pub struct Answer {
    /// Where it came from, after redirects: what references in it are relative to.
    pub url: StreamUrl,
    /// How long it took; a reused connection has no phases but the first byte.
    pub phases: Phases,
    /// The media type in lower case, without parameters.
    pub content_type: String,
    /// The announced length in bytes.
    pub length: Option<u64>,
    /// How it is coded although nothing but the plain form was asked for.
    coding: Coding,
    /// Whether only the asked-for range comes.
    partial: bool,
    idle: Duration,
    body: Incoming,
}

/// The content coding of an answer (RFC 9110, 8.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Plain,
    /// Some servers keep their playlists compressed and send them so to everybody.
    Gzip,
}

impl Client {
    /// Makes a client without a connection.
    #[must_use]
    pub const fn new(connector: Connector) -> Self {
        Self { connector, kept: None }
    }

    /// Requests a URL and follows redirects.
    ///
    /// # Errors
    /// [`FetchError`] for anything but an answer with a good status that is not a web page by its type.
    pub async fn get(
        &mut self,
        url: &StreamUrl,
        range: Option<ByteRange>,
    ) -> Result<Answer, FetchError> {
        let mut url = url.clone();
        let mut phases = Phases::default();
        for _ in 0..=MAX_REDIRECTS {
            let response = self.request(url.reveal(), range, &mut phases).await?;
            let status = response.status();
            if !is_redirect(status) {
                return answer(url, phases, response, self.connector.patience.idle);
            }
            let location = response.headers().get(header::LOCATION);
            url = location
                .and_then(|location| std::str::from_utf8(location.as_bytes()).ok())
                .and_then(|location| url.join(location))
                .ok_or(FetchError::BadRedirect(status.as_u16()))?;
        }
        Err(FetchError::Redirects(MAX_REDIRECTS))
    }

    async fn request(
        &mut self,
        url: &Url,
        range: Option<ByteRange>,
        phases: &mut Phases,
    ) -> Result<Response<Incoming>, FetchError> {
        let patience = self.connector.patience.header;
        if let Some(mut kept) = self.kept.take().filter(|kept| kept.origin == url.origin()) {
            let ready = timeout(REUSE_WAIT, kept.sender.ready()).await;
            if matches!(ready, Ok(Ok(()))) {
                match send(&mut kept.sender, url, range, patience, phases).await {
                    // A server may close an idle connection at any moment (RFC 9112, 9.3.1): then ask anew.
                    Err(FetchError::ClosedEarly) => {}
                    result => {
                        self.kept = Some(kept);
                        return result;
                    }
                }
            }
        }
        let mut kept = self.connector.connect(url, phases).await?;
        let result = send(&mut kept.sender, url, range, patience, phases).await;
        self.kept = Some(kept);
        result
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn answer(
    url: StreamUrl,
    phases: Phases,
    response: Response<Incoming>,
    idle: Duration,
) -> Result<Answer, FetchError> {
    let (head, body) = response.into_parts();
    if !head.status.is_success() {
        return Err(FetchError::Status(head.status.as_u16()));
    }
    let content_type = head.headers.get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or("");
    let content_type = content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    if content_type == "text/html" {
        return Err(FetchError::Html);
    }
    let length = head.headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse().ok());
    let partial = head.status == StatusCode::PARTIAL_CONTENT;
    let coding = match head.headers.get(header::CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"" | b"identity") => Coding::Plain,
        Some(b"gzip" | b"x-gzip") => Coding::Gzip,
        Some(_) => return Err(FetchError::Coding),
    };
    Ok(Answer { url, phases, content_type, length, coding, partial, idle, body })
}

async fn send(
    sender: &mut SendRequest<Empty<Bytes>>,
    url: &Url,
    range: Option<ByteRange>,
    limit: Duration,
    phases: &mut Phases,
) -> Result<Response<Incoming>, FetchError> {
    let request = request(url, range)?;
    let begun = clock::now();
    let response = patient(limit, sender.send_request(request))
        .await
        .ok_or(FetchError::HeaderTimeout(limit))?
        .map_err(
            |error| if error.is_parse() { FetchError::NotHttp } else { FetchError::ClosedEarly },
        )?;
    add(&mut phases.first_byte, begun);
    Ok(response)
}

fn request(url: &Url, range: Option<ByteRange>) -> Result<Request<Empty<Bytes>>, FetchError> {
    let host = url.host_str().ok_or(FetchError::Unrequestable)?;
    let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let target = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let mut request = Request::get(target)
        .header(header::HOST, host)
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::ACCEPT, "*/*")
        .header(header::ACCEPT_ENCODING, "identity");
    if !url.username().is_empty() || url.password().is_some() {
        request = request.header(header::AUTHORIZATION, basic(url));
    }
    if let Some(ByteRange { offset, length }) = range {
        let last = offset.saturating_add(length).saturating_sub(1);
        request = request.header(header::RANGE, format!("bytes={offset}-{last}"));
    }
    request.body(Empty::new()).map_err(|_| FetchError::Unrequestable)
}

/// Basic authentication (RFC 7617) from the URL's user information.
fn basic(url: &Url) -> String {
    let mut pair: Vec<u8> = percent_decode_str(url.username()).collect();
    pair.push(b':');
    pair.extend(percent_decode_str(url.password().unwrap_or("")));
    format!("Basic {}", STANDARD.encode(pair))
}

impl Answer {
    /// Waits for the next bytes; `None` at the regular end.
    ///
    /// # Errors
    /// The body stands still or breaks off.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, FetchError> {
        loop {
            let frame = patient(self.idle, self.body.frame())
                .await
                .ok_or(FetchError::BodyTimeout(self.idle))?;
            match frame {
                None => return Ok(None),
                Some(Err(_)) => return Err(FetchError::Truncated),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => return Ok(Some(data)),
                    _ => {}
                },
            }
        }
    }

    /// Reads the whole body, or of it the range that was asked for.
    ///
    /// # Errors
    /// It breaks off, is larger than `limit` bytes or takes longer than `within`.
    pub async fn collect(
        mut self,
        range: Option<ByteRange>,
        limit: usize,
        within: Duration,
    ) -> Result<Bytes, FetchError> {
        let whole = patient(within, self.whole(limit)).await;
        let whole = whole.unwrap_or(Err(FetchError::TooSlow(within)))?;
        let Some(range) = range else { return Ok(whole) };
        // A server may ignore the range and answer 200 with everything (RFC 9110, 14.2).
        let offset =
            if self.partial { 0 } else { usize::try_from(range.offset).unwrap_or(usize::MAX) };
        let end = usize::try_from(range.length).ok().and_then(|length| offset.checked_add(length));
        match end {
            Some(end) if end <= whole.len() => Ok(whole.slice(offset..end)),
            _ => Err(FetchError::Truncated),
        }
    }

    async fn whole(&mut self, limit: usize) -> Result<Bytes, FetchError> {
        let too_large = FetchError::TooLarge(limit >> 20);
        if self.length.is_some_and(|length| length > limit as u64) {
            return Err(too_large);
        }
        let mut whole = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if whole.len() + chunk.len() > limit {
                return Err(too_large);
            }
            whole.extend_from_slice(&chunk);
        }
        match self.coding {
            Coding::Plain => Ok(whole.freeze()),
            Coding::Gzip => unzip(&whole, limit),
        }
    }

    /// Whether the body can be passed on as it comes.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.coding == Coding::Plain
    }
}

fn unzip(data: &[u8], limit: usize) -> Result<Bytes, FetchError> {
    let mut plain = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    MultiGzDecoder::new(data).take(most).read_to_end(&mut plain).map_err(|_| FetchError::Coding)?;
    if plain.len() > limit { Err(FetchError::TooLarge(limit >> 20)) } else { Ok(plain.into()) }
}

#[cfg(test)]
mod tests;
