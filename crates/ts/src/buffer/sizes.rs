//! How large the buffers of a component are, and how fast they empty, by its codec, profile and level.
//!
//! Clauses of H.222.0 are those of its edition of 08/2023, where 2.4.2.4 is what editions up to 10/2014 have as 2.4.2.3.

use tallylight_model::Codec;

/// The buffers behind the transport buffer of one component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// Rx, at which the transport buffer empties, in bits per second.
    pub(crate) rx_bps: u64,
    /// Rbx, at which the multiplexing buffer empties, in bits per second; `None` for sound, which has none.
    pub(crate) leak_bps: Option<u64>,
    /// MBS in bytes.
    pub(crate) multiplex: u64,
    /// EBS, or BS of sound, in bytes.
    pub(crate) main: u64,
}

/// H.264 level, MaxBR and MaxCPB, in units of bits that a factor says (ISO/IEC 14496-10, table A-1).
const AVC: [(u32, u64, u64); 20] = [
    (9, 128, 350),
    (10, 64, 175),
    (11, 192, 500),
    (12, 384, 1000),
    (13, 768, 2000),
    (20, 2000, 2000),
    (21, 4000, 4000),
    (22, 4000, 4000),
    (30, 10_000, 10_000),
    (31, 14_000, 14_000),
    (32, 20_000, 20_000),
    (40, 20_000, 25_000),
    (41, 50_000, 62_500),
    (42, 50_000, 62_500),
    (50, 135_000, 135_000),
    (51, 240_000, 240_000),
    (52, 240_000, 240_000),
    (60, 240_000, 240_000),
    (61, 480_000, 480_000),
    (62, 800_000, 800_000),
];

/// HEVC level, MaxBR of the main tier, MaxBR of the high tier, in units of 1,100 bits (ISO/IEC 23008-2, table A.8). MaxCPB is the
/// same but for level 1.
const HEVC: [(u32, u64, u64); 13] = [
    (30, 128, 128),
    (60, 1500, 1500),
    (63, 3000, 3000),
    (90, 6000, 6000),
    (93, 10_000, 10_000),
    (120, 12_000, 30_000),
    (123, 20_000, 50_000),
    (150, 25_000, 100_000),
    (153, 40_000, 160_000),
    (156, 60_000, 240_000),
    (180, 60_000, 240_000),
    (183, 120_000, 480_000),
    (186, 240_000, 800_000),
];

/// The factor of [`AVC`] for the buffers, whatever the profile (H.222.0, 2.14.3.1).
const AVC_FACTOR: u64 = 1200;

/// What is taken for the parts of a multiplexing buffer at least, in bits per second (2.14.3.1, 2.17.2).
const LEAST_RATE: u64 = 2_000_000;

impl Sizes {
    /// H.264 (H.222.0, 2.14.3.1) by `profile_idc`, `constraint_set3_flag` and `level_idc`: TB empties at 1.2 times what the profile
    /// allows, and what is behind it is of the same size for all profiles.
    pub(crate) fn avc(profile: u32, constraint_3: bool, level: u32) -> Option<Self> {
        // cpbBrNalFactor (ISO/IEC 14496-10, table A-2).
        let factor = match profile {
            66 | 77 | 88 => 1200,
            100 => 1500,
            110 => 3600,
            122 | 244 | 44 => 4800,
            _ => return None,
        };
        let is_1b = level == 11 && constraint_3 && matches!(profile, 66 | 77 | 88);
        let level = if is_1b { 9 } else { level };
        let (_, rate, size) = *AVC.iter().find(|row| row.0 == level)?;
        Some(Self::leaking(rate * factor * 6 / 5, rate * AVC_FACTOR, size * AVC_FACTOR))
    }

    /// HEVC (H.222.0, 2.17.2) by tier, `general_profile_idc` and `general_level_idc`, for Main, Main 10 and Main Still Picture.
    pub(crate) fn hevc(high_tier: bool, profile: u32, level: u32) -> Option<Self> {
        let (_, main, high) =
            *HEVC.iter().find(|row| row.0 == level && (1..=3).contains(&profile))?;
        let rate_bps = 1100 * if high_tier { high } else { main };
        let size = if level == 30 { 1100 * 350 } else { rate_bps };
        Some(Self::leaking(rate_bps, rate_bps, size))
    }

    /// Where EB may be as large as the level allows, and MB has the parts that are named alone.
    fn leaking(rx_bps: u64, leak_bps: u64, elementary_bits: u64) -> Self {
        let parts = multiplex_parts(leak_bps.max(LEAST_RATE));
        Self { rx_bps, leak_bps: Some(leak_bps), multiplex: parts, main: elementary_bits / 8 }
    }

