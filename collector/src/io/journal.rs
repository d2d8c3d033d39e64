//! What survives a restart, in SQLite.
//!
//! One thread owns the connection; a write is answered when it is durable (WAL, `synchronous = FULL`), and everything of one
//! write is one transaction. A write that fails is answered as failed and nothing is acted on: an action that nobody would
//! remember is worse than none. The collector's run number, the fencing token of commands, grows with each opening.

use std::{
    fs::{File, TryLockError},
    path::Path,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};
use tallylight_decide::journal::{Record, Remembered};
use tallylight_model::{Epoch, FaultPhase, FaultRecord, NodeId};
use tokio::sync::oneshot;

/// The layout of the tables; a journal of a later one is refused.
const SCHEMA: i64 = 1;
/// Fault records kept; the oldest go first.
const MAX_FAULTS: i64 = 100_000;
/// Records of incidents and actions kept over a restart; those not written for longest go first.
const MAX_RECORDS: i64 = 20_000;
/// Writes that wait for the thread. The judge waits for each, so there is hardly ever more than one.
const QUEUE: usize = 16;
/// How long a write may wait for another program that holds the file.
const BUSY: Duration = Duration::from_millis(500);
/// How long the judge waits for a write before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(2);
/// Fault records between two prunings of old ones.
const PRUNE_EVERY: usize = 1000;
/// How long to wait for a collector that is just stopping to let go of the journal.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);
const LOCK_POLL: Duration = Duration::from_millis(50);

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS meta (schema INTEGER NOT NULL, epoch INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS record (
        key TEXT PRIMARY KEY, body BLOB NOT NULL, written_ms INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS fault (
        id INTEGER PRIMARY KEY,
        node TEXT NOT NULL, epoch INTEGER NOT NULL, seq INTEGER NOT NULL,
        received_ms INTEGER NOT NULL, stream TEXT NOT NULL, kind TEXT NOT NULL, phase TEXT NOT NULL,
        severity TEXT NOT NULL, pid INTEGER, onset_ms INTEGER NOT NULL, declared_ms INTEGER NOT NULL,
        ended_ms INTEGER, evidence TEXT NOT NULL,
        UNIQUE (node, epoch, seq)
    );";

/// Why the journal cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub(super) enum JournalError {
    /// The file cannot be opened.
    #[error("cannot open the journal")]
    Open(#[source] rusqlite::Error),
    /// The file is of a later version.
    #[error("the journal has schema {found}; this version knows {SCHEMA}")]
    Schema {
        /// Its schema.
        found: i64,
    },
    /// The lock file beside the journal cannot be made.
    #[error("cannot lock the journal")]
    Lock(#[source] std::io::Error),
    /// Another collector uses it: two would overwrite each other's memory.
    #[error("another collector uses the journal")]
    InUse,
    /// A write failed.
    #[error("cannot write the journal")]
    Write(#[source] rusqlite::Error),
    /// The journal's thread does not answer.
    #[error("the journal does not answer")]
    Silent,
    /// The thread cannot be started.
    #[error("cannot start the journal's thread")]
    Thread(#[source] std::io::Error),
}

/// A fault record with its agent, its moments as wall time.
#[derive(Clone, Debug)]
pub(super) struct FaultRow {
    /// Who said it.
    pub(super) node: NodeId,
    /// In which run.
    pub(super) epoch: Epoch,
    /// What.
    pub(super) fault: FaultRecord,
    /// When the media was produced, in milliseconds since 1970-01-01 UTC.
    pub(super) onset_ms: i64,
    /// When it was declared.
    pub(super) declared_ms: i64,
    /// When it ended.
    pub(super) ended_ms: Option<i64>,
}

/// What the journal held when it was opened.
#[derive(Debug)]
pub(super) struct Opened {
    /// This run's number.
    pub(super) epoch: Epoch,
    /// The judgement's records.
    pub(super) records: Vec<Remembered>,
    /// Keys of fault records, so that they are not taken for new ones.
    pub(super) faults: Vec<(NodeId, Epoch, u64)>,
}

struct Job {
    records: Vec<Record>,
    faults: Vec<FaultRow>,
    reply: oneshot::Sender<Result<(), JournalError>>,
}

/// The journal's writing end. Dropping it ends the thread after its last write.
#[derive(Debug)]
pub(super) struct Journal {
    jobs: Option<mpsc::SyncSender<Job>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Job")
    }
}

impl Journal {
    /// Opens or makes the journal and starts its thread.
    ///
    /// # Errors
    /// The file cannot be opened, is of a later version, or is not a journal.
    pub(super) fn open(path: &Path) -> Result<(Self, Opened), JournalError> {
        let lock = lock(path)?;
        let mut connection = Connection::open(path).map_err(JournalError::Open)?;
        prepare(&connection).map_err(JournalError::Open)?;
        let opened = begin(&mut connection)?;
        let (jobs, inbox) = mpsc::sync_channel::<Job>(QUEUE);
        let thread = thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || {
                let _lock = lock;
                work(&mut connection, &inbox);
            })
            .map_err(JournalError::Thread)?;
        Ok((Self { jobs: Some(jobs), thread: Some(thread) }, opened))
    }

    /// Writes all of it in one transaction and returns when it is durable.
    ///
    /// # Errors
    /// Nothing of it was written, or nobody knows.
    pub(super) async fn write(
        &self,
        records: Vec<Record>,
        faults: Vec<FaultRow>,
    ) -> Result<(), JournalError> {
        if records.is_empty() && faults.is_empty() {
            return Ok(());
        }
        let (reply, answer) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or(JournalError::Silent)?;
        jobs.try_send(Job { records, faults, reply }).map_err(|_| JournalError::Silent)?;
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(result)) => result,
            _ => Err(JournalError::Silent),
        }
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // A panic in the thread has been reported by its hook.
            let _ = thread.join();
        }
    }
}

