//! Sound that stays out for just over and just under a limit, wherever its packets stand between two rounds of the checks.

use tallylight_mux::{
    Mux, pat,
    plan::{FRAME, Plan, picture, sound},
    pmt,
};
use tallylight_ts::{AnalyserConfig, Check};

#[expect(dead_code, reason = "the other tests that share it use more of it")]
mod reading;

use reading::Reading;

const SOUND: u16 = 0x101;

/// A packet lasts a millisecond: sound stands at one place of each frame, and leaves so many packets out.
fn with_gap(place: usize, gap: usize) -> Vec<u8> {
    let mut mux = Mux::default();
    let components: [(u8, u16, &[u8]); 2] = [(0x1B, 0x100, &[]), (0x0F, SOUND, &[])];
    let plan = Plan {
        tables: vec![(0, pat(0, &[(1, 0x20)])), (0x20, pmt(1, 0, 0x100, &components))],
        clock: 0x100,
        units: vec![(0x100, 0xE0, picture()), (SOUND, 0xC0, sound())],
    };
    mux.play(&plan, 200);
    let (mut null, mut sounds) = (Vec::new(), Vec::new());
    let mut packets: Vec<Vec<u8>> = mux.bytes.chunks(188).map(<[u8]>::to_vec).collect();
    for packet in &packets {
        match u16::from_be_bytes([packet[1] & 0x1F, packet[2]]) {
            SOUND => sounds.push(packet.clone()),
            0x1FFF => null.clone_from(packet),
            _ => {}
        }
    }
    let mut sounds = sounds.into_iter();
    for (i, packet) in packets.iter_mut().enumerate() {
        if u16::from_be_bytes([packet[1] & 0x1F, packet[2]]) == SOUND {
            packet.clone_from(&null);
        }
        let away = 30 * FRAME + place + 1..30 * FRAME + place + gap;
        if i % FRAME == place && !away.contains(&i) {
            packet.clone_from(&sounds.next().unwrap_or_else(|| null.clone()));
        }
    }
    packets.concat()
}

#[test]
fn a_gap_just_over_a_limit_is_told_wherever_it_begins() {
    for place in 10..FRAME {
        for (check, limit) in [(Check::NoAudio, 2000), (Check::PidMissing, 5000)] {
            for (gap, expected) in [(limit - 40, 0), (limit + 40, 1)] {
                let reading = Reading::of(&with_gap(place, gap), AnalyserConfig::default());
                let told = |holds| {
                    let conditions = reading.conditions.iter();
                    conditions.filter(|c| c.check == check && c.holds == holds).count()
                };
                assert_eq!((told(true), told(false)), (expected, expected), "{gap} at {place}");
            }
        }
    }
}
