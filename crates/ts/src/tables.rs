//! From sections to programs and components.

mod roles;

use alloc::{boxed::Box, collections::BTreeMap, vec::Vec};

use tallylight_model::Pid;

use crate::{
    CueCounters, Event, FindingKind, Position, SpliceInfo, Table, Wanted,
    cue::Cues,
    flow::Flow,
    packet::{Header, PAYLOAD},
    program::Program,
    psi::{self, MAX_ENTITLEMENTS, TABLE_CAT, TABLE_PAT, TABLE_PMT, TABLE_SDT, TABLE_TOT},
    section::{Assembler, Section, Unusable, crc32},
    si::{EIT, NIT, RST, SDT, SiSection, TDT},
    structure::ChangeKind,
    t2mi::Peek,
};

use roles::own_table;

/// Tables whose PID is theirs whatever the PAT says.
const FIXED: [Pid; 7] = [Pid::PAT, Pid::CAT, NIT, SDT, EIT, RST, TDT];
/// Programs kept; a PAT that lists more is read up to here.
const MAX_PROGRAMS: usize = 256;
/// Sections remembered of one PID, to pass over their repetitions.
const MAX_KNOWN: usize = 64;

/// The PIDs that carry tables.
pub(crate) struct Tables {
    readers: Vec<Reader>,
    /// The sections of the PAT that is being read, by number, with its version.
    pat: BTreeMap<u8, Vec<(u16, Pid)>>,
    pat_version: u8,
    /// Whether programs were listed before.
    has_listed: bool,
    /// Where the PAT says that the network information is.
    network: Option<Pid>,
    /// Where the CAT says that entitlement messages are.
    entitlements: Vec<Pid>,
    /// Room for what a packet completes.
    found: Vec<Read>,
}

impl Default for Tables {
    fn default() -> Self {
        let readers = FIXED.map(Reader::new).into();
        Self {
            readers,
            pat: BTreeMap::new(),
            pat_version: 0,
            has_listed: false,
            network: None,
            entitlements: Vec::new(),
            found: Vec::new(),
        }
    }
}

struct Reader {
    pid: Pid,
    /// Which table has its PID; `None` for one that shares it.
    table: Option<Table>,
    /// What of SCTE-35 cues came, on their PIDs.
    cues: Option<Cues>,
    /// Whether T2-MI comes, where it may.
    peek: Option<Peek>,
    assembler: Assembler,
    /// Sections that were read: table, extension, number and CRC.
    known: Vec<(u8, u16, u8, u32)>,
    /// The last section, if it was known and is short: one that is alike needs no reading.
    last: Vec<u8>,
}

impl Reader {
    fn new(pid: Pid) -> Self {
        let table = own_table(pid, &[]);
        Self {
            pid,
            table,
            cues: None,
            peek: None,
            assembler: Assembler::default(),
            known: Vec::new(),
            last: Vec::new(),
        }
    }

    /// Forgets what sections said: they must be read again.
    fn forget(&mut self) {
        self.known.clear();
        self.last.clear();
    }

    /// Packets were lost.
    fn reset(&mut self) {
        self.assembler.reset();
        if let Some(peek) = &mut self.peek {
            peek.reset();
        }
    }

    /// Whether a section says what it said before; remembers it.
    fn repeats(&mut self, section: &Section<'_>) -> bool {
        let key = (section.table_id, section.extension, section.number);
        match self.known.iter_mut().find(|known| (known.0, known.1, known.2) == key) {
            Some(known) => core::mem::replace(&mut known.3, section.crc) == section.crc,
            None => {
                if self.known.len() < MAX_KNOWN {
                    self.known.push((key.0, key.1, key.2, section.crc));
                }
                false
            }
        }
    }
}

/// What a section turned out to be.
enum Read {
    Broken {
        table_id: u8,
    },
    Foreign {
        table: Table,
        table_id: u8,
    },
    Cat {
        entitlements: Vec<Pid>,
    },
    /// With the last table id that it states, or its own.
    Si(SiSection, u8),
    Repeated {
        table_id: u8,
        extension: u16,
    },
    Pat {
        version: u8,
        number: u8,
        last: u8,
        entries: Vec<(u16, Pid)>,
    },
    Pmt {
        program: u16,
        version: (u8, u32),
        pmt: psi::Pmt,
    },
    Sdt(Vec<psi::Names>),
    Cue(Box<SpliceInfo>),
}