/// Takes the journal for this process alone. The lock ends with the process, however it ends.
fn lock(path: &Path) -> Result<File, JournalError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = File::create(name).map_err(JournalError::Lock)?;
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => thread::sleep(LOCK_POLL),
            Err(TryLockError::WouldBlock) => return Err(JournalError::InUse),
            Err(TryLockError::Error(error)) => return Err(JournalError::Lock(error)),
        }
    }
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(TABLES)
}

fn begin(connection: &mut Connection) -> Result<Opened, JournalError> {
    let meta = connection
        .query_row("SELECT schema, epoch FROM meta", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
        })
        .optional()
        .map_err(JournalError::Open)?;
    if let Some((found, _)) = meta.filter(|(schema, _)| *schema > SCHEMA) {
        return Err(JournalError::Schema { found });
    }
    let epoch = meta.map_or(0, |(_, epoch)| epoch) + 1;
    (|| {
        let transaction = connection.transaction()?;
        transaction.execute("DELETE FROM meta", [])?;
        transaction.execute("INSERT INTO meta VALUES (?1, ?2)", [SCHEMA, epoch])?;
        transaction.execute(
            "DELETE FROM record WHERE (key GLOB 'incident/*' OR key GLOB 'action/*') AND key NOT IN
             (SELECT key FROM record ORDER BY written_ms DESC LIMIT ?1)",
            [MAX_RECORDS],
        )?;
        transaction.commit()?;
        Ok(Opened {
            epoch: Epoch(epoch.cast_unsigned()),
            records: records(connection)?,
            faults: fault_keys(connection)?,
        })
    })()
    .map_err(JournalError::Open)
}

fn records(connection: &Connection) -> rusqlite::Result<Vec<Remembered>> {
    let now = Timestamp::now().as_millisecond();
    let mut select = connection.prepare("SELECT key, body, written_ms FROM record ORDER BY key")?;
    let rows = select.query_map([], |row| {
        let age_ms = now.saturating_sub(row.get(2)?);
        Ok(Remembered {
            record: Record { key: row.get(0)?, body: row.get(1)? },
            // A wall clock that was set back makes a record new, never younger than that.
            age: Duration::from_millis(u64::try_from(age_ms).unwrap_or(0)),
        })
    })?;
    rows.collect()
}

fn fault_keys(connection: &Connection) -> rusqlite::Result<Vec<(NodeId, Epoch, u64)>> {
    let mut select = connection.prepare("SELECT node, epoch, seq FROM fault ORDER BY id")?;
    let rows = select.query_map([], |row| {
        let node = row.get::<_, String>(0)?;
        let (epoch, seq) = (row.get::<_, i64>(1)?, row.get::<_, i64>(2)?);
        Ok((node, Epoch(epoch.cast_unsigned()), seq.cast_unsigned()))
    })?;
    let keys = rows.filter_map(|row| match row {
        Ok((node, epoch, seq)) => Some(Ok((NodeId::new(&node).ok()?, epoch, seq))),
        Err(error) => Some(Err(error)),
    });
    keys.collect()
}

fn work(connection: &mut Connection, inbox: &mpsc::Receiver<Job>) {
    let mut unpruned = 0;
    while let Ok(job) = inbox.recv() {
        unpruned += job.faults.len();
        let prune = unpruned >= PRUNE_EVERY;
        if prune {
            unpruned = 0;
        }
        let result = write(connection, &job, prune).map_err(JournalError::Write);
        // The judge has stopped waiting; what is written is written.
        let _ = job.reply.send(result);
    }
}

