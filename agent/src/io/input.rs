//! Opens what a spec names and keeps it open.

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
};

use tokio::sync::mpsc;

use super::{clock, file, http, http_ts, udp};
use crate::input::{InputEvent, InputSpec, Purpose};

/// What all inputs of a process share: the sweeping thread, TLS roots, the local address of outgoing connections. Each
/// part comes into being with the first input that needs it.
#[derive(Clone, Debug, Default)]
pub struct Inputs {
    source: Option<IpAddr>,
    receive_buffer: Option<usize>,
    sweeper: Arc<OnceLock<udp::Sweeper>>,
    tls: http::Tls,
}

impl Inputs {
    /// Takes the local address that outgoing connections come from, `None` leaves it to the routing table; and the bytes of
    /// receive buffer to ask for each UDP socket, `None` for [`udp::RECEIVE_BUFFER`].
    #[must_use]
    pub fn new(source: Option<IpAddr>, receive_buffer: Option<usize>) -> Self {
        Self { source, receive_buffer, ..Self::default() }
    }

    /// Runs one input until it ends or the receiver is gone. Dropping the future stops it at once.
    pub async fn run(&self, spec: InputSpec, purpose: Purpose, tx: mpsc::Sender<InputEvent>) {
        tokio::select! {
            () = self.open(&spec, purpose, &tx) => {}
            () = tx.closed() => {}
        }
    }

    async fn open(&self, spec: &InputSpec, purpose: Purpose, tx: &mpsc::Sender<InputEvent>) {
        match spec {
            InputSpec::File(path) => file::run(path, purpose, tx).await,
            InputSpec::Stdin => file::run_stdin(tx).await,
            InputSpec::Datagrams(datagrams) => match self.sweeper() {
                Ok(sweeper) => udp::run(sweeper, datagrams, tx).await,
                Err(error) => {
                    let error = Some(format!("cannot start the receiving thread: {error}"));
                    let _ = tx.send(InputEvent::End { at: clock::now(), error }).await;
                }
            },
            InputSpec::Http(url) => {
                let connector = http::Connector::new(self.tls.clone(), self.source);
                http_ts::run(connector, url, purpose, tx).await;
            }
        }
    }

    /// Returns how many reads had unusable receive stamps since the wall clock stepped.
    #[must_use]
    pub fn stepped(&self) -> u64 {
        self.sweeper.get().map_or(0, udp::Sweeper::stepped)
    }

    fn sweeper(&self) -> std::io::Result<&udp::Sweeper> {
        match self.sweeper.get() {
            Some(sweeper) => Ok(sweeper),
            // Two inputs that come first at the same time may both start a thread; the one left over ends by itself.
            None => udp::Sweeper::start(self.receive_buffer.unwrap_or(udp::RECEIVE_BUFFER))
                .map(|sweeper| self.sweeper.get_or_init(|| sweeper)),
        }
    }
}
