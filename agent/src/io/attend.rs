//! Waiting, with the session told meanwhile how far its input was looked at; and patience that counts only time in which this
//! process was run.

use std::{future::Future, pin::pin, time::Duration};

use tokio::{
    sync::mpsc::{Sender, error::SendError},
    time::timeout,
};

use super::clock;
use crate::input::{Attention, InputEvent};

/// The session is gone.
pub(super) type Gone = SendError<InputEvent>;

/// Waits for something.
pub(super) async fn attend<F: Future>(
    attention: &mut Attention,
    tx: &Sender<InputEvent>,
    future: F,
) -> Result<F::Output, Gone> {
    let mut future = pin!(future);
    loop {
        let wait = attention.next().since(clock::now());
        let output = timeout(wait, &mut future).await;
        let at = attention.look(clock::now());
        match output {
            Ok(output) => return Ok(output),
            Err(_) => tx.send(InputEvent::Quiet { at }).await?,
        }
    }
}

/// A limit is waited for in steps of this length, each counted as no more than it should have lasted.
const STEP: Duration = Duration::from_millis(500);

/// Waits for something up to a limit, `None` once that is over. A process that is not run for a while finds both its answer and
/// the end of its patience when it wakes up, and must not take its own absence for the server's.
pub(super) async fn patient<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = limit;
    while !left.is_zero() {
        let step = left.min(STEP);
        if let Ok(output) = timeout(step, &mut future).await {
            return Some(output);
        }
        left -= step;
    }
    None
}

#[cfg(test)]
mod tests {
    use std::thread;

    use tokio::{io::AsyncReadExt as _, net::TcpListener, sync::mpsc};

    use super::*;

    #[tokio::test]
    async fn who_waits_says_how_far_it_looked_and_never_further_than_the_look_before() {
        let (tx, mut rx) = mpsc::channel(100);
        let began = clock::now();
        let mut attention = Attention::new(began);
        let wait = tokio::time::sleep(Duration::from_millis(450));
        attend(&mut attention, &tx, wait).await.unwrap();
        let mut looks = Vec::new();
        while let Ok(InputEvent::Quiet { at }) = rx.try_recv() {
            assert!(at <= clock::now() - Duration::from_millis(1));
            looks.push(at);
        }
        assert_eq!(looks.first(), Some(&began));
        assert!((2..=9).contains(&looks.len()), "{looks:?}");
        assert!(looks.is_sorted());
    }

    /// One thread for everything, as on a host that is out of processor time: it is kept busy for longer than the limit.
    #[tokio::test]
    async fn an_answer_that_waited_for_a_busy_host_is_not_late() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let limit = Duration::from_millis(900);
        let server = thread::spawn(move || {
            use std::io::Write as _;
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            thread::sleep(Duration::from_millis(200));
            stream.write_all(b"x").unwrap();
        });
        let (mut stream, _) = listener.accept().await.unwrap();
        // What reads is another task, as with a connection, so it may get its turn after the timer.
        let read = tokio::spawn(async move { stream.read_u8().await.unwrap() });
        tokio::spawn(async move { thread::sleep(Duration::from_millis(1_500)) });
        assert_eq!(patient(limit, read).await.unwrap().unwrap(), b'x');
        server.join().unwrap();
        assert!(patient(Duration::from_millis(20), std::future::pending::<()>()).await.is_none());
    }
}