impl Tables {
    /// Whether a PAT was read.
    pub(crate) fn has_pat(&self) -> bool {
        !self.pat.is_empty()
    }

    /// Whether programs were listed before.
    pub(crate) const fn has_listed(&self) -> bool {
        self.has_listed
    }

    /// What of cues came on which PIDs.
    pub(crate) fn cues(&self) -> impl Iterator<Item = (Pid, CueCounters)> + '_ {
        self.readers.iter().filter_map(|reader| Some((reader.pid, reader.cues.as_ref()?.counters)))
    }

    /// On which PIDs T2-MI was seen, and since where.
    pub(crate) fn t2mi(&self) -> impl Iterator<Item = (Pid, Position)> + '_ {
        self.readers.iter().filter_map(|reader| Some((reader.pid, reader.peek.as_ref()?.since?)))
    }

    fn see_t2mi(&mut self, pid: Pid, here: Position) {
        let peeks = self.readers.iter_mut().filter(|reader| reader.pid == pid);
        peeks.filter_map(|reader| reader.peek.as_mut()).for_each(|peek| peek.since = Some(here));
    }

    /// Packets of one reader were lost.
    pub(crate) fn lost(&mut self, reader: u16) {
        if let Some(reader) = self.readers.get_mut(usize::from(reader)) {
            reader.reset();
        }
    }

    pub(crate) fn lost_all(&mut self) {
        self.readers.iter_mut().for_each(Reader::reset);
    }
}

impl Flow {
    /// Gives a payload to a reader of tables and handles the sections that it completes.
    pub(crate) fn sections(&mut self, reader: u16, lost: bool, start: bool, payload: &[u8]) {
        let index = usize::from(reader);
        let Some(reader) = self.tables.readers.get_mut(index) else { return };
        let pid = reader.pid;
        if lost {
            reader.reset();
        }
        if let Some(peek) = &mut reader.peek {
            if peek.push(start, payload) {
                let here = self.position(self.owner(pid));
                self.tables.see_t2mi(pid, here);
            }
            return;
        }
        let mut assembler = core::mem::take(&mut reader.assembler);
        let mut found = core::mem::take(&mut self.tables.found);
        let Some(reader) = self.tables.readers.get_mut(index) else { return };
        assembler.push(start, payload, &mut |bytes| {
            found.extend(information(reader, bytes).map(|(section, last)| Read::Si(section, last)));
            found.extend(read(reader, bytes));
        });
        reader.assembler = assembler;
        for read in found.drain(..) {
            self.table(pid, read);
        }
        self.tables.found = found;
    }

    /// Looks at a packet of tables before its sections.
    pub(crate) fn table_packet(&mut self, reader: u16, header: &Header) {
        let Some(table) = self.tables.readers.get(usize::from(reader)).and_then(|r| r.table) else {
            return;
        };
        if table == Table::Pat {
            self.pat_packet_seen();
        }
        self.buffer_table(table, header);
        if header.scrambled && !header.transport_error && table != Table::Cat {
            let kind = FindingKind::ScrambledTable { table };
            self.find(kind, Some(header.pid), self.owner(header.pid));
        }
    }

