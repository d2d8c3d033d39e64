use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

fn media(text: &str) -> (Media, Vec<(usize, Rule)>) {
    let reading = read(text.as_bytes());
    let Some(Playlist::Media(media)) = reading.playlist else { panic!("{text}: {reading:?}") };
    (media, reading.findings.into_iter().map(|found| (found.line, found.rule)).collect())
}

fn secs(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

#[test]
fn a_live_list_is_read_whole() {
    let (list, findings) = media(
        "#EXTM3U\r\n#EXT-X-VERSION:4\r\n#EXT-X-TARGETDURATION:6\r\n#EXT-X-MEDIA-SEQUENCE:41\r\n\
         #EXT-X-DISCONTINUITY-SEQUENCE:3\r\n#EXT-X-UNKNOWN:1\r\n# comment\r\n\r\n\
         #EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:04:05.500+01:00\r\n#EXTINF:5.005,Title, with comma\r\na.ts\r\n\
         #EXTINF:6,\r\n#EXT-X-BYTERANGE:100@50\r\nb.ts?x=1\r\n#EXT-X-BYTERANGE:10\r\n#EXTINF:4,\r\nb.ts?x=1\r\n\
         #EXT-X-DISCONTINUITY\r\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\r\n#EXTINF:1,\r\nc.ts\r\n\
         #EXT-X-KEY:METHOD=NONE\r\n#EXT-X-GAP\r\n#EXTINF:1,\r\nd.ts\r\n#EXT-X-ENDLIST",
    );
    assert_eq!(findings, []);
    assert_eq!((list.version, list.target), (4, secs(6.0)));
    assert_eq!((list.sequence, list.discontinuity_sequence, list.edge()), (41, 3, 46));
    assert!(list.ended);
    let [a, b, b2, c, d] = <[MediaSegment; 5]>::try_from(Vec::from(list.segments)).unwrap();
    assert_eq!((a.uri.as_str(), a.sequence, a.duration), ("a.ts", 41, secs(5.005)));
    let start = 1_767_319_445_500;
    assert_eq!(a.programme_date_time, Some(WallTime::from_unix_millis(start)));
    assert_eq!(b.programme_date_time, Some(WallTime::from_unix_millis(start + 5005)));
    assert_eq!(b.range, Some(ByteRange { offset: 50, length: 100 }));
    assert_eq!(b2.range, Some(ByteRange { offset: 150, length: 10 }));
    assert!(c.discontinuity && !b2.discontinuity && !d.discontinuity);
    assert_eq!(c.programme_date_time, None, "time is not carried across a discontinuity");
    assert_eq!((c.encryption.as_deref(), d.encryption.as_deref()), (Some("AES-128"), None));
    assert!(d.gap && !c.gap && !d.mapped);
}

#[test]
fn every_broken_rule_is_found_at_its_line() {
    let head = "#EXTM3U\n#EXT-X-TARGETDURATION:4\n";
    let cases: [(&str, &[(usize, Rule)]); 17] = [
        ("#EXTINF:abc,\na.ts", &[(3, Rule::Duration)]),
        ("#EXTINF:-1,\na.ts", &[(3, Rule::Duration)]),
        ("#EXTINF:inf,\na.ts", &[(3, Rule::Duration)]),
        ("#EXTINF:1e3,\na.ts", &[(3, Rule::Duration)]),
        ("#EXTINF:99999999999999,\na.ts", &[(3, Rule::Duration)]),
        ("#EXTINF:,\na.ts", &[(3, Rule::Duration)]),
        ("#EXTINF:4\na.ts", &[(3, Rule::NoComma)]),
        ("#EXTINF:4.49,\na.ts", &[]),
        ("#EXTINF:4.5,\na.ts", &[(4, Rule::OverTarget)]),
        ("a.ts", &[(3, Rule::NoDuration)]),
        ("#EXTINF:1,\n#EXTINF:2,\na.ts", &[(3, Rule::NoUri)]),
        ("#EXTINF:1,", &[(3, Rule::NoUri)]),
        ("#EXT-X-MEDIA-SEQUENCE:-5", &[(3, Rule::Value("EXT-X-MEDIA-SEQUENCE"))]),
        ("#EXT-X-BYTERANGE:5\n#EXTINF:1,\na.ts", &[(5, Rule::RangeWithoutOffset)]),
        ("#EXT-X-KEY:URI=\"k\"", &[(3, Rule::Attribute("EXT-X-KEY", "METHOD"))]),
        ("#EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:04:05", &[(3, Rule::NoZone)]),
        ("#EXT-X-STREAM-INF:BANDWIDTH=1\nv.m3u8", &[(0, Rule::Mixed)]),
    ];
    for (tail, expected) in cases {
        assert_eq!(media(&format!("{head}{tail}")).1, expected, "{tail}");
    }
    let (list, findings) = media("#EXTM3U\n#EXTINF:3,\na.ts\n#EXTINF:x,\nb.ts");
    assert_eq!(findings, [(4, Rule::Duration), (0, Rule::NoTargetDuration)]);
    assert_eq!(list.target, secs(3.0));
    assert_eq!(list.segments[1].duration, secs(3.0), "an unreadable duration is the target's");
}

#[test]
fn what_is_no_playlist_is_told_from_what_is() {
    let cases: [(&[u8], Option<Rule>); 6] = [
        (b"<!DOCTYPE html><html>", Some(Rule::Html)),
        (b"", Some(Rule::NoExtM3u)),
        (b"\x47\x40\x00", Some(Rule::NoExtM3u)),
        (b"#EXTM3U8\n", Some(Rule::NoExtM3u)),
        (b"\n#EXTM3U\n", Some(Rule::NoExtM3u)),
        (b"#EXTM3U \n#EXT-X-TARGETDURATION:1", None),
    ];
    for (bytes, expected) in cases {
        let reading = read(bytes);
        assert_eq!(reading.broken().map(|found| found.rule), expected, "{bytes:?}");
        assert_eq!(reading.playlist.is_none(), expected.is_some());
    }
}

#[test]
fn a_byte_order_mark_and_latin_1_are_found_but_read() {
    let reading = read(
        b"\xef\xbb\xbf#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,Caf\xe9\nd\xe9.ts\n#EXTINF:2,\xe9\nb.ts",
    );
    let rules: Vec<_> = reading.findings.iter().map(|found| (found.line, found.rule)).collect();
    assert_eq!(rules, [(1, Rule::ByteOrderMark), (3, Rule::NotUtf8)]);
    assert_eq!(reading.broken(), None);
    let Some(Playlist::Media(list)) = reading.playlist else { panic!() };
    assert_eq!(list.segments[0].uri, "d\u{e9}.ts");
    assert_eq!(list.segments.len(), 2);
}

#[test]
fn times_are_read_in_the_forms_that_encoders_write() {
    for (text, millis) in [
        ("2026-01-02T03:04:05.500Z", 1_767_323_045_500),
        ("2026-01-02T03:04:05.500+0000", 1_767_323_045_500),
        ("2026-01-02T04:04:05.5+01:00", 1_767_323_045_500),
        ("2026-01-02T03:04:05.500", 1_767_323_045_500),
    ] {
        let (list, _) = media(&format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-PROGRAM-DATE-TIME:{text}\n#EXTINF:4,\na.ts"
        ));
        let found = list.segments[0].programme_date_time;
        assert_eq!(found, Some(WallTime::from_unix_millis(millis)), "{text}");
    }
}

