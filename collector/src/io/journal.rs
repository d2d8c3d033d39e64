//! What survives a restart, in SQLite.
//!
//! One thread owns the connection; a write is answered when it is durable (WAL, `synchronous = FULL`), and everything of one
//! write is one transaction. A write that fails is answered as failed and nothing is acted on: an action that nobody would
//! remember is worse than none. The collector's run number, the fencing token of commands, grows with each opening.
//!
//! A second thread moves what was written from the log into the database. SQLite would do it within some commit, with two
//! more synchronisations, and a decision might be waiting for just that one.

use std::{
    fs::{File, TryLockError},
    future::Future,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
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
/// What the judgement lets go of has no body. Only it knows what still stands, so its bounds are the journal's.
const PRUNE_RECORDS: &str = "DELETE FROM record WHERE length(body) = 0";
/// Error budgets of channels that are long gone: nothing was added to them for as long as they are for.
const PRUNE_BUDGETS: &str = "DELETE FROM record WHERE key GLOB 'budget/*' AND written_ms < ?1";
const BUDGETS_LAST_MS: i64 = 29 * 86_400_000;
/// Writes that wait for the thread. The judge waits for each, so there is hardly ever more than one.
const QUEUE: usize = 16;
/// How long a write may wait for another program that holds the file.
const BUSY: Duration = Duration::from_millis(500);
/// How long the judge waits for a write before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(2);
/// Records of any kind between two prunings of old ones.
const PRUNE_EVERY: usize = 1000;
/// How long to wait for a collector that is just stopping to let go of the journal.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);
const LOCK_POLL: Duration = Duration::from_millis(50);
/// Rows in the log from which on it is moved into the database, and how often that is looked at.
const CHECKPOINT_AT: usize = 1000;
const CHECKPOINT_POLL: Duration = Duration::from_secs(1);
/// Marks the file as a journal of the collector: "Taly".
const APPLICATION: i64 = 0x5461_6c79;

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
    /// It is a database of something else, which is left as it is.
    #[error("is a database of another program")]
    Foreign,
    /// It is damaged, and left as it is.
    #[error("the journal is damaged: {0}; move it away to start with an empty one")]
    Damaged(String),
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

/// The journal's writing end. Dropping it ends its threads after the last write.
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
        connection.busy_timeout(BUSY).map_err(JournalError::Open)?;
        examine(&connection)?;
        prepare(&connection).map_err(JournalError::Open)?;
        let opened = begin(&mut connection)?;
        let checkpoints = Checkpoints::start(path)?;
        let (jobs, inbox) = mpsc::sync_channel::<Job>(QUEUE);
        let thread = thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || {
                let _lock = lock;
                work(&mut connection, &inbox, &checkpoints.rows);
                checkpoints.stop();
            })
            .map_err(JournalError::Thread)?;
        Ok((Self { jobs: Some(jobs), thread: Some(thread) }, opened))
    }

    /// Writes all of it in one transaction, beginning at once; ready when it is durable. If there is nothing, it finds out
    /// whether something could be written.
    ///
    /// # Errors
    /// Nothing of it was written, or nobody knows.
    pub(super) fn write(
        &self,
        records: Vec<Record>,
        faults: Vec<FaultRow>,
    ) -> impl Future<Output = Result<(), JournalError>> + use<> {
        let (reply, answer) = oneshot::channel();
        let job = Job { records, faults, reply };
        let sent = self.jobs.as_ref().is_some_and(|jobs| jobs.try_send(job).is_ok());
        async move {
            match tokio::time::timeout(PATIENCE, answer).await {
                Ok(Ok(result)) if sent => result,
                _ => Err(JournalError::Silent),
            }
        }
    }
}