    fn table(&mut self, pid: Pid, read: Read) {
        match read {
            Read::Broken { table_id } => {
                self.totals.section_errors += 1;
                self.find(FindingKind::SectionCrc { table_id }, Some(pid), self.owner(pid));
            }
            Read::Foreign { table, table_id } => {
                let kind = FindingKind::ForeignTable { table, table_id };
                self.find(kind, Some(pid), self.owner(pid));
            }
            Read::Cat { entitlements } => {
                self.cat_seen();
                if self.tables.entitlements != entitlements {
                    self.sweep_pids(self.position(None));
                    self.tables.entitlements = entitlements;
                    self.assign_roles();
                }
            }
            Read::Si(section, last_table) => self.si_seen(section, last_table),
            Read::Repeated { table_id: TABLE_PAT, .. } => self.pat_seen(),
            Read::Repeated { table_id: TABLE_PMT, extension } => self.pmt_seen(pid, extension),
            Read::Repeated { .. } => {}
            Read::Pat { version, number, last, entries } => {
                self.pat_seen();
                if version != self.tables.pat_version {
                    self.tables.pat.clear();
                }
                self.tables.pat_version = version;
                self.tables.pat.insert(number, entries);
                if (0..=last).all(|number| self.tables.pat.contains_key(&number)) {
                    self.apply_pat(last);
                }
            }
            Read::Pmt { program, version, pmt } => self.apply_pmt(pid, program, version, pmt),
            Read::Sdt(names) => self.apply_names(names),
            Read::Cue(info) => self.cue(pid, *info),
        }
    }

    fn apply_pat(&mut self, last: u8) {
        // What was in no table up to here may be in one from here on.
        self.sweep_pids(self.position(None));
        let entries =
            self.tables.pat.range(..=last).flat_map(|(_, entries)| entries.iter().copied());
        let mut listed: BTreeMap<u16, Pid> = entries.collect();
        self.tables.network = listed.remove(&0);
        if listed.len() > MAX_PROGRAMS {
            self.over_limit(Pid::PAT);
        }
        self.retire(&listed);
        for (&number, &pmt_pid) in listed.iter().take(MAX_PROGRAMS) {
            let wanted = self.config.wanted.includes(number);
            let found = self.programs.binary_search_by_key(&number, |p| p.service.program);
            let at = found.unwrap_or_else(|at| {
                self.programs.insert(at, Program::new(number));
                at
            });
            let program = &mut self.programs[at];
            let (was_listed, was_at) = (program.listed, program.service.pmt_pid);
            program.list(pmt_pid, wanted);
            self.relisted(at, was_listed, was_at);
        }
        self.tables.has_listed = true;
        // What other tables said of programs that were not there, or are new, must be read again.
        for reader in self.tables.readers.iter_mut().filter(|reader| reader.pid != Pid::PAT) {
            reader.forget();
        }
        self.services_changed();
    }

    /// Stops watching programs that are not listed. Their clocks go on, because a PAT may be empty for a while (a re-multiplexer
    /// that starts up) over a service that is as good as before; they go if there are too many.
    fn retire(&mut self, listed: &BTreeMap<u16, Pid>) {
        for i in 0..self.programs.len() {
            let program = &mut self.programs[i];
            if program.listed && !listed.contains_key(&program.service.program) {
                (program.listed, program.wanted) = (false, false);
                let number = program.service.program;
                self.close_program(i);
                let here = self.position(Some(i));
                self.changed(ChangeKind::ServiceGone, Pid::PAT, number, here);
            }
        }
        if self.programs.len() + listed.len() > MAX_PROGRAMS {
            self.programs.retain(|program| listed.contains_key(&program.service.program));
        }
    }

    fn apply_pmt(&mut self, pid: Pid, number: u16, version: (u8, u32), pmt: psi::Pmt) {
        let same = |p: &Program| p.service.program == number && p.service.pmt_pid == Some(pid);
        let Some(index) = self.programs.iter().position(same) else { return };
        self.sweep_pids(self.position(None));
        let clock = self.programs[index].service.pcr_pid;
        if clock.is_some() && clock != pmt.pcr_pid {
            self.move_clock(index, clock, pmt.pcr_pid);
            self.programs[index].timeline.announce();
        }
        if pmt.pcr_pid.is_some() {
            self.stray.settle();
        }
        if pmt.truncated {
            self.over_limit(pid);
        }
        self.take_pmt(index, pmt, version);
        self.services_changed();
        self.pmt_seen(pid, number);
    }

