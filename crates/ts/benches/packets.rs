//! What a packet costs in memory, without reading a file: `cargo bench -p tallylight-ts`. `script/bench ts` measures whole
//! processes on encoded streams, which is what counts.

use divan::{Bencher, counter::ItemsCount};
use tallylight_model::MonoTime;
use tallylight_mux::{Length, Mux, null, pat, pes, pmt};
use tallylight_ts::{Analyser, AnalyserConfig, CheckProfile, Payload};

/// Packets of each stream.
const PACKETS: usize = 20_000;

fn main() {
    divan::main();
}

/// One picture goes on and on: the search for start codes, and the counter.
#[divan::bench]
fn one_component(bencher: Bencher<'_, '_>) {
    measure(bencher, &stream(1));
}

/// Forty components, whose packets come in turn.
#[divan::bench]
fn forty_components(bencher: Bencher<'_, '_>) {
    measure(bencher, &stream(40));
}

#[divan::bench]
fn null_packets(bencher: Bencher<'_, '_>) {
    measure(bencher, &null().repeat(PACKETS));
}

fn measure(bencher: Bencher<'_, '_>, bytes: &[u8]) {
    let config = AnalyserConfig {
        payload: Payload::None,
        profile: CheckProfile::BROADCAST,
        ..AnalyserConfig::default()
    };
    let bencher = bencher.counter(ItemsCount::new(bytes.len() / 188));
    bencher.with_inputs(|| Analyser::new(config)).bench_local_refs(|analyser| {
        analyser.push(MonoTime::ZERO, bytes);
        std::iter::from_fn(|| analyser.poll()).count()
    });
}

/// Pictures of H.264 in so many components of one program, of which none ends.
fn stream(components: u16) -> Vec<u8> {
    let mut mux = Mux::default();
    let pids: Vec<u16> = (0x100..0x100 + components).collect();
    let listed: Vec<(u8, u16, &[u8])> = pids.iter().map(|&pid| (0x1B, pid, &[][..])).collect();
    mux.section(0, &pat(0, &[(1, 0x20)]));
    mux.section(0x20, &pmt(1, 0, 0x100, &listed));
    let data = [&[0, 0, 1, 0x65, 0x88, 0x84][..], &[0xAA; 169]].concat();
    for &pid in &pids {
        mux.unit(pid, &pes(0xE0, Length::Open, None, &data));
    }
    // Bytes of which none is more frequent than others, as coded ones are.
    let mut state = 1_u32;
    let mut byte = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    for &pid in pids.iter().cycle().take(PACKETS) {
        let payload: Vec<u8> = (0..184).map(|_| byte()).collect();
        mux.packet(pid, false, None, &payload);
    }
    mux.bytes
}