/// The thread that moves the log into the database.
struct Checkpoints {
    /// Rows written since it last did.
    rows: Arc<AtomicUsize>,
    end: mpsc::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Checkpoints {
    fn start(path: &Path) -> Result<Self, JournalError> {
        let connection = Connection::open(path).map_err(JournalError::Open)?;
        let (rows, (end, ended)) = (Arc::new(AtomicUsize::new(0)), mpsc::channel());
        let written = Arc::clone(&rows);
        let thread = thread::Builder::new().name("checkpoint".to_owned()).spawn(move || {
            while ended.recv_timeout(CHECKPOINT_POLL) == Err(mpsc::RecvTimeoutError::Timeout) {
                let count = written.load(Ordering::Relaxed);
                if count < CHECKPOINT_AT {
                    continue;
                }
                // Passive: whoever writes meanwhile is not held up, and what they write is left for the next time.
                match connection.execute_batch("PRAGMA wal_checkpoint(PASSIVE)") {
                    Ok(()) => drop(written.fetch_sub(count, Ordering::Relaxed)),
                    Err(error) => tracing::warn!(%error, "the journal's log grows"),
                }
            }
        });
        Ok(Self { rows, end, thread: thread.map_err(JournalError::Thread)? })
    }

    fn stop(self) {
        drop(self.end);
        // A panic in the thread has been reported by its hook.
        let _ = self.thread.join();
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

/// Finds out what the file is, without changing it.
fn examine(connection: &Connection) -> Result<(), JournalError> {
    let number = |query: &str| connection.query_row(query, [], |row| row.get::<_, i64>(0));
    let application = number("PRAGMA application_id").map_err(JournalError::Open)?;
    let tables = number("SELECT count(*) FROM sqlite_schema").map_err(JournalError::Open)?;
    if tables > 0 && application != APPLICATION {
        return Err(JournalError::Foreign);
    }
    let verdict = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0))
        .map_err(JournalError::Open)?;
    if verdict == "ok" { Ok(()) } else { Err(JournalError::Damaged(verdict)) }
}

fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "application_id", APPLICATION)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
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
        transaction.execute(PRUNE_RECORDS, [])?;
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

