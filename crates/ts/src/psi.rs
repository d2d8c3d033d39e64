//! The tables that say what the stream carries: PAT, PMT (ISO/IEC 13818-1, 2.4.4.3 and 2.4.4.8) and SDT (ETSI EN 300 468, 5.2.3).

use alloc::{string::String, vec::Vec};

use tallylight_model::{Codec, Pid};

use crate::{AudioRole, Coding, Component, MediaKind, Text, TextKind, text};

/// Table ids.
pub(crate) const TABLE_PAT: u8 = 0x00;
pub(crate) const TABLE_CAT: u8 = 0x01;
pub(crate) const TABLE_PMT: u8 = 0x02;
pub(crate) const TABLE_SDT: u8 = 0x42;
pub(crate) const TABLE_TOT: u8 = 0x73;

/// PIDs of entitlement messages kept of one program, or of the CAT.
pub(crate) const MAX_ENTITLEMENTS: usize = 64;
/// Components kept of one program; more are left out.
const MAX_COMPONENTS: usize = 64;
/// Texts kept of one component.
const MAX_TEXTS: usize = 32;

/// Reads a PAT section: program numbers and where their PMT is; number 0 is where the network information is.
pub(crate) fn pat(body: &[u8]) -> impl Iterator<Item = (u16, Pid)> + '_ {
    body.chunks_exact(4).map(|e| {
        (u16::from_be_bytes([e[0], e[1]]), Pid::from_bits(u16::from_be_bytes([e[2], e[3]])))
    })
}

/// What a PMT says of its program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pmt {
    pub(crate) pcr_pid: Option<Pid>,
    pub(crate) components: Vec<Component>,
    /// Where entitlement messages are.
    pub(crate) entitlements: Vec<Pid>,
    /// Some components were left out.
    pub(crate) truncated: bool,
}

/// Reads a PMT section as far as it goes.
pub(crate) fn pmt(body: &[u8]) -> Pmt {
    let mut pmt = Pmt::default();
    let Some((head, rest)) = body.split_first_chunk::<4>() else { return pmt };
    let clock = Pid::from_bits(u16::from_be_bytes([head[0], head[1]]));
    pmt.pcr_pid = (clock != Pid::NULL).then_some(clock);
    let (program_info, mut rest) = split_length(head[2], head[3], rest);
    pmt.entitlements.extend(entitlements(program_info).take(MAX_ENTITLEMENTS));
    while let Some((head, tail)) = rest.split_first_chunk::<5>() {
        let (info, tail) = split_length(head[3], head[4], tail);
        rest = tail;
        if pmt.components.len() == MAX_COMPONENTS {
            pmt.truncated = true;
            break;
        }
        let pid = Pid::from_bits(u16::from_be_bytes([head[1], head[2]]));
        let room = MAX_ENTITLEMENTS - pmt.entitlements.len();
        pmt.entitlements.extend(entitlements(info).take(room));
        pmt.components.push(component(pid, head[0], info, program_info));
    }
    pmt
}

/// Splits off as many bytes as a length of 12 bits says, or all there are.
fn split_length(high: u8, low: u8, rest: &[u8]) -> (&[u8], &[u8]) {
    let length = usize::from(high & 0x0F) << 8 | usize::from(low);
    rest.split_at(length.min(rest.len()))
}

/// Where entitlement messages are, by CA_descriptors (ISO/IEC 13818-1, 2.6.16): those of a PMT, or of a CAT's whole body.
pub(crate) fn entitlements(info: &[u8]) -> impl Iterator<Item = Pid> + '_ {
    descriptors(info).filter_map(|(tag, contents)| match contents {
        [_, _, high, low, ..] if tag == 0x09 => {
            Some(Pid::from_bits(u16::from_be_bytes([*high, *low])))
        }
        _ => None,
    })
}