fn write(connection: &mut Connection, job: &Job, prune: bool) -> rusqlite::Result<()> {
    let now = Timestamp::now().as_millisecond();
    let transaction = connection.transaction()?;
    {
        let mut put = transaction.prepare_cached(
            "INSERT INTO record VALUES (?1, ?2, ?3)
             ON CONFLICT (key) DO UPDATE SET body = ?2, written_ms = ?3",
        )?;
        for record in &job.records {
            put.execute(params![record.key, record.body, now])?;
        }
        let mut put = transaction.prepare_cached(
            "INSERT OR IGNORE INTO fault (node, epoch, seq, received_ms, stream, kind, phase,
             severity, pid, onset_ms, declared_ms, ended_ms, evidence)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
        )?;
        for row in &job.faults {
            let fault = &row.fault;
            put.execute(params![
                row.node.as_str(),
                row.epoch.0.cast_signed(),
                fault.seq.cast_signed(),
                now,
                fault.stream.as_str(),
                fault.kind.name(),
                phase_name(fault.phase),
                fault.severity.name(),
                fault.pid.map(|pid| pid.get()),
                row.onset_ms,
                row.declared_ms,
                row.ended_ms,
                fault.evidence,
            ])?;
        }
        if prune {
            transaction.execute(
                "DELETE FROM fault WHERE id <= (SELECT max(id) FROM fault) - ?1",
                [MAX_FAULTS],
            )?;
        }
    }
    transaction.commit()
}

const fn phase_name(phase: FaultPhase) -> &'static str {
    match phase {
        FaultPhase::Begin => "begin",
        FaultPhase::Raise => "raise",
        FaultPhase::End(_) => "end",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tallylight_model::{FaultKind, MonoTime, Severity, StreamId};

    fn record(key: &str, body: &[u8]) -> Record {
        Record { key: key.to_owned(), body: body.to_vec() }
    }

    fn row(seq: u64) -> FaultRow {
        FaultRow {
            node: NodeId::new("north-a").unwrap(),
            epoch: Epoch(u64::MAX),
            fault: FaultRecord {
                seq,
                stream: StreamId::parse("one/n1").unwrap(),
                kind: FaultKind::NoData,
                phase: FaultPhase::Begin,
                severity: Severity::Critical,
                pid: None,
                onset: MonoTime::ZERO,
                declared: MonoTime::ZERO,
                evidence: String::new(),
            },
            onset_ms: 0,
            declared_ms: 0,
            ended_ms: None,
        }
    }

    #[tokio::test]
    async fn what_was_written_comes_back_and_the_epoch_grows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.sqlite");
        let (journal, opened) = Journal::open(&path).unwrap();
        assert_eq!(opened.epoch, Epoch(1));
        journal.write(vec![record("action/1", b"a")], vec![row(u64::MAX)]).await.unwrap();
        journal
            .write(vec![record("action/1", b"b"), record("x", b"")], vec![row(2)])
            .await
            .unwrap();
        drop(journal);
        let (_journal, opened) = Journal::open(&path).unwrap();
        assert_eq!(opened.epoch, Epoch(2));
        let records: Vec<_> = opened.records.into_iter().map(|it| it.record).collect();
        assert_eq!(records, [record("action/1", b"b"), record("x", b"")]);
        let keys: Vec<_> = opened.faults.iter().map(|(_, epoch, seq)| (epoch.0, *seq)).collect();
        assert_eq!(keys, [(u64::MAX, u64::MAX), (u64::MAX, 2)]);
    }

    #[tokio::test]
    async fn a_write_that_cannot_be_made_is_answered_as_failed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.sqlite");
        let (journal, _) = Journal::open(&path).unwrap();
        let other = Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let result = journal.write(vec![record("a", b"")], vec![]).await;
        assert!(matches!(result, Err(JournalError::Write(_))), "{result:?}");
        other.execute_batch("ROLLBACK").unwrap();
        journal.write(vec![record("a", b"")], vec![]).await.unwrap();
    }

    #[test]
    fn a_journal_belongs_to_one_collector_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.sqlite");
        let first = Journal::open(&path).unwrap();
        assert!(matches!(Journal::open(&path), Err(JournalError::InUse)));
        drop(first);
        assert_eq!(Journal::open(&path).unwrap().1.epoch, Epoch(2));
    }

    #[tokio::test]
    async fn old_faults_go_when_there_are_too_many() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.sqlite");
        let (journal, _) = Journal::open(&path).unwrap();
        let limit = u64::try_from(MAX_FAULTS).unwrap();
        for chunk in 0..11 {
            let rows = (0..10_000).map(|seq| row(chunk * 10_000 + seq)).collect();
            journal.write(vec![], rows).await.unwrap();
        }
        drop(journal);
        let (_journal, opened) = Journal::open(&path).unwrap();
        assert_eq!(u64::try_from(opened.faults.len()).unwrap(), limit);
        assert_eq!(opened.faults[0].2, 10_000);
    }

    #[test]
    fn a_journal_of_a_later_version_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.sqlite");
        drop(Journal::open(&path).unwrap());
        let other = Connection::open(&path).unwrap();
        other.execute("UPDATE meta SET schema = 99", []).unwrap();
        let error = Journal::open(&path).unwrap_err();
        assert!(matches!(error, JournalError::Schema { found: 99 }), "{error}");
        let not_a_journal = folder.path().join("text");
        std::fs::write(&not_a_journal, "hello, this is not a database at all").unwrap();
        assert!(matches!(Journal::open(&not_a_journal), Err(JournalError::Open(_))));
    }
}
