//! One stream of the lineup as seen in its session: its service's components, faults and slices.

mod hearing;
mod prints;
mod slices;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use tallylight_model::{
    Counters, FaultKind, FaultPhase, FaultRecord, LatencySample, MonoTime, Pid, Profile, Severity,
    StreamId, WallTime,
};
use tallylight_ts::{AccessUnit, Analyser, Cue, FindingKind, Position, Service};

use prints::Prints;

use super::{
    Output, Scrutiny, Start,
    breaks::{self, Breaks, Within},
    expected::{self, Selection},
    offset::{AvOffset, Move},
    tally::Tally,
    timeline::{Spans, Timeline, Viewer},
};
use crate::{
    assignment::{ChannelKind, Expectation},
    decode::{
        Damage, Dating, Effort, PictureStats, Reply, Request, SoundStats, Survey, Unit,
        WorkerFailure,
    },
    input::SoundPlace,
    picture::{self, KeyFramePolicy, PictureDetector, PictureUnit, Rest, Slates, Suspicion},
    sound::SoundDetector,
    tracker::{Condition, Evidence, Tracker},
};
use hearing::Both;

/// A decoded picture says what is seen for this long: an open group of pictures and the time to decode.
const PICTURE_LASTS: Duration = Duration::from_millis(6_500);
/// The same where key pictures come further apart than `RARE`.
const RARE_PICTURE_LASTS: Duration = Duration::from_secs(16);
const RARE: Duration = Duration::from_secs(4);
/// A coded picture shows for so long that pictures come.
const CODED_LASTS: Duration = Duration::from_secs(1);
/// The same as for a picture, for a run of sound.
const SOUND_LASTS: Duration = Duration::from_millis(500);
/// The window in which the earliest media dates production.
pub(super) const LIVE_WINDOW: Duration = Duration::from_secs(5);
/// Components of which it is kept what the decoder made of them: a service that changes them this often is none.
const MAX_SCRUTINY: usize = 64;
/// A live stream has a thumbnail drawn this often.
const THUMBNAIL_EVERY: Duration = Duration::from_secs(10);

/// What to watch in a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewConfig {
    /// The stream's id.
    pub stream: StreamId,
    /// The service within the multiplex; `None` for the first.
    pub service: Option<u16>,
    /// What is expected.
    pub expectation: Expectation,
}

/// Which part of the transport stream a view judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// A service, and what concerns the multiplex as a whole.
    Stream,
    /// A service alone: another view has the multiplex.
    Service,
    /// The multiplex and what belongs to no service.
    Multiplex,
}

/// How far slices can be closed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    pub(super) now: MonoTime,
    /// The input was looked at up to here.
    pub(super) looked: MonoTime,
    /// Media is complete up to here.
    pub(super) complete: MonoTime,
    /// How long to wait for media that is not.
    pub(super) patience: Duration,
}

pub(super) struct View {
    pub(super) index: usize,
    pub(super) part: Part,
    pub(super) config: ViewConfig,
    pub(super) selection: Option<Selection>,
    pub(super) tracker: Tracker,
    pub(super) timeline: Timeline,
    pub(super) viewer: Viewer,
    pub(super) counters: Counters,
    /// Of slices that have not begun, by their second.
    ahead: BTreeMap<u64, Counters>,
    pub(super) start: Start,
    told_start: bool,
    /// The tables do not list the service.
    absent: bool,
    sound_place: SoundPlace,
    picture: PictureDetector,
    policy: KeyFramePolicy,
    /// What listens to each sound.
    hearing: BTreeMap<Pid, SoundDetector>,
    both: Both,
    last_picture: Option<MonoTime>,
    /// What is decoded now and then says something only as long as coded pictures come.
    coded_until: MonoTime,
    /// The conditions of PIDs that hold.
    held: BTreeSet<(FaultKind, Option<Pid>)>,
    /// What counted findings come to, by the condition that they are.
    tallies: BTreeMap<Condition, Tally>,
    /// The PID that last showed a kind of fault.
    pids: BTreeMap<FaultKind, Option<Pid>>,
    /// What the decoder made of the components that were given to it.
    pub(super) scrutiny: BTreeMap<Pid, Scrutiny>,
    latencies: Vec<LatencySample>,
    slice_start: MonoTime,
    origin: (MonoTime, WallTime),
    pictures: Spans,
    sounds: Spans,
    prints: Prints,
    breaks: Breaks,
    av_offset: AvOffset,
    /// A decoder failed on it, and nothing was decoded since.
    decoder_fails: bool,
    /// The media time of the last thumbnail; none where one is wanted at once.
    thumbnail: Option<Duration>,
    sent: u64,
    handled: u64,
    /// A slice whose time has come waits for so many answers, since then.
    barrier: Option<(u64, MonoTime)>,
    pub(super) outputs: VecDeque<Output>,
}