/// Descriptors: tag and contents.
fn descriptors(mut bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    core::iter::from_fn(move || {
        let (&[tag, length], rest) = bytes.split_first_chunk::<2>()?;
        let (contents, rest) = rest.split_at_checked(usize::from(length))?;
        bytes = rest;
        Some((tag, contents))
    })
}

fn component(pid: Pid, stream_type: u8, info: &[u8], program_info: &[u8]) -> Component {
    let coding = coding(stream_type, info, program_info);
    let mut language = None;
    let mut role = AudioRole::Main;
    let mut still = false;
    for (tag, contents) in descriptors(info) {
        match (tag, contents) {
            // ISO_639_language_descriptor (ISO/IEC 13818-1, 2.6.18).
            // It may list several; the first one counts.
            (0x0A, [code @ .., audio_type, _, _, _, _] | [code @ .., audio_type])
                if code.len() == 3 =>
            {
                language = language_of(code);
                role = match audio_type {
                    1 => AudioRole::Other,
                    2 => AudioRole::HearingImpaired,
                    3 => AudioRole::Description,
                    _ => role,
                };
            }
            // Subtitling and teletext descriptors begin with a language (EN 300 468, 6.2.41 and 6.2.43).
            (0x56 | 0x59, code) if language.is_none() => language = language_of(code),
            // supplementary_audio_descriptor (EN 300 468, 6.4.11) by its extension tag.
            (0x7F, [0x06, flags, rest @ ..]) => {
                role = match flags >> 2 & 0x1F {
                    0 | 4 => role,
                    1 => AudioRole::Description,
                    2 => AudioRole::HearingImpaired,
                    _ => AudioRole::Other,
                };
                if flags & 1 == 1 {
                    language = language_of(rest).or(language);
                }
            }
            // AC-3 and Enhanced AC-3 descriptors (EN 300 468, annex D): component type, service type in bits 3 to 5.
            (0x6A | 0x7A, [flags, component_type, ..]) if flags & 0x80 != 0 => {
                role = match component_type >> 3 & 7 {
                    2 => AudioRole::Description,
                    3 => AudioRole::HearingImpaired,
                    4..=6 => AudioRole::Other,
                    _ => role,
                };
            }
            // video_stream_descriptor, AVC_video_descriptor and HEVC_video_descriptor.
            (0x02, [flags, ..]) => still |= flags & 1 == 1,
            (0x28, [_, _, _, flags, ..]) => still |= flags & 0x80 != 0,
            (0x38, fields) => still |= fields.get(12).is_some_and(|flags| flags & 0x40 != 0),
            _ => {}
        }
    }
    if coding.kind() != MediaKind::Audio {
        role = AudioRole::Main;
    }
    let texts = texts(info).take(MAX_TEXTS).collect();
    Component { pid, stream_type, coding, language, role, still, texts }
}

/// The texts that descriptors promise: teletext, VBI teletext and subtitling (EN 300 468, 6.2.43, 6.2.47 and 6.2.41), and caption
/// services (ATSC A/65, 6.9.2).
fn texts(info: &[u8]) -> impl Iterator<Item = Text> + '_ {
    descriptors(info).flat_map(|(tag, contents)| {
        let (each, contents) = match (tag, contents) {
            (0x46 | 0x56, pages) => (5, pages),
            (0x59, subtitles) => (8, subtitles),
            (0x86, [count, services @ ..]) => {
                (6, &services[..services.len().min(usize::from(count & 0x1F) * 6)])
            }
            _ => (1, &[][..]),
        };
        contents.chunks_exact(each).map(move |entry| text(tag, entry))
    })
}

