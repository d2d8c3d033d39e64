//! Targets that are transport streams.

use std::{iter, time::Duration};

use tallylight_model::{MonoTime, Pcr};
use tallylight_mux::{Length, Mux, pes as pes_packet, section};
use tallylight_ts::{Analyser, AnalyserConfig, CheckClock, CheckProfile, Payload};

use crate::{
    input::Input,
    tables::{self, CODINGS, FIRST, PMT},
};

/// Time that a record takes.
const STEP: Duration = Duration::from_millis(20);

/// Any bytes as they are.
pub(crate) fn packets(data: &[u8]) {
    let mut input = Input::new(data);
    let trial = Trial::choose(&mut input);
    trial.run(input.rest());
}

/// Sections of any content, on any PID that carries tables, mostly with a right CRC.
pub(crate) fn tables(data: &[u8]) {
    let mut input = Input::new(data);
    let trial = Trial::choose(&mut input);
    let mut mux = Mux::default();
    tables::program(&mut mux, &[CODINGS[0], CODINGS[4]]);
    records(&mut input, &mut mux, |input, mux| {
        let pid = input.one_of([0, 1, PMT, 0x10, 0x11, 0x12, 0x13, 0x14, FIRST, FIRST + 1]);
        let choice = input.byte();
        let piece = input.piece();
        match choice % 4 {
            0 => mux.unit(pid, piece),
            1 => mux.packet(pid, choice & 0x10 != 0, None, piece),
            2 => tables::section(mux, pid, piece),
            _ => {
                let (id, body) = piece.split_first().unwrap_or((&0, &[]));
                mux.section(pid, &section(*id, u16::from(choice >> 4), 0, body));
            }
        }
    });
    trial.run(&mux.bytes);
}

/// Components whose packets carry anything, with PES headers of any kind.
pub(crate) fn pes(data: &[u8]) {
    let mut input = Input::new(data);
    let trial = Trial::choose(&mut input);
    let mut mux = Mux::default();
    tables::program(&mut mux, &[input.one_of(CODINGS), input.one_of(CODINGS)]);
    records(&mut input, &mut mux, |input, mux| {
        let choice = input.byte();
        let pid = FIRST + u16::from(choice & 1);
        if choice & 2 != 0 {
            mux.lose(pid);
        }
        let begin: &[u8] = if choice & 4 == 0 { &[] } else { &[0, 0, 1] };
        let start = choice & 12 != 0;
        mux.packet(pid, start, None, &[begin, input.piece()].concat());
    });
    trial.run(&mux.bytes);
}

/// An elementary stream of any content in regular PES packets.
pub(crate) fn access_units(data: &[u8]) {
    let mut input = Input::new(data);
    let trial = Trial::choose(&mut input);
    let mut mux = Mux::default();
    tables::program(&mut mux, &[input.one_of(CODINGS)]);
    let mut time = 0;
    records(&mut input, &mut mux, |input, mux| {
        let choice = input.byte();
        time += u64::from(choice) * 90;
        let many = 1 + usize::from(choice & 3);
        let data: Vec<u8> =
            iter::repeat_with(|| input.piece()).take(many).flatten().copied().collect();
        mux.unit(FIRST, &pes_packet(0xE0, Length::Open, Some(time), &data));
    });
    trial.run(&mux.bytes);
}

/// Splice information sections of any content.
pub(crate) fn scte35(data: &[u8]) {
    let mut input = Input::new(data);
    let trial = Trial::choose(&mut input);
    let mut mux = Mux::default();
    tables::program(&mut mux, &[CODINGS[0], CODINGS[17]]);
    records(&mut input, &mut mux, |input, mux| {
        let choice = input.byte();
        let body = input.piece();
        match choice % 4 {
            0 => mux.unit(FIRST + 1, body),
            _ => tables::section(mux, FIRST + 1, &[&[0xFC, 0x30, 0], body].concat()),
        }
    });
    trial.run(&mux.bytes);
}