impl View {
    pub(super) fn new(
        index: usize,
        part: Part,
        config: ViewConfig,
        began: MonoTime,
        wall: WallTime,
        timeline: Timeline,
    ) -> Self {
        let rules = expected::rules(&config.expectation);
        let rest = if timeline.is_recording() { Rest::Decoded } else { Rest::Sampled };
        // Slices of all streams end together, so that a second goes out as one batch.
        let slice_start = MonoTime::from_nanos(began.as_nanos() / 1_000_000_000 * 1_000_000_000);
        Self {
            index,
            part,
            selection: None,
            tracker: Tracker::new(Profile::new(config.expectation.profile.base())),
            timeline,
            viewer: Viewer::new(began),
            counters: Counters::default(),
            ahead: BTreeMap::new(),
            start: Start { began, ..Start::default() },
            told_start: false,
            absent: false,
            sound_place: SoundPlace::Inside,
            picture: PictureDetector::new(rules).with_format(config.expectation.picture),
            policy: KeyFramePolicy::new(rest),
            hearing: BTreeMap::new(),
            both: Both::default(),
            last_picture: None,
            coded_until: began,
            held: BTreeSet::new(),
            tallies: BTreeMap::new(),
            pids: BTreeMap::new(),
            scrutiny: BTreeMap::new(),
            latencies: Vec::new(),
            slice_start,
            origin: (began, wall),
            pictures: Spans::default(),
            sounds: Spans::default(),
            prints: Prints::default(),
            breaks: Breaks::default(),
            av_offset: AvOffset::default(),
            thumbnail: None,
            decoder_fails: false,
            sent: 0,
            handled: 0,
            barrier: None,
            outputs: VecDeque::new(),
            config,
        }
    }

    /// The same, knowing these slates.
    pub(super) fn with_slates(mut self, slates: Slates) -> Self {
        self.picture = self.picture.with_slates(slates);
        self
    }