#[test]
fn a_master_list_is_read_whole() {
    let reading = read(
        b"#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",LANGUAGE=\"en\",URI=\"en.m3u8\"\n\
          #EXT-X-MEDIA:TYPE=AUDIO\n\
          #EXT-X-STREAM-INF:BANDWIDTH=2000000,CODECS=\"avc1.64001f, mp4a.40.2\",RESOLUTION=1280x720,AUDIO=\"a\"\n\
          v/720.m3u8\n#EXT-X-STREAM-INF:AVERAGE-BANDWIDTH=1\nlow.m3u8\n#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"i\"",
    );
    let Some(Playlist::Master(master)) = &reading.playlist else { panic!("{reading:?}") };
    assert_eq!(
        master.variants[0],
        Variant {
            uri: "v/720.m3u8".to_owned(),
            bandwidth: Bitrate::from_bps(2_000_000),
            codecs: Some("avc1.64001f,mp4a.40.2".to_owned()),
            resolution: Some((1280, 720)),
            audio: Some("a".to_owned()),
        }
    );
    assert_eq!((master.variants.len(), master.renditions.len()), (2, 1));
    assert_eq!(master.renditions[0].uri.as_deref(), Some("en.m3u8"));
    let rules: Vec<_> = reading.findings.iter().map(|found| found.rule).collect();
    assert_eq!(
        rules,
        [
            Rule::Attribute("EXT-X-MEDIA", "GROUP-ID"),
            Rule::Attribute("EXT-X-STREAM-INF", "BANDWIDTH")
        ]
    );
}

#[test]
fn a_list_without_end_keeps_its_newest_segments() {
    let mut text = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:7\n".to_owned();
    let count = MAX_SEGMENTS + 10;
    for number in 0..count {
        let _ = write!(text, "#EXTINF:1,\n{number}.ts\n");
    }
    let (list, findings) = media(&text);
    assert_eq!(list.segments.len(), MAX_SEGMENTS);
    assert_eq!(list.edge(), 7 + count as u64);
    assert_eq!(list.segments.back().unwrap().uri, format!("{}.ts", count - 1));
    assert_eq!(findings, [(0, Rule::TooLong(MAX_SEGMENTS))]);
    let bad = "#EXTM3U\n".to_owned() + &"#EXTINF:x,\n".repeat(1000);
    assert_eq!(read(bad.as_bytes()).findings.len(), MAX_FINDINGS);
}