    /// MPEG-2 video (H.222.0, 2.4.2.4) by the profile and level of its sequence extension, its bit rate and its VBV's size.
    pub(crate) fn mpeg2(profile_and_level: u8, rate_bps: u64, vbv_bits: u64) -> Option<Self> {
        // Rmax and VBVmax (ISO/IEC 13818-2, tables 8-13 and 8-14).
        let (most_bps, most_bits, is_high) = match profile_and_level {
            0x5A | 0x4A => (4_000_000, 475_136, false),
            0x58 | 0x48 => (15_000_000, 1_835_008, false),
            0x18 => (20_000_000, 2_441_216, false),
            0x46 => (60_000_000, 7_340_032, true),
            0x44 => (80_000_000, 9_781_248, true),
            0x16 => (80_000_000, 9_781_248, true),
            0x14 => (100_000_000, 12_222_464, true),
            0x85 => (50_000_000, 9_437_184, false),
            0x82 => (300_000_000, 47_185_920, true),
            _ => return None,
        };
        let rest_bits = if is_high { 0 } else { u64::saturating_sub(most_bits, vbv_bits) };
        Some(Self {
            rx_bps: most_bps * 6 / 5,
            leak_bps: Some(if is_high { most_bps.min(rate_bps * 21 / 20) } else { most_bps }),
            multiplex: multiplex_parts(most_bps) + rest_bits / 8,
            main: vbv_bits / 8,
        })
    }

    /// Sound: MPEG audio and ADTS by H.222.0, 2.4.2.4, of which LATM is taken to have the same. AC-3 has 5,696 bytes where it is DVB's
    /// (ATSC A/52, annex A, 5.4) and 2,592 in ATSC (A/53, part 5, 5.7); as its stream type is used everywhere, the larger one holds.
    /// Enhanced AC-3 by A/52, annex G, 3.6.1: 736, 64 and 12,096 bytes.
    pub(crate) fn audio(codec: Codec, channels: u8) -> Option<Self> {
        let (rx_bps, main) = match (codec, channels) {
            (Codec::MpegAudio, _) | (Codec::AacAdts | Codec::AacLatm, 1 | 2) => (2_000_000, 3584),
            (Codec::AacAdts | Codec::AacLatm, 3..=8) => (5_529_600, 8976),
            (Codec::AacAdts | Codec::AacLatm, 9..=12) => (8_294_400, 12_804),
            (Codec::AacAdts | Codec::AacLatm, 13..=48) => (33_177_600, 51_216),
            (Codec::Ac3, _) => (2_000_000, 5696),
            (Codec::Eac3, _) => (2_000_000, 12_896),
            _ => return None,
        };
        Some(Self { rx_bps, leak_bps: None, multiplex: 0, main })
    }

    /// What fits behind the transport buffer, in bytes.
    pub(crate) const fn room(&self) -> u64 {
        self.multiplex + self.main
    }
}

/// BSmux and BSoh in bytes: 4 ms and 1/750 s of a rate.
const fn multiplex_parts(rate_bps: u64) -> u64 {
    rate_bps / 250 / 8 + rate_bps / 750 / 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_as_large_as_the_standards_say() {
        let sizes =
            |rx_bps, leak_bps, multiplex, main| Some(Sizes { rx_bps, leak_bps, multiplex, main });
        // High profile at level 4.0: 30 Mb/s into MB, but 24 Mb/s on from there, and 30 Mbit.
        let high = sizes(36_000_000, Some(24_000_000), 12_000 + 4000, 30_000_000 / 8);
        assert_eq!(Sizes::avc(100, false, 40), high);
        assert_eq!(Sizes::avc(77, false, 40).map(|s| s.rx_bps), Some(28_800_000));
        assert_eq!(Sizes::avc(77, false, 40).map(|s| s.room()), high.map(|s| s.room()));
        // Level 1b of the Main profile, and too slow for the parts of MB to follow.
        assert_eq!(Sizes::avc(77, true, 11), Sizes::avc(77, false, 9));
        assert_eq!(Sizes::avc(77, false, 10), sizes(92_160, Some(76_800), 1000 + 333, 210_000 / 8));
        assert_eq!(Sizes::avc(100, false, 7), None);
        assert_eq!(Sizes::hevc(false, 2, 153).map(|s| s.rx_bps), Some(44_000_000));
        assert_eq!(Sizes::hevc(true, 1, 153).map(|s| s.main), Some(22_000_000));
        assert_eq!(Sizes::hevc(false, 4, 153), None);
        // Main profile at main level: MB and EB together do not depend on the VBV.
        let main = Sizes::mpeg2(0x48, 4_000_000, 917_504).unwrap();
        assert_eq!((main.rx_bps, main.leak_bps), (18_000_000, Some(15_000_000)));
        assert_eq!((main.main, main.room()), (114_688, 1_835_008 / 8 + 7500 + 2500));
        let high = Sizes::mpeg2(0x44, 18_000_000, 9_781_248).unwrap();
        assert_eq!((high.leak_bps, high.multiplex), (Some(18_900_000), 40_000 + 13_333));
        assert_eq!(Sizes::audio(Codec::AacAdts, 6).map(|s| s.main), Some(8976));
        // Four times that of 12 channels.
        assert_eq!(Sizes::audio(Codec::AacAdts, 24).map(|s| s.main), Some(4 * 12_804));
        assert_eq!(Sizes::audio(Codec::Ac3, 6).map(|s| s.main), Some(5696));
        assert_eq!(Sizes::audio(Codec::Eac3, 6).map(|s| s.main), Some(736 + 64 + 12_096));
        assert_eq!(Sizes::audio(Codec::AacLatm, 0), None);
    }
}
