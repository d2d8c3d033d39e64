//! Files and standard input: read in big blocks, as fast as the session takes them.

use std::{
    io::{self, IsTerminal as _},
    os::fd::AsFd as _,
    path::Path,
    time::Duration,
};

use bytes::BytesMut;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    sync::mpsc,
};

use super::clock;
use crate::input::{InputEvent, Phases, Purpose};

/// A multiple of the packet size, so that blocks of an undamaged file begin with a packet.
const BLOCK: usize = 188 * 1024 * 4;
/// What a pipe holds.
const PIPE: usize = 64 << 10;
/// How often a file is asked whether it grew.
const GROWS: Duration = Duration::from_millis(200);

/// What the end of what can be read means.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AtEnd {
    Over,
    MayGrow,
}

/// Reads `path` to its end, or as long as it grows.
pub(super) async fn run(path: &Path, purpose: Purpose, tx: &mpsc::Sender<InputEvent>) {
    match tokio::fs::File::open(path).await {
        Ok(mut file) => {
            // tokio moves 2 MiB at most between its blocking threads and us in one go; the default is made for sockets.
            file.set_max_buf_size(BLOCK);
            // A pipe with a name ends when its writer does.
            let grows = file.metadata().await.is_ok_and(|it| it.is_file());
            let follows = purpose == Purpose::Follow && grows;
            read(file, BLOCK, if follows { AtEnd::MayGrow } else { AtEnd::Over }, tx).await;
        }
        Err(error) => end(tx, Some(describe(&error))).await,
    }
}

/// Reads standard input to its end.
pub(super) async fn run_stdin(tx: &mpsc::Sender<InputEvent>) {
    if io::stdin().is_terminal() {
        let error = "standard input is a terminal; pipe a transport stream into it";
        return end(tx, Some(error.to_owned())).await;
    }
    match io::stdin().as_fd().try_clone_to_owned() {
        Ok(stdin) => {
            let stdin = tokio::fs::File::from_std(std::fs::File::from(stdin));
            read(stdin, PIPE, AtEnd::Over, tx).await;
        }
        Err(error) => end(tx, Some(describe(&error))).await,
    }
}

/// Hands on what each read brings: a pipe that is slow must not wait until a block is full.
async fn read(
    mut from: impl AsyncRead + Unpin,
    block: usize,
    at_end: AtEnd,
    tx: &mpsc::Sender<InputEvent>,
) {
    let opened = InputEvent::Opened { phases: Phases::default(), at: clock::now() };
    if tx.send(opened).await.is_err() {
        return;
    }
    loop {
        let mut data = BytesMut::with_capacity(block);
        match from.read_buf(&mut data).await {
            Ok(0) if at_end == AtEnd::MayGrow => tokio::time::sleep(GROWS).await,
            Ok(0) => return end(tx, None).await,
            Ok(_) => {
                let event = InputEvent::Bytes { at: clock::now(), data: data.freeze() };
                if tx.send(event).await.is_err() {
                    return;
                }
            }
            Err(error) => return end(tx, Some(describe(&error))).await,
        }
    }
}

async fn end(tx: &mpsc::Sender<InputEvent>, error: Option<String>) {
    // A session that is gone needs no end.
    let _ = tx.send(InputEvent::End { at: clock::now(), error }).await;
}

fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "is a directory".to_owned(),
        _ => format!("cannot be read: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn events(path: &Path) -> Vec<InputEvent> {
        let (tx, mut rx) = mpsc::channel(1);
        let path = path.to_owned();
        let task = tokio::spawn(async move { run(&path, Purpose::Probe, &tx).await });
        let mut events = Vec::new();
        while let Some(event) = rx.recv().await {
            events.push(event);
        }
        task.await.unwrap();
        events
    }

    #[tokio::test]
    async fn a_file_arrives_whole_and_in_order_through_a_queue_of_one() {
        let bytes: Vec<u8> = (0..2 * BLOCK + 77).map(|i| (i % 251) as u8).collect();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &bytes).unwrap();
        let events = events(file.path()).await;
        let mut got = Vec::new();
        for event in &events {
            if let InputEvent::Bytes { data, .. } = event {
                got.extend_from_slice(data);
            }
        }
        assert_eq!(got, bytes);
        assert!(matches!(events.first(), Some(InputEvent::Opened { .. })));
        assert!(matches!(events.last(), Some(InputEvent::End { error: None, .. })));
        assert_eq!(events.len(), 5);
    }

    #[tokio::test]
    async fn what_cannot_be_read_says_why_without_naming_the_path() {
        let folder = tempfile::tempdir().unwrap();
        for (path, why) in [
            (folder.path().join("missing"), "no such file"),
            (folder.path().to_owned(), "is a directory"),
        ] {
            let events = events(&path).await;
            let Some(InputEvent::End { error: Some(error), .. }) = events.last() else {
                panic!("no end: {events:?}")
            };
            assert_eq!(error, why);
        }
    }
}