/// A good list, as text and as what it means.
fn good_list() -> impl Strategy<Value = (String, Vec<MediaSegment>, u64, bool)> {
    let segment = (
        "[a-z]{1,8}\\.ts",
        0u64..6_400,
        any::<bool>(),
        proptest::option::of((0u64..1 << 40, 1u64..1 << 30)),
    );
    let segments = proptest::collection::vec(segment, 1..20);
    (segments, 0u64..1 << 60, any::<bool>(), prop_oneof![Just("\n"), Just("\r\n")]).prop_map(
        |(segments, sequence, ended, eol)| {
            let mut text = format!("#EXTM3U{eol}#EXT-X-VERSION:4{eol}#EXT-X-TARGETDURATION:6{eol}");
            let _ = write!(text, "#EXT-X-MEDIA-SEQUENCE:{sequence}{eol}");
            let mut expected = Vec::new();
            for (place, (uri, millis, discontinuity, range)) in (0..).zip(segments) {
                let millis = millis.max(1);
                if discontinuity {
                    let _ = write!(text, "#EXT-X-DISCONTINUITY{eol}");
                }
                if let Some((offset, length)) = range {
                    let _ = write!(text, "#EXT-X-BYTERANGE:{length}@{offset}{eol}");
                }
                let (whole, rest) = (millis / 1000, millis % 1000);
                let _ = write!(text, "#EXTINF:{whole}.{rest:03},{eol}{uri}{eol}");
                expected.push(MediaSegment {
                    uri,
                    sequence: sequence + place,
                    duration: Duration::from_millis(millis),
                    discontinuity,
                    programme_date_time: None,
                    encryption: None,
                    mapped: false,
                    gap: false,
                    range: range.map(|(offset, length)| ByteRange { offset, length }),
                });
            }
            if ended {
                let _ = write!(text, "#EXT-X-ENDLIST{eol}");
            }
            (text, expected, sequence, ended)
        },
    )
}

proptest! {
    #[test]
    fn no_bytes_panic_and_findings_stay_bounded(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        lines in proptest::collection::vec(
            "(#EXT(INF|-X-(BYTERANGE|KEY|MAP|GAP|MEDIA|STREAM-INF|TARGETDURATION|MEDIA-SEQUENCE|\
             DISCONTINUITY|ENDLIST|PROGRAM-DATE-TIME|VERSION)):)?[0-9@.,=\"A-Z \\xff-]{0,20}",
            0..40,
        ),
    ) {
        let _ = read(&bytes);
        let text = format!("#EXTM3U\n{}", lines.join("\n"));
        let reading = read(text.as_bytes());
        prop_assert!(reading.playlist.is_some());
        prop_assert!(reading.findings.len() <= MAX_FINDINGS);
    }

    #[test]
    fn good_lists_read_back_as_written((text, segments, sequence, ended) in good_list()) {
        let reading = read(text.as_bytes());
        prop_assert_eq!(&reading.findings, &[]);
        let Some(Playlist::Media(list)) = reading.playlist else { panic!() };
        prop_assert_eq!(list.segments, segments);
        prop_assert_eq!((list.sequence, list.ended), (sequence, ended));
    }

    /// m3u8-rs reads good lists well; where both read, both must agree.
    #[test]
    fn good_lists_mean_the_same_to_another_reader((text, _, _, _) in good_list()) {
        let Ok(theirs) = m3u8_rs::parse_media_playlist_res(text.as_bytes()) else {
            panic!("the oracle refuses {text}")
        };
        let Some(Playlist::Media(ours)) = read(text.as_bytes()).playlist else { panic!() };
        prop_assert_eq!(ours.sequence, theirs.media_sequence);
        prop_assert_eq!(ours.ended, theirs.end_list);
        prop_assert_eq!(ours.target.as_secs(), theirs.target_duration);
        prop_assert_eq!(ours.segments.len(), theirs.segments.len());
        for (our, their) in ours.segments.iter().zip(&theirs.segments) {
            prop_assert_eq!(&our.uri, &their.uri);
            prop_assert!((our.duration.as_secs_f32() - their.duration).abs() < 0.001);
            prop_assert_eq!(our.discontinuity, their.discontinuity);
            let range = their.byte_range.as_ref().map(|range| (range.offset, range.length));
            prop_assert_eq!(our.range.map(|range| (Some(range.offset), range.length)), range);
        }
    }
}
