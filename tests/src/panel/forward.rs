//! The child process of one channel: receives the chosen source and sends it to every region's link, datagram by
//! datagram. What operators call the channel's output process; when it hangs, the channel's deliveries starve.
//!
//! It is told `N URL` on standard input, N being any number, and says `N` on standard output when the first datagram of that
//! source has been sent; 0 stands for the source it started with. Until then the former source goes on. End of input ends
//! it; so does the panel's death, even while it is stopped.

use std::{
    io::Write as _,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    os::fd::AsFd as _,
};

use anyhow::{Context as _, bail};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    net::{UdpSocket, unix::pipe},
};

use crate::world::process;

/// More than any datagram of seven transport packets with an RTP header.
const MAX_DATAGRAM: usize = 2048;
/// Bridges a scheduling delay at 20 Mb/s; the kernel caps it.
const RECEIVE_BUFFER: usize = 1 << 20;

/// Forwards one channel. For the panel's use.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Source to start with, `udp://GROUP_OR_HOST:PORT`
    #[arg(long)]
    from: url::Url,
    /// Where to send it; may stand several times
    #[arg(long = "to", required = true)]
    to: Vec<SocketAddr>,
    /// Interface on which multicast sources arrive
    #[arg(long, default_value = "lo")]
    interface: String,
}

/// Runs until standard input ends.
///
/// # Errors
/// Fails where the sockets cannot be opened; a source that sends nothing is no error.
pub fn run(args: Arguments) -> anyhow::Result<()> {
    process::run(forward(args))
}

async fn forward(args: Arguments) -> anyhow::Result<()> {
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)
        .context("cannot tie this process to its parent")?;
    let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.context("cannot open a socket")?;
    // Read as the pipe it is: a blocking read in a thread would outlive an error and keep the process.
    let stdin =
        std::io::stdin().as_fd().try_clone_to_owned().context("cannot use standard input")?;
    let stdin = pipe::Receiver::from_owned_fd(stdin).context("standard input is not a pipe")?;
    let mut orders = BufReader::new(stdin).lines();
    let mut current: Option<UdpSocket> = None;
    let mut next = Some((0, receiver(&args.from, &args.interface)?));
    let mut current_buffer = [0_u8; MAX_DATAGRAM];
    let mut next_buffer = [0_u8; MAX_DATAGRAM];
    loop {
        tokio::select! {
            biased;
            received = receive(next.as_ref().map(|(_, socket)| socket), &mut next_buffer) => {
                send(&sender, &args.to, &next_buffer[..received?]).await;
                if let Some((number, socket)) = next.take() {
                    current = Some(socket);
                    say(number)?;
                }
            }
            received = receive(current.as_ref(), &mut current_buffer) => {
                send(&sender, &args.to, &current_buffer[..received?]).await;
            }
            order = orders.next_line() => match order.context("cannot read orders")? {
                None => return Ok(()),
                Some(order) => {
                    let (number, source) = parse(&order).context("order is not: NUMBER URL")?;
                    next = Some((number, receiver(&source, &args.interface)?));
                }
            },
        }
    }
}

fn parse(order: &str) -> Option<(u64, url::Url)> {
    let (number, source) = order.split_once(' ')?;
    Some((number.parse().ok()?, source.parse().ok()?))
}

fn say(number: u64) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{number}").and_then(|()| out.flush()).context("cannot answer")
}

/// Waits for ever where there is no socket.
async fn receive(socket: Option<&UdpSocket>, buffer: &mut [u8]) -> anyhow::Result<usize> {
    match socket {
        Some(socket) => socket.recv(buffer).await.context("cannot receive"),
        None => std::future::pending().await,
    }
}

/// A link that is away must not stop the other regions: what cannot be sent is lost, as on any network.
async fn send(sender: &UdpSocket, to: &[SocketAddr], datagram: &[u8]) {
    for address in to {
        if let Err(error) = sender.send_to(datagram, address).await {
            tracing::debug!(%error, "a link did not take a datagram");
        }
    }
}

/// Opens a socket for `udp://GROUP_OR_ADDRESS:PORT` and joins the group on the interface.
fn receiver(source: &url::Url, interface: &str) -> anyhow::Result<UdpSocket> {
    if source.scheme() != "udp" {
        bail!("source is {}, only udp is forwarded", source.scheme());
    }
    let address: Ipv4Addr = source
        .host_str()
        .and_then(|host| host.parse().ok())
        .context("source has no IPv4 address")?;
    let port = source.port().context("source has no port")?;
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    // Bound to the group, the socket gets no other group's datagrams on the same port.
    socket
        .bind(&SocketAddrV4::new(address, port).into())
        .context("cannot bind to the source's address")?;
    if address.is_multicast() {
        let index = nix::net::if_::if_nametoindex(interface)
            .with_context(|| format!("there is no interface {interface}"))?;
        socket
            .join_multicast_v4_n(&address, &InterfaceIndexOrAddress::Index(index))
            .context("cannot join the source's group")?;
    }
    Ok(UdpSocket::from_std(socket.into())?)
}