fn work(connection: &mut Connection, inbox: &mpsc::Receiver<Job>, rows: &AtomicUsize) {
    let mut unpruned = 0;
    while let Ok(job) = inbox.recv() {
        unpruned += job.faults.len() + job.records.len();
        rows.fetch_add(job.faults.len() + job.records.len(), Ordering::Relaxed);
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
    if job.records.is_empty() && job.faults.is_empty() {
        transaction.execute("UPDATE meta SET schema = schema", [])?;
    }
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
            transaction.execute(PRUNE_RECORDS, [])?;
            transaction.execute(PRUNE_BUDGETS, [now - BUDGETS_LAST_MS])?;
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
            .write(vec![record("action/1", b"b"), record("x", b"c")], vec![row(2)])
            .await
            .unwrap();
        drop(journal);
        let (_journal, opened) = Journal::open(&path).unwrap();
        assert_eq!(opened.epoch, Epoch(2));
        let records: Vec<_> = opened.records.into_iter().map(|it| it.record).collect();
        assert_eq!(records, [record("action/1", b"b"), record("x", b"c")]);
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

    #[tokio::test]
    async fn what_the_judgement_lets_go_of_goes_while_it_runs_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.sqlite");
        let (journal, _) = Journal::open(&path).unwrap();
        let kept = ["mode/global", "others/one", "maintenance/disks", "action/1"];
        journal.write(kept.map(|it| record(it, b"off")).into(), vec![]).await.unwrap();
        let rounds = 25;
        for round in 0..rounds {
            let keys =
                (0..PRUNE_EVERY).map(|it| format!("action/{}", 2 + round * PRUNE_EVERY + it));
            let records: Vec<_> = keys.map(|key| record(&key, b"sent")).collect();
            let gone = records.iter().map(|it| record(&it.key, b"")).collect();
            journal.write(records, vec![]).await.unwrap();
            if round > 0 {
                journal.write(gone, vec![]).await.unwrap();
            }
        }
        let other = Connection::open(&path).unwrap();
        let count = |key| {
            let sql = "SELECT count(*) FROM record WHERE key GLOB ?1";
            other.query_row(sql, [key], |row| row.get::<_, u32>(0)).unwrap() as usize
        };
        assert_eq!((count("action/1"), count("action/*")), (1, 1 + PRUNE_EVERY));
        assert_eq!((count("others/*"), count("maintenance/*"), count("mode/*")), (1, 1, 1));
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
    }
    fn fails(path: &Path, expected: &str) {
        let before = std::fs::read(path).unwrap();
        let error = Journal::open(path).unwrap_err();
        assert!(super::super::judge::chain(&error).contains(expected), "{error:?}");
        assert!(std::fs::read(path).unwrap() == before, "{expected}: the file was changed");
    }

    #[tokio::test]
    async fn what_is_no_journal_or_a_damaged_one_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.sqlite");
        std::fs::write(&path, "hello, this is not a database at all".repeat(100)).unwrap();
        fails(&path, "file is not a database");
        let foreign = folder.path().join("foreign.sqlite");
        let other = Connection::open(&foreign).unwrap();
        other.execute_batch("CREATE TABLE invoices (id INTEGER)").unwrap();
        fails(&foreign, "of another program");
        let torn = folder.path().join("torn.sqlite");
        let (journal, _) = Journal::open(&torn).unwrap();
        journal.write(vec![], (0..5000).map(row).collect()).await.unwrap();
        drop(journal);
        let whole = std::fs::read(&torn).unwrap();
        std::fs::write(&torn, &whole[..whole.len() / 2]).unwrap();
        fails(&torn, "malformed");
        let mut mangled = whole.clone();
        let middle = mangled.len() / 2;
        mangled[middle..middle + 8192].fill(0xa5);
        std::fs::write(&torn, &mangled).unwrap();
        fails(&torn, "damaged");
        std::fs::write(&torn, &whole).unwrap();
        assert_eq!(Journal::open(&torn).unwrap().1.faults.len(), 5000);
    }

    #[tokio::test]
    async fn a_log_that_ends_in_the_middle_of_a_write_costs_that_write_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.sqlite");
        let (journal, _) = Journal::open(&path).unwrap();
        journal.write(vec![record("action/1", b"a")], vec![]).await.unwrap();
        let log = |path: &Path| std::fs::read(path.with_extension("sqlite-wal")).unwrap();
        let before = log(&path).len();
        journal.write(vec![record("action/2", b"b")], vec![]).await.unwrap();
        // As a crash leaves it: the database, and a log whose last write is half there.
        let after = log(&path);
        assert!(after.len() > before);
        let crashed = folder.path().join("crashed.sqlite");
        std::fs::copy(&path, &crashed).unwrap();
        let torn = &after[..before + (after.len() - before) / 2];
        std::fs::write(crashed.with_extension("sqlite-wal"), torn).unwrap();
        let (_journal, opened) = Journal::open(&crashed).unwrap();
        let keys: Vec<_> = opened.records.iter().map(|it| it.record.key.as_str()).collect();
        assert_eq!((opened.epoch, keys), (Epoch(2), vec!["action/1"]));
    }

    #[tokio::test]
    async fn the_log_does_not_grow_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.sqlite");
        let (journal, _) = Journal::open(&path).unwrap();
        let rows = || (0..200).map(|seq| record(&format!("action/{seq}"), &[0; 1000])).collect();
        let size = || std::fs::metadata(path.with_extension("sqlite-wal")).unwrap().len();
        // Once it has been moved, the log begins anew and what is written lies over what was there.
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut steady = 0;
        while steady < 5 {
            assert!(Instant::now() < deadline, "{} bytes", size());
            let before = size();
            for _ in 0..2 {
                journal.write(rows(), vec![]).await.unwrap();
            }
            steady = if size() == before { steady + 1 } else { 0 };
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}