    /// Follows the tables: finds the service and chooses its components.
    pub(super) fn resolve<'a>(
        &mut self,
        services: impl Iterator<Item = &'a Service>,
        at: MonoTime,
    ) {
        if self.part == Part::Multiplex {
            return;
        }
        let services: Vec<&Service> = services.collect();
        let found = match self.config.service {
            Some(number) => services.iter().find(|service| service.program == number),
            None => services.first(),
        };
        self.judge_presence(found.is_some() || services.is_empty(), at);
        let selection = found.map(|service| Selection::of(service, &self.config.expectation));
        // Tables that are away for a moment change nothing: what they listed is still expected.
        if selection.is_none() || selection == self.selection {
            return;
        }
        let changed = self
            .selection
            .as_ref()
            .zip(selection.as_ref())
            .is_some_and(|(old, new)| (old.picture, old.sound) != (new.picture, new.sound));
        if changed {
            self.reset_decoding();
        }
        let lacks = |what: fn(&Selection, &Expectation) -> bool| {
            selection.as_ref().is_some_and(|s| what(s, &self.config.expectation))
        };
        let no_sound = lacks(Selection::lacks_sound) && self.sound_place == SoundPlace::Inside;
        let missing = [
            (FaultKind::NoVideo, lacks(Selection::lacks_picture), "the tables list no picture"),
            (FaultKind::NoAudio, no_sound, "the tables list no sound"),
        ];
        for (kind, missing, evidence) in missing {
            if missing {
                self.tracker.hold(kind, at, evidence.to_owned());
            } else if changed {
                self.tracker.release(kind, at);
            }
        }
        self.selection = selection;
        self.judge_tracks(at);
        self.choose_sounds();
        let selection = self.selection.iter();
        for pid in selection.flat_map(|s| s.picture.iter().chain(&s.sounds).copied()) {
            if self.scrutiny.len() < MAX_SCRUTINY {
                self.scrutiny.entry(pid).or_default();
            }
        }
    }

    /// Follows where the sound is: what the tables lack is not missing if it is elsewhere.
    pub(super) fn place_sound(&mut self, place: SoundPlace, at: MonoTime) {
        self.sound_place = place;
        if place == SoundPlace::Elsewhere {
            self.tracker.release(FaultKind::NoAudio, at);
            self.tracker.release(FaultKind::TrackMissing, at);
        }
    }

    /// A service that the tables do not list has neither picture nor sound, whatever the multiplex carries.
    fn judge_presence(&mut self, present: bool, at: MonoTime) {
        let radio = self.config.expectation.kind == Some(ChannelKind::Radio);
        let kind = if radio { FaultKind::NoAudio } else { FaultKind::NoVideo };
        if !present {
            self.absent = true;
            self.tracker.hold(kind, at, "the tables do not list the service".to_owned());
        } else if std::mem::take(&mut self.absent) {
            self.tracker.release(kind, at);
        }
    }

    /// The number of the view's service, once it is known.
    pub(super) fn program(&self) -> Option<u16> {
        self.selection.as_ref().map(|selection| selection.program)
    }

    /// When the media at a place was produced.
    pub(super) fn moment(&self, position: &Position) -> MonoTime {
        position.media.and_then(|media| self.timeline.produced(media)).unwrap_or(position.at)
    }

    /// Takes an access unit of the view's service.
    pub(super) fn unit(&mut self, unit: AccessUnit) {
        let Some(selection) = &self.selection else { return };
        let Some(media_time) = unit.media_time else { return };
        let effort = if Some(unit.pid) == selection.picture {
            let still = self.config.expectation.kind == Some(ChannelKind::Still);
            let lasts = if still { RARE_PICTURE_LASTS } else { CODED_LASTS };
            let until = self.moment(&unit.position) + lasts;
            self.coded_until = until.max(self.coded_until);
            let AccessUnit { size, key, picture, codec, .. } = unit;
            let picture = PictureUnit { media_time, size, key, picture, codec };
            if unit.key && self.start.first_key.is_none() {
                self.start.first_key = Some(unit.position.at.since(self.start.began));
            }
            self.picture.unit(&picture);
            let suspicion = self.picture.suspicion();
            let effort = self.policy.judge(&picture, suspicion);
            if suspicion == Suspicion::Refuted
                && let Some(at) = self.timeline.produced(media_time)
            {
                // What need not be decoded has been looked at all the same.
                self.pictures.add(at, at + PICTURE_LASTS);
            }
            self.judge_picture();
            effort
        } else if selection.sounds.contains(&unit.pid) {
            Effort::Alone
        } else {
            Effort::Skip
        };
        if effort == Effort::Skip || unit.damaged || unit.cut || unit.data.is_empty() {
            return;
        }
        let AccessUnit { pid, codec, key, data, .. } = unit;
        if effort == Effort::Alone
            && let Some(at) = self.timeline.produced(media_time)
        {
            self.prints.frame(at, &data);
        }
        // A recording can wait to be dated.
        let dating = if self.timeline.is_recording() {
            Dating::Decoding
        } else {
            self.picture.dating(media_time)
        };
        let decodes = matches!(effort, Effort::Key(_) | Effort::CatchUp(_) | Effort::RunEnd);
        let thumbnail = decodes && self.thumbnail_is_due(media_time);
        let unit = Unit { pid, codec, key, media_time, effort, dating, thumbnail, data };
        self.ask(Request::Unit(unit));
    }

    /// Whether the next picture is to be drawn small: of a live stream one every 10 s, and one as soon as a fault is told.
    fn thumbnail_is_due(&mut self, at: Duration) -> bool {
        let due = match self.thumbnail {
            _ if self.timeline.is_recording() => false,
            Some(last) => at.abs_diff(last) >= THUMBNAIL_EVERY,
            None => true,
        };
        if due {
            self.thumbnail = Some(at);
        }
        due
    }

    /// Forgets what decoding knew: what follows is another piece of stream.
    pub(super) fn reset_decoding(&mut self) {
        self.picture.reset();
        self.av_offset = AvOffset::default();
        self.tracker.forget(FaultKind::AvOffset, self.tracker.known(FaultKind::AvOffset));
        self.policy.reset();
        self.reset_hearing();
        self.judge_picture();
        self.ask(Request::Reset);
    }

    /// Looks once a second whether picture and sound keep together.
    pub(super) fn judge_offset(&mut self, analyser: &Analyser) {
        let Some(Selection { program, picture: Some(picture), sound: Some(sound), .. }) =
            self.selection
        else {
            return;
        };
        let Some(now) = analyser.media_time(program).filter(|now| self.av_offset.is_due(*now))
        else {
            return;
        };
        let lead = |pid| analyser.elementary().find(|it| it.pid == pid)?.lead;
        let Some((picture, sound)) = lead(picture).zip(lead(sound)) else { return };
        let produced = |media| self.timeline.produced(media);
        match self.av_offset.look(now, picture, sound) {
            Some(Move::Apart(since, evidence)) => {
                if let Some(since) = produced(since) {
                    self.tracker.hold(FaultKind::AvOffset, since, evidence);
                }
            }
            Some(Move::Back(at)) => {
                if let Some(at) = produced(at) {
                    self.tracker.release(FaultKind::AvOffset, at);
                }
            }
            None => {}
        }
    }

    fn ask(&mut self, request: Request) {
        self.sent += 1;
        self.outputs.push_back(Output::Decode { view: self.index, request });
    }

    /// Takes the decoder's answers to as many requests. `blind` says whether this host missed media around a moment.
    pub(super) fn decoded(
        &mut self,
        now: MonoTime,
        handled: u64,
        replies: Vec<Reply>,
        blind: impl Fn(MonoTime) -> bool,
    ) {
        self.handled += handled;
        for reply in replies {
            self.note(&reply);
            match reply {
                Reply::Picture(stats) => {
                    self.counters.decoded_pictures += 1;
                    let would_say = stats.damage != Damage::NotAvailable;
                    self.counters.damage_checked_pictures += u64::from(would_say);
                    self.picture.stats(&stats);
                    self.judge_picture();
                    let Some(at) = self.timeline.produced(stats.media_time) else { continue };
                    let last = self.last_picture.replace(at);
                    let rare = last.is_some_and(|last| at.since(last) >= RARE);
                    let lasts = if rare { RARE_PICTURE_LASTS } else { PICTURE_LASTS };
                    self.pictures.add(at, at + lasts);
                    self.tracker.advance(Evidence::Picture, at);
                    self.started(now);
                }
                Reply::Survey(survey) => self.picture.survey(&survey),
                Reply::Sound(stats) => {
                    if self.hear(&stats).is_some()
                        && self.selection.as_ref().is_some_and(|s| s.picture.is_none())
                    {
                        self.started(now);
                    }
                }
                Reply::Damaged { pid, media_time } => {
                    let Some(at) = self.timeline.produced(media_time) else { continue };
                    if let Some(worst) = self.ceiling(pid, Claim::Service).filter(|_| !blind(at)) {
                        self.counters.decode_errors += u64::from(worst > Severity::Info);
                        let evidence = "the decoder finds damage".to_owned();
                        self.event(FaultKind::DecodeErrors, Some(pid), at, worst, evidence);
                    }
                }
                Reply::Thumbnail { jpeg, .. } => {
                    self.outputs.push_back(Output::Thumbnail { view: self.index, jpeg });
                }
                Reply::Unsupported { .. } | Reply::Dated { .. } | Reply::Withheld { .. } => {}
            }
        }
    }

    pub(super) fn decoder_failed(&mut self, at: MonoTime, how: WorkerFailure, pause: Duration) {
        self.decoder_fails = true;
        let evidence = format!("the decoder {how}; not decoded for {} s", pause.as_secs());
        self.tracker.hold(FaultKind::DecoderFailed, at, evidence);
    }

    pub(super) fn decoder_works(&mut self, at: MonoTime) {
        if std::mem::take(&mut self.decoder_fails) {
            self.tracker.release(FaultKind::DecoderFailed, at);
        }
    }

    fn note(&mut self, reply: &Reply) {
        let (Reply::Picture(PictureStats { pid, .. })
        | Reply::Survey(Survey { pid, .. })
        | Reply::Sound(SoundStats { pid, .. })
        | Reply::Thumbnail { pid, .. }
        | Reply::Dated { pid }
        | Reply::Withheld { pid }
        | Reply::Damaged { pid, .. }
        | Reply::Unsupported { pid, .. }) = reply;
        let Some(scrutiny) = self.scrutiny.get_mut(pid) else { return };
        match reply {
            Reply::Picture(_) | Reply::Survey(_) | Reply::Sound(_) => scrutiny.looked_at += 1,
            Reply::Thumbnail { .. } | Reply::Dated { .. } | Reply::Withheld { .. } => {}
            Reply::Damaged { .. } => scrutiny.damaged += 1,
            Reply::Unsupported { .. } => scrutiny.unsupported = true,
        }
    }

    fn started(&mut self, now: MonoTime) {
        if !std::mem::replace(&mut self.told_start, true) {
            let startup = now.since(self.start.began);
            self.start.first_picture = Some(startup);
            self.latency(LatencySample::Startup(startup));
            self.outputs.push_back(Output::Started { view: self.index, start: self.start });
        }
    }

    fn judge_picture(&mut self) {
        let picture = self.selection.as_ref().and_then(|selection| selection.picture);
        while let Some(condition) = self.picture.poll() {
            self.judge(condition, picture, Severity::Critical);
        }
    }

    /// Takes a cue for a splice of the view's service.
    pub(super) fn cue(&mut self, cue: &Cue) {
        self.breaks.cue(cue);
    }

    /// Takes a condition of the picture or of a sound.
    fn judge(&mut self, condition: picture::Condition, pid: Option<Pid>, ceiling: Severity) {
        let line = &self.timeline;
        let span = line.produced(condition.since).zip(line.produced(condition.until));
        let Some((since, until)) = span else { return };
        let what = self.condition_of(condition.kind, pid);
        self.judge_both(&condition, until);
        self.hold_unless_meant(what, &condition, since, ceiling);
        if condition.lasts {
            self.tracker.advance(Evidence::of(condition.kind), until);
        } else {
            self.tracker.release(what, until);
        }
    }

    /// Holds a condition that lasted, from the end of the break that cues announced if it outlived one; within one it is
    /// informational.
    fn hold_unless_meant(
        &mut self,
        what: Condition,
        condition: &picture::Condition,
        since: MonoTime,
        ceiling: Severity,
    ) {
        let mut evidence = condition.evidence.clone();
        match self.break_of(what.kind, condition) {
            Within::Nothing if condition.lasts => {
                self.tracker.hold_up_to(what, since, ceiling, evidence);
            }
            Within::Nothing => {}
            Within::Break => {
                evidence.push_str("; in a break that a cue announced");
                self.tracker.hold_up_to(what, since, ceiling.min(Severity::Info), evidence);
            }
            Within::Past(end) => {
                let Some(end) = self.timeline.produced(end) else { return };
                self.tracker.recount(what, end);
                self.tracker.hold_up_to(what, since.max(end), ceiling, evidence);
            }
        }
    }

    fn break_of(&self, kind: FaultKind, condition: &picture::Condition) -> Within {
        match breaks::may_be_meant(kind) {
            true => self.breaks.within(condition.since, condition.until),
            false => Within::Nothing,
        }
    }

    /// An event on a PID, which is a condition for a second.
    pub(super) fn event(
        &mut self,
        kind: FaultKind,
        pid: Option<Pid>,
        at: MonoTime,
        ceiling: Severity,
        evidence: String,
    ) {
        let what = self.condition_of(kind, pid);
        self.tracker.event(what, at, ceiling, self.with_pid(pid, evidence));
    }

    /// A finding that is counted: the fault's evidence says what its findings come to.
    pub(super) fn counted(
        &mut self,
        kind: FaultKind,
        pid: Pid,
        at: MonoTime,
        ceiling: Severity,
        finding: FindingKind,
    ) {
        let what = self.condition_of(kind, Some(pid));
        let evidence = self.tallied(what, at, |tally| tally.add(finding));
        self.event(kind, Some(pid), at, ceiling, evidence);
    }

    /// RTP packets were lost.
    pub(super) fn lost(&mut self, at: MonoTime, packets: u64, ceiling: Severity) {
        let what = self.condition_of(FaultKind::RtpLoss, None);
        let evidence = self.tallied(what, at, |tally| tally.lose(packets));
        self.tracker.event(what, at, ceiling, evidence);
    }

    fn tallied(&mut self, what: Condition, at: MonoTime, add: impl FnOnce(&mut Tally)) -> String {
        if !self.tracker.goes_on(what, at) {
            self.tallies.remove(&what);
        }
        let tally = self.tallies.entry(what).or_default();
        add(tally);
        tally.evidence()
    }

    /// A condition of a PID begins.
    pub(super) fn hold(
        &mut self,
        kind: FaultKind,
        pid: Option<Pid>,
        since: MonoTime,
        ceiling: Severity,
        evidence: &str,
    ) {
        let what = self.condition_of(kind, pid);
        self.held.insert((kind, pid));
        self.tracker.hold_up_to(what, since, ceiling, self.with_pid(pid, evidence.to_owned()));
    }

    /// Says which component a fault of the service's picture or sound is about.
    pub(super) fn name_component(&mut self, kind: FaultKind) {
        let selection = self.selection.as_ref();
        let pid = match kind {
            FaultKind::NoVideo => selection.and_then(|s| s.picture),
            FaultKind::NoAudio => selection.and_then(|s| s.sound),
            _ => None,
        };
        if pid.is_some() {
            self.pids.insert(kind, pid);
        }
    }

    /// A condition of a PID ends. What several PIDs share ends with the last of them.
    pub(super) fn release(&mut self, kind: FaultKind, pid: Option<Pid>, at: MonoTime) {
        self.held.remove(&(kind, pid));
        let what = self.condition_of(kind, pid);
        let shared = what.pid.is_none() && self.held.iter().any(|(other, _)| *other == kind);
        if !shared {
            self.tracker.release(what, at);
        }
    }

    /// A stream of the lineup has one fault of a kind whatever the number of PIDs that show it, a report one for each.
    fn condition_of(&mut self, kind: FaultKind, pid: Option<Pid>) -> Condition {
        if pid.is_some() {
            self.pids.insert(kind, pid);
        }
        Condition { kind, pid: pid.filter(|_| self.part != Part::Stream) }
    }

    fn with_pid(&self, pid: Option<Pid>, evidence: String) -> String {
        match pid.filter(|_| self.part == Part::Stream) {
            Some(pid) => format!("PID {pid}: {evidence}"),
            None => evidence,
        }
    }

    /// Asks the virtual player whether it has something to play.
    pub(super) fn judge_buffer(&mut self, now: MonoTime) {
        match self.viewer.check(now) {
            Some(since) => {
                let evidence = "a player with a buffer of 1 s has nothing left".to_owned();
                self.tracker.hold(FaultKind::Stall, since, evidence);
            }
            None => self.tracker.release(FaultKind::Stall, now),
        }
    }

    /// Turns what the tracker found into records. `declared_by` is when this was found out, for a live stream.
    pub(super) fn tell(&mut self, declared_by: Option<MonoTime>) {
        while let Some(change) = self.tracker.poll() {
            let begins = matches!(change.phase, FaultPhase::Begin | FaultPhase::Raise);
            if begins {
                self.thumbnail = None;
            }
            let gone: &[Evidence] = match change.condition.kind {
                _ if !begins => &[],
                FaultKind::NoData | FaultKind::Unreachable => &[Evidence::Picture, Evidence::Sound],
                FaultKind::NoVideo => &[Evidence::Picture],
                FaultKind::NoAudio => &[Evidence::Sound],
                _ => &[],
            };
            if !gone.is_empty() {
                // There is nothing left to be black or silent; what is gone is told by this fault.
                self.reset_decoding();
                let kinds =
                    FaultKind::ALL.iter().filter(|kind| gone.contains(&Evidence::of(**kind)));
                kinds.for_each(|kind| self.tracker.forget(*kind, change.onset));
            }
            let kind = change.condition.kind;
            let declared = declared_by.filter(|_| begins).unwrap_or(change.declared);
            self.outputs.push_back(Output::Fault(FaultRecord {
                seq: 0,
                stream: self.config.stream.clone(),
                kind,
                phase: change.phase,
                severity: change.severity,
                pid: change.condition.pid.or_else(|| self.pids.get(&kind).copied().flatten()),
                onset: change.onset,
                declared: declared.max(change.onset),
                evidence: change.evidence,
            }));
        }
    }

    /// The worst that trouble on a PID can be for this view; `None` if it is another's.
    pub(super) fn ceiling(&self, pid: Pid, claimed: Claim) -> Option<Severity> {
        let own = self.selection.as_ref().and_then(|selection| selection.ceiling(pid));
        match (self.part, claimed) {
            // Of a stream in the lineup only what its viewers see is told.
            (Part::Stream, _) => own.filter(|worst| *worst > Severity::Info),
            (Part::Service, _) => own.filter(|_| pid != Pid::PAT),
            // A stream without tables is judged by all that it has.
            (Part::Multiplex, Claim::NoTables) => Some(Severity::Critical),
            (Part::Multiplex, _) if pid == Pid::PAT => Some(Severity::Critical),
            (Part::Multiplex, Claim::Nobody) => Some(Severity::Info),
            (Part::Multiplex, Claim::Service) => None,
        }
    }
}

/// Who answers for a PID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// Some service lists it.
    Service,
    /// There are services, and none lists it.
    Nobody,
    /// No service is known yet.
    NoTables,
}