/// Writes records with a clock between them until the input is used up.
fn records(input: &mut Input<'_>, mux: &mut Mux, mut record: impl FnMut(&mut Input<'_>, &mut Mux)) {
    let mut time = Duration::ZERO;
    while !input.is_empty() {
        time += STEP;
        let ticks = time.as_micros() as u64 * (Pcr::HZ / 1_000_000);
        mux.clock(FIRST, ticks);
        record(input, mux);
    }
}

/// How a stream is analysed.
struct Trial {
    config: AnalyserConfig,
    /// How it is cut for the second run.
    sizes: [usize; 2],
    /// What is told before the second half.
    between: fn(&mut Analyser),
}

impl Trial {
    fn choose(input: &mut Input<'_>) -> Self {
        let profile =
            input.one_of([CheckProfile::DEFAULT, CheckProfile::BROADCAST, CheckProfile::OTT]);
        let clock = input.one_of([CheckClock::Media, CheckClock::Arrival]);
        let payload = input.one_of([Payload::None, Payload::Keys, Payload::All]);
        let between: [fn(&mut Analyser); 4] =
            [|_| {}, Analyser::boundary, Analyser::discontinuity, Analyser::unobserved];
        Self {
            config: AnalyserConfig { profile, clock, payload, ..AnalyserConfig::default() },
            between: input.one_of(between),
            sizes: [usize::from(input.word()) % 1000 + 1, usize::from(input.byte()) + 1],
        }
    }

    /// Analyses the stream twice, cut in different ways.
    fn run(&self, bytes: &[u8]) {
        let whole = self.analyse(bytes, &[usize::MAX]);
        let cut = self.analyse(bytes, &self.sizes);
        assert!(whole == cut, "cut by {:?}: {whole:#?} is not {cut:#?}", self.sizes);
    }

    /// Returns everything that was said of the stream, in words.
    fn analyse(&self, bytes: &[u8], sizes: &[usize]) -> Vec<String> {
        let mut analyser = Analyser::new(self.config);
        let mut said = Vec::new();
        let mut watched = Watched::default();
        let halves = bytes.split_at(bytes.len() / 2);
        for (half, at) in [(halves.0, MonoTime::ZERO), (halves.1, MonoTime::ZERO + STEP)] {
            let (mut rest, mut sizes) = (half, sizes.iter().cycle());
            while !rest.is_empty() {
                let size = sizes.next().map_or(1, |size| (*size).min(rest.len()));
                let (now, later) = rest.split_at(size);
                rest = later;
                analyser.push(at, now);
                said.extend(iter::from_fn(|| analyser.poll()).map(|event| format!("{event:?}")));
                watched.look(&analyser);
            }
            if at == MonoTime::ZERO {
                (self.between)(&mut analyser);
            }
        }
        analyser.finish();
        said.extend(iter::from_fn(|| analyser.poll()).map(|event| format!("{event:?}")));
        watched.look(&analyser);
        said.push(format!("{:?}", analyser.totals()));
        said.push(format!("{:?}", analyser.position()));
        said.extend(analyser.services().map(|service| format!("{service:?}")));
        said.extend(analyser.pids().iter().map(|pid| format!("{pid:?}")));
        said.extend(analyser.elementary().map(|component| format!("{component:?}")));
        said.extend(analyser.checks().map(|check| format!("{check:?}")));
        said
    }
}

/// What only grows.
#[derive(Default)]
struct Watched {
    packets: u64,
    media: Option<Duration>,
    checks: Vec<u64>,
}

impl Watched {
    fn look(&mut self, analyser: &Analyser) {
        let (packets, media) = (analyser.totals().packets, analyser.position().media);
        let checks: Vec<u64> = analyser.checks().map(|check| check.tally.count).collect();
        assert!(packets >= self.packets, "packets: {packets} after {}", self.packets);
        assert!(media >= self.media, "media time: {media:?} after {:?}", self.media);
        assert!(self.checks.iter().zip(&checks).all(|(old, new)| old <= new), "checks: {checks:?}");
        *self = Self { packets, media, checks };
    }
}