fn text(tag: u8, entry: &[u8]) -> Text {
    let flags = entry[3];
    let (kind, hearing_impaired, number) = match tag {
        0x86 if flags & 0x80 != 0 => (TextKind::Cea708, false, u16::from(flags & 0x3F)),
        0x86 => (TextKind::Cea608, false, u16::from(flags & 1) + 1),
        0x59 => {
            let page = u16::from_be_bytes([entry[4], entry[5]]);
            (TextKind::DvbSubtitle, matches!(flags, 0x20..=0x26), page)
        }
        _ => {
            let magazine = if flags & 7 == 0 { 8 } else { u16::from(flags & 7) };
            let page = magazine << 8 | u16::from(entry[4]);
            match flags >> 3 {
                2 => (TextKind::TeletextSubtitle, false, page),
                5 => (TextKind::TeletextSubtitle, true, page),
                _ => (TextKind::Teletext, false, page),
            }
        }
    };
    Text { kind, language: language_of(entry), hearing_impaired, number }
}

fn language_of(code: &[u8]) -> Option<String> {
    let code = code.first_chunk::<3>()?;
    code.iter()
        .all(u8::is_ascii_alphanumeric)
        .then(|| code.iter().map(|&byte| byte.to_ascii_lowercase() as char).collect())
}

fn coding(stream_type: u8, info: &[u8], program_info: &[u8]) -> Coding {
    match stream_type {
        0x01 => Coding::Cut(Codec::Mpeg1Video),
        0x02 => Coding::Cut(Codec::Mpeg2Video),
        0x03 | 0x04 => Coding::Cut(Codec::MpegAudio),
        0x0F => Coding::Cut(Codec::AacAdts),
        0x10 => Coding::Mpeg4Video,
        0x11 => Coding::Cut(Codec::AacLatm),
        0x1B => Coding::Cut(Codec::H264),
        0x24 => Coding::Cut(Codec::Hevc),
        0x21 => Coding::Jpeg2000,
        0x2D | 0x2E => Coding::MpegH,
        0x32 => Coding::JpegXs,
        0x33 | 0x34 => Coding::Vvc,
        // User private, used by ATSC A/53 (0x81, 0x87) and by Blu-ray (0x82 to 0x86), where no registration says otherwise.
        0x81 => Coding::Cut(Codec::Ac3),
        0x84 | 0x87 => Coding::Cut(Codec::Eac3),
        0x82 | 0x85 => Coding::Dts,
        0x86 if registration(info).or_else(|| registration(program_info)) == Some(*b"CUEI") => {
            Coding::Scte35
        }
        0x86 => Coding::Dts,
        0xEA => Coding::Vc1,
        0x06 | 0x15 | 0x80.. => private(info).unwrap_or(match stream_type {
            0x06 | 0x15 => Coding::Data,
            _ => Coding::Unknown(stream_type),
        }),
        0x05 | 0x08 | 0x0A..=0x0D => Coding::Data,
        _ => Coding::Unknown(stream_type),
    }
}

fn registration(info: &[u8]) -> Option<[u8; 4]> {
    let (_, contents) = descriptors(info).find(|(tag, _)| *tag == 0x05)?;
    contents.first_chunk().copied()
}

/// What private data is, by the first descriptor that says so.
fn private(info: &[u8]) -> Option<Coding> {
    let by_descriptor = descriptors(info).find_map(|(tag, contents)| {
        Some(match (tag, contents) {
            (0x6A, _) => Coding::Cut(Codec::Ac3),
            (0x7A, _) => Coding::Cut(Codec::Eac3),
            (0x7C, _) => Coding::Cut(Codec::AacLatm),
            (0x7B, _) | (0x7F, [0x0E | 0x21, ..]) => Coding::Dts,
            (0x7F, [0x11, ..]) => Coding::T2mi,
            (0x7F, [0x15, ..]) => Coding::Ac4,
            (0x7F, [0x20, ..]) => Coding::Ttml,
            (0xFD, [0x00, 0x08 | 0x12, ..]) => Coding::AribCaption,
            (0x59, _) => Coding::DvbSubtitle,
            (0x46 | 0x56, _) => Coding::Teletext,
            _ => return None,
        })
    });
    by_descriptor.or_else(|| {
        Some(match &registration(info)? {
            b"AC-3" => Coding::Cut(Codec::Ac3),
            b"EAC3" => Coding::Cut(Codec::Eac3),
            b"HEVC" => Coding::Cut(Codec::Hevc),
            b"Opus" => Coding::Opus,
            b"BSSD" => Coding::Smpte302m,
            b"AV01" => Coding::Av1,
            b"VC-1" => Coding::Vc1,
            b"AC-4" => Coding::Ac4,
            b"DTS1" | b"DTS2" | b"DTS3" => Coding::Dts,
            b"ID3 " => Coding::Id3,
            b"CUEI" => Coding::Scte35,
            b"VVC " => Coding::Vvc,
            b"VANC" => Coding::Smpte2038,
            b"KLVA" => Coding::Klv,
            _ => return None,
        })
    })
}