    fn apply_names(&mut self, names: Vec<psi::Names>) {
        let mut changed = false;
        for names in names {
            let Some(program) =
                self.programs.iter_mut().find(|p| p.service.program == names.program)
            else {
                continue;
            };
            let (name, provider) = (Some(names.name), Some(names.provider));
            changed |= program.service.name != name || program.service.provider != provider;
            program.service.name = name;
            program.service.provider = provider;
        }
        if changed {
            self.out.push(Event::Services(self.position(None)));
        }
    }

    fn over_limit(&mut self, pid: Pid) {
        self.totals.over_limit += 1;
        self.find(FindingKind::OverLimit, Some(pid), None);
    }
}

impl Wanted {
    const fn includes(self, program: u16) -> bool {
        match self {
            Self::All => true,
            Self::Program(wanted) => wanted == program,
            Self::None => false,
        }
    }
}

/// A section of the service information, whatever else it says, and the last table id that it states; without its CRC where its
/// form has none.
fn information(reader: &Reader, bytes: &[u8]) -> Option<(SiSection, u8)> {
    let &[table_id, _, _, ref rest @ ..] = bytes else { return None };
    reader.table.filter(|table| table.is_si() && table.takes(table_id))?;
    if matches!(table_id, 0x70 | 0x71 | TABLE_TOT) {
        let whole = table_id != TABLE_TOT || crc32(bytes) == 0;
        let section = SiSection { table_id, extension: 0, scope: 0, number: 0 };
        return whole.then_some((section, table_id));
    }
    let section = Section::parse(bytes).ok()?;
    let &[_, _, _, _, _, first, second, ..] = rest else { return None };
    let last_table = match table_id {
        0x50..=0x6F => rest.get(10).copied().unwrap_or(table_id),
        _ => table_id,
    };
    let section = SiSection {
        table_id,
        extension: section.extension,
        scope: match table_id {
            // The original network of an SDT, and the transport stream of an EIT.
            0x42 | 0x46 | 0x4E..=0x6F => u16::from_be_bytes([first, second]),
            _ => 0,
        },
        number: section.number,
    };
    Some((section, last_table))
}

fn read(reader: &mut Reader, bytes: &[u8]) -> Option<Read> {
    if let Some(cues) = &mut reader.cues {
        return cues.read(bytes).map(|info| Read::Cue(Box::new(info)));
    }
    let table_id = *bytes.first()?;
    let table = reader.table?;
    if reader.last == bytes {
        let [_, _, _, high, low, ..] = *bytes else { return None };
        return Some(Read::Repeated { table_id, extension: u16::from_be_bytes([high, low]) });
    }
    reader.last.clear();
    let foreign = !table.takes(table_id);
    // Time tables, running status and stuffing are of the short form.
    if table_id == TABLE_TOT && crc32(bytes) != 0 {
        return Some(Read::Broken { table_id });
    }
    let private = table == Table::Pmt && table_id != TABLE_PMT && !foreign;
    if private || table_id == 0x72 && !foreign {
        return None;
    }
    let section = match (Section::parse(bytes), foreign) {
        // A wrong CRC says that the table id may be wrong as well.
        (Err(Unusable::Crc), _) => return Some(Read::Broken { table_id }),
        (_, true) => return Some(Read::Foreign { table, table_id }),
        (Err(Unusable::Ignored), _) => return None,
        (Ok(section), _) => section,
    };
    let extension = section.extension;
    if table_id == TABLE_CAT {
        let entitlements = psi::entitlements(section.body).take(MAX_ENTITLEMENTS).collect();
        return Some(Read::Cat { entitlements });
    }
    if !matches!(table_id, TABLE_PAT | TABLE_PMT | TABLE_SDT) {
        return None;
    }
    if reader.repeats(&section) {
        if bytes.len() <= PAYLOAD {
            reader.last.extend_from_slice(bytes);
        }
        return Some(Read::Repeated { table_id, extension });
    }
    Some(match table_id {
        TABLE_PAT => Read::Pat {
            version: section.version,
            number: section.number,
            last: section.last_number,
            entries: psi::pat(section.body).collect(),
        },
        TABLE_PMT => Read::Pmt {
            program: extension,
            version: (section.version, section.crc),
            pmt: psi::pmt(section.body),
        },
        _ => Read::Sdt(psi::sdt(section.body)),
    })
}
