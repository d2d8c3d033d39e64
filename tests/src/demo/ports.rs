//! Free ports for programs that must be told theirs before they start.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// Hands out ports on loopback that nobody has.
///
/// They come from below the range from which the kernel takes ports for outgoing connections (32768 to 60999 on Linux), so
/// that nothing else is given one between the look and the use.
#[derive(Debug)]
pub struct Ports {
    next: u16,
}

const FIRST: u16 = 20_000;
const LAST: u16 = 32_000;

impl Default for Ports {
    fn default() -> Self {
        // Worlds that start at the same time begin at different places.
        let spread = u16::try_from(std::process::id() % u32::from(LAST - FIRST)).unwrap_or(0);
        Self { next: FIRST + spread }
    }
}

impl Ports {
    /// Returns a free address, never the same twice in a round of all.
    ///
    /// # Errors
    /// No port of the range is free.
    pub fn take(&mut self) -> anyhow::Result<SocketAddr> {
        for _ in FIRST..LAST {
            let port = self.next;
            self.next = if port + 1 >= LAST { FIRST } else { port + 1 };
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            if TcpListener::bind(address).is_ok() {
                return Ok(address);
            }
        }
        anyhow::bail!("no port from {FIRST} to {LAST} is free")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_free_and_given_once() {
        let mut ports = Ports::default();
        let (a, b) = (ports.take().unwrap(), ports.take().unwrap());
        assert_ne!(a, b);
        let held = TcpListener::bind(b).unwrap();
        let mut again = Ports { next: b.port() };
        assert_ne!(again.take().unwrap(), held.local_addr().unwrap());
    }
}