/// A service's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Names {
    pub(crate) program: u16,
    pub(crate) name: String,
    pub(crate) provider: String,
}

/// Reads the names out of an SDT section.
pub(crate) fn sdt(body: &[u8]) -> Vec<Names> {
    let mut names = Vec::new();
    let mut rest = body.get(3..).unwrap_or_default();
    while let Some((head, tail)) = rest.split_first_chunk::<5>() {
        let (info, tail) = split_length(head[3], head[4], tail);
        rest = tail;
        let service = descriptors(info).find(|(tag, _)| *tag == 0x48);
        names.extend(service.and_then(|(_, contents)| {
            let (provider, rest) = counted(contents.get(1..)?)?;
            let (name, _) = counted(rest)?;
            let program = u16::from_be_bytes([head[0], head[1]]);
            Some(Names { program, name: text::dvb(name), provider: text::dvb(provider) })
        }));
    }
    names
}

fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&length, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        stream_type: u8,
        info: &[u8],
        coding: Coding,
        language: Option<&str>,
        role: AudioRole,
    ) {
        let length = info.len() as u8;
        let body =
            [&[0xE1, 0x00, 0xF0, 0x00, stream_type, 0xE1, 0x01, 0xF0, length][..], info].concat();
        let found = pmt(&body);
        assert_eq!(found.pcr_pid, Some(Pid::from_bits(0x100)));
        let [component] = &found.components[..] else { panic!("{found:?}") };
        assert_eq!(component.pid, Pid::from_bits(0x101));
        assert_eq!(component.coding, coding, "{stream_type:#x} {info:02x?}");
        assert_eq!((component.language.as_deref(), component.role), (language, role));
    }

    #[test]
    fn a_component_is_known_by_stream_type_and_descriptors() {
        use AudioRole::{Description, HearingImpaired, Main};
        check(0x1B, &[], Coding::Cut(Codec::H264), None, Main);
        check(0x24, b"\x05\x04HEVC", Coding::Cut(Codec::Hevc), None, Main);
        check(0x0F, b"\x0A\x04ENG\x00", Coding::Cut(Codec::AacAdts), Some("eng"), Main);
        check(0x04, b"\x0A\x04eng\x03", Coding::Cut(Codec::MpegAudio), Some("eng"), Description);
        check(0x04, b"\x0A\x08eng\x00deu\x03", Coding::Cut(Codec::MpegAudio), Some("eng"), Main);
        check(0x06, b"\x05\x04AC-3", Coding::Cut(Codec::Ac3), None, Main);
        check(0x06, b"\x6A\x02\x80\x1A", Coding::Cut(Codec::Ac3), None, HearingImpaired);
        check(0x06, b"\x7A\x02\x80\x12", Coding::Cut(Codec::Eac3), None, Description);
        check(0x11, b"\x7F\x05\x06\x05deu", Coding::Cut(Codec::AacLatm), Some("deu"), Description);
        check(0x06, b"\x59\x08fra\x10\x00\x01\x00\x01", Coding::DvbSubtitle, Some("fra"), Main);
        check(0x06, b"\x05\x04Opus", Coding::Opus, None, Main);
        check(0x06, b"\x05\x04AV01", Coding::Av1, None, Main);
        check(0x33, &[], Coding::Vvc, None, Main);
        check(0x06, b"\x7F\x02\x15\x00", Coding::Ac4, None, Main);
        check(0x06, b"\x05\x04AC-4", Coding::Ac4, None, Main);
        check(0x06, b"\x7F\x02\x11\x00", Coding::T2mi, None, Main);
        check(0x2D, &[], Coding::MpegH, None, Main);
        check(0x15, b"\x05\x04KLVA", Coding::Klv, None, Main);
        check(0x06, b"\x05\x04VANC", Coding::Smpte2038, None, Main);
        check(0x86, b"\x05\x04CUEI", Coding::Scte35, None, Main);
        check(0x06, &[], Coding::Data, None, Main);
        check(0xA0, &[], Coding::Unknown(0xA0), None, Main);
        check(0x81, &[0x05, 200], Coding::Cut(Codec::Ac3), None, Main);
    }

    #[test]
    fn texts_are_read_from_their_descriptors() {
        let found = |info: &[u8]| -> Vec<_> {
            texts(info).map(|t| (t.kind, t.language, t.hearing_impaired, t.number)).collect()
        };
        let (deu, eng) = (Some("deu".into()), Some("eng".into()));
        let teletext = b"\x56\x0Fdeu\x09\x00deu\x11\x50eng\x28\x88";
        assert_eq!(
            found(teletext),
            [
                (TextKind::Teletext, deu.clone(), false, 0x100),
                (TextKind::TeletextSubtitle, deu.clone(), false, 0x150),
                (TextKind::TeletextSubtitle, eng.clone(), true, 0x888),
            ]
        );
        let subtitles = b"\x59\x10deu\x10\x00\x01\x00\x01eng\x20\x00\x02\x00\x02";
        assert_eq!(
            found(subtitles),
            [(TextKind::DvbSubtitle, deu, false, 1), (TextKind::DvbSubtitle, eng.clone(), true, 2)]
        );
        let captions = b"\x86\x0D\xE2eng\xC1\x3F\xFFeng\x7E\x3F\xFF";
        assert_eq!(
            found(captions),
            [(TextKind::Cea708, eng.clone(), false, 1), (TextKind::Cea608, eng, false, 1)]
        );
        // What is cut short is not there.
        assert_eq!(found(b"\x86\x03\xE2en"), []);
        assert_eq!(found(b"\x56\x04deu\x09"), []);
        assert_eq!(found(b"\x86\x00"), []);
    }

    #[test]
    fn tables_are_read_as_far_as_they_go() {
        assert_eq!(pmt(&[]), Pmt::default());
        assert_eq!(pmt(&[0xFF, 0xFF, 0xF0, 0xFF, 0x1B]).pcr_pid, None);
        let body = [&[0xFF, 0xFF, 0xF0, 0][..], &[0x1B, 0xE1, 1, 0xF0, 0].repeat(80)].concat();
        let many = pmt(&body);
        assert_eq!((many.components.len(), many.truncated), (MAX_COMPONENTS, true));
        let programs: Vec<_> = pat(&[0, 0, 0xE0, 0x10, 0, 5, 0xE1, 0x00, 9]).collect();
        assert_eq!(programs, [(0, Pid::from_bits(0x10)), (5, Pid::from_bits(0x100))]);
        let body = b"\x00\x01\xFF\x00\x05\xFC\x80\x0F\x48\x0D\x01\x04Prov\x06Name 1";
        let names = sdt(body);
        assert_eq!((names[0].program, names[0].name.as_str()), (5, "Name 1"));
        assert_eq!(names[0].provider, "Prov");
        assert!(sdt(&body[..20]).is_empty());
    }
}
