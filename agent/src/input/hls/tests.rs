use std::{collections::BTreeMap, fmt::Write as _};

use proptest::prelude::*;

use super::*;
use crate::input::Phases;

const TARGET: u64 = 2_000;
const WINDOW: u64 = 5;
/// When the test begins: the origin has been running for 100 s.
const BEGIN: u64 = 100_000;

fn at(millis: u64) -> MonoTime {
    MonoTime::ZERO + Duration::from_millis(millis)
}

fn millis(at: MonoTime) -> u64 {
    at.as_nanos() / 1_000_000
}

fn url(path: &str) -> StreamUrl {
    StreamUrl::new(url::Url::parse("http://h/live/").unwrap().join(path).unwrap()).unwrap()
}

/// The list of a healthy live origin at a moment: five segments of 2 s.
fn live(now: u64) -> String {
    list(now / TARGET - WINDOW, WINDOW)
}

fn list(sequence: u64, count: u64) -> String {
    let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{sequence}\n");
    for number in sequence..sequence + count {
        let _ = write!(text, "#EXTINF:2.0,\n{number}.ts\n");
    }
    text
}

type Answer = Result<String, FetchError>;

/// Plays a server: `answer` gets each request's moment and path, and says what comes 50 ms later.
struct Play<F> {
    session: HlsSession,
    now: u64,
    answers: BTreeMap<(u64, u32), HlsInput>,
    count: u32,
    answer: F,
    playlists: Vec<(u64, String)>,
    events: Vec<InputEvent>,
}

impl<F: FnMut(u64, &str) -> Answer> Play<F> {
    fn new(purpose: Purpose, answer: F) -> Self {
        let session = HlsSession::new(url("x.m3u8"), purpose, at(BEGIN));
        let (answers, playlists, events) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { session, now: BEGIN, answers, count: 0, answer, playlists, events }
    }

    fn run(mut self, millis_to_run: u64) -> Self {
        let end = self.now + millis_to_run;
        self.session.handle_deadline(at(self.now));
        for _ in 0..100_000 {
            while let Some(output) = self.session.poll() {
                self.take(output);
            }
            let answer = self.answers.keys().next().copied();
            let deadline = self.session.deadline().map(|at| (at.as_nanos().div_ceil(1_000_000), 0));
            let Some(next) = answer.into_iter().chain(deadline).min().filter(|next| next.0 <= end)
            else {
                return self;
            };
            self.now = self.now.max(next.0);
            match self.answers.remove(&next) {
                Some(input) => self.session.handle(at(self.now), input),
                None => self.session.handle_deadline(at(self.now)),
            }
        }
        panic!("the session is busy without end");
    }

    fn take(&mut self, output: HlsOutput) {
        let fetch = Duration::from_millis(50);
        let input = match output {
            HlsOutput::Event(event) => return self.events.push(event),
            HlsOutput::FetchPlaylist(from) => {
                let path = from.reveal().path().to_owned();
                self.playlists.push((self.now, path.clone()));
                let body = (self.answer)(self.now, &path);
                let answer = |body: String| PlaylistAnswer {
                    url: from,
                    phases: Phases::default(),
                    body: body.into(),
                };
                HlsInput::Playlist(body.map(answer))
            }
            HlsOutput::FetchSegment { url, .. } => {
                let result = (self.answer)(self.now, url.reveal().path());
                HlsInput::Segment { fetch, result: result.map(Into::into) }
            }
        };
        self.count += 1;
        self.answers.insert((self.now + 50, self.count), input);
    }

    fn segments(&self) -> Vec<(u64, bool)> {
        self.events
            .iter()
            .filter_map(|event| match event {
                InputEvent::Segment { sequence, discontinuity, .. } => {
                    Some((*sequence, *discontinuity))
                }
                _ => None,
            })
            .collect()
    }

    /// Conditions as (seconds since the beginning, kind, holds).
    fn conditions(&self) -> Vec<(u64, FaultKind, bool)> {
        self.events
            .iter()
            .filter_map(|event| match event {
                InputEvent::Condition { at, kind, holds, .. } => {
                    Some((millis(*at).saturating_sub(BEGIN) / 1000, *kind, *holds))
                }
                _ => None,
            })
            .collect()
    }

    fn evidence(&self, wanted: FaultKind) -> &str {
        self.events
            .iter()
            .find_map(|event| match event {
                InputEvent::Condition { kind, holds: true, evidence, .. } if *kind == wanted => {
                    Some(evidence.as_str())
                }
                _ => None,
            })
            .unwrap_or_else(|| panic!("no {wanted}: {:?}", self.events))
    }

    fn end(&self) -> Option<&Option<String>> {
        self.events.iter().find_map(|event| match event {
            InputEvent::End { error, .. } => Some(error),
            _ => None,
        })
    }
}

fn is_list(path: &str) -> bool {
    path.ends_with(".m3u8")
}

fn healthy(now: u64, path: &str) -> Answer {
    Ok(if is_list(path) { live(now) } else { "media".to_owned() })
}

#[test]
fn a_healthy_stream_is_followed_from_its_newest_segment_without_a_condition() {
    let play = Play::new(Purpose::Watch, healthy).run(60_000);
    let newest = BEGIN / TARGET - 1;
    let sequences: Vec<u64> = play.segments().iter().map(|(sequence, _)| *sequence).collect();
    let expected: Vec<u64> = (newest..newest + 30).collect();
    assert_eq!(sequences, expected, "each once, in order, from the newest on");
    assert_eq!(play.conditions(), []);
    assert!(matches!(play.events[1], InputEvent::Opened { .. }), "{:?}", play.events[1]);
    // Once a target duration while it changes: 31 loads, and some more if a load came just before a change.
    assert!((30..=40).contains(&play.playlists.len()), "{}", play.playlists.len());
}

#[test]
fn a_list_that_stands_still_is_stale_when_players_run_dry_and_no_sooner() {
    // It stands still from 20 s to 40 s; the last change is seen at about 20 s.
    let stuck = |now: u64, path: &str| {
        let now =
            if (BEGIN + 20_000..BEGIN + 40_000).contains(&now) { BEGIN + 20_000 } else { now };
        healthy(now, path)
    };
    let play = Play::new(Purpose::Watch, stuck).run(60_000);
    let conditions = play.conditions();
    let stale: Vec<_> =
        conditions.iter().filter(|(_, kind, _)| *kind == FaultKind::PlaylistStale).collect();
    let [(begin, _, true), (end, _, false)] = stale[..] else { panic!("{conditions:?}") };
    assert!((26..=28).contains(begin), "{conditions:?}");
    assert!((40..=42).contains(end), "{conditions:?}");
    assert!(play.evidence(FaultKind::PlaylistStale).contains("with a target duration of 2 s"));
    let stall = conditions.iter().find(|(_, kind, _)| *kind == FaultKind::Stall);
    assert!(stall.is_some_and(|(at, _, holds)| *holds && (24..=28).contains(at)), "{conditions:?}");
    // Half the target duration while nothing changes (RFC 8216, 6.3.4).
    let still = play.playlists.iter().filter(|(at, _)| (123_000..139_000).contains(at)).count();
    assert!((15..=17).contains(&still), "{still}");
}

#[test]
fn one_segment_that_comes_late_is_no_fault() {
    let mut failed = 0;
    let late = move |now: u64, path: &str| {
        if path.ends_with("/55.ts") && failed < 1 {
            failed += 1;
            return Err(FetchError::Status(404));
        }
        healthy(now, path)
    };
    let play = Play::new(Purpose::Watch, late).run(40_000);
    assert_eq!(play.conditions(), []);
    let (numbers, failed): (Vec<u64>, usize) = (
        play.segments().iter().map(|(sequence, _)| *sequence).collect(),
        play.events
            .iter()
            .filter(|event| matches!(event, InputEvent::Request { failed: true, .. }))
            .count(),
    );
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{numbers:?}");
    assert_eq!(failed, 1);
}

#[test]
fn a_listed_segment_that_cannot_be_fetched_twice_is_missing_until_one_can() {
    let gone = |now: u64, path: &str| match path {
        "/live/55.ts" => Err(FetchError::Status(404)),
        "/live/58.ts" => Err(FetchError::Truncated),
        _ => healthy(now, path),
    };
    let play = Play::new(Purpose::Watch, gone).run(40_000);
    let kinds: Vec<_> = play.conditions().iter().map(|(_, kind, holds)| (*kind, *holds)).collect();
    let missing = FaultKind::SegmentMissing;
    assert_eq!(kinds, [(missing, true), (missing, false), (missing, true), (missing, false)]);
    assert_eq!(play.evidence(missing), "segment 55: HTTP 404");
    let numbers: Vec<u64> = play.segments().iter().map(|(sequence, _)| *sequence).collect();
    assert!(!numbers.contains(&55) && numbers.contains(&56) && !numbers.contains(&58));
}

#[test]
fn discontinuities_pass_on_even_across_a_missing_segment() {
    let cut = |now: u64, path: &str| {
        if path.ends_with("/57.ts") {
            return Err(FetchError::Status(500));
        }
        let text = healthy(now, path)?;
        let text = text.replace("#EXTINF:2.0,\n53.ts", "#EXT-X-DISCONTINUITY\n#EXTINF:2.0,\n53.ts");
        Ok(text.replace("#EXTINF:2.0,\n57.ts", "#EXT-X-DISCONTINUITY\n#EXTINF:2.0,\n57.ts"))
    };
    let play = Play::new(Purpose::Watch, cut).run(40_000);
    let marked: Vec<u64> =
        play.segments().iter().filter(|(_, marked)| *marked).map(|(number, _)| *number).collect();
    assert_eq!(marked, [53, 58]);
}

#[test]
fn an_old_copy_from_a_cache_changes_nothing_but_an_origin_begun_anew_is_followed() {
    let old_copy = |now: u64, path: &str| {
        let old = (BEGIN + 10_000..BEGIN + 12_500).contains(&now);
        healthy(if old { BEGIN + 4_000 } else { now }, path)
    };
    let play = Play::new(Purpose::Watch, old_copy).run(40_000);
    assert_eq!(play.conditions(), []);
    let numbers: Vec<u64> = play.segments().iter().map(|(sequence, _)| *sequence).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{numbers:?}");

    let anew = |now: u64, path: &str| {
        if is_list(path) && now >= BEGIN + 20_000 {
            let count = (now - BEGIN - 20_000) / TARGET + 1;
            return Ok(list(count.saturating_sub(WINDOW), count.min(WINDOW)));
        }
        healthy(now, path)
    };
    let play = Play::new(Purpose::Watch, anew).run(40_000);
    let invalid: Vec<_> = play
        .conditions()
        .into_iter()
        .filter(|(_, kind, _)| *kind == FaultKind::PlaylistInvalid)
        .map(|(_, _, holds)| holds)
        .collect();
    assert_eq!(invalid, [true, false]);
    let evidence = play.evidence(FaultKind::PlaylistInvalid);
    assert_eq!(evidence, "media sequence went back from 59 to 1");
    let begun_anew: Vec<_> = play.segments().into_iter().filter(|(_, anew)| *anew).collect();
    assert_eq!(begun_anew, [(1, true)]);
    assert_eq!(play.segments().last().map(|(number, _)| *number), Some(9));
}

#[test]
fn a_recording_is_read_once_by_a_probe_and_an_ended_channel_is_stale_to_a_watch() {
    let recording = |_: u64, path: &str| {
        Ok(if is_list(path) { list(3, 20) + "#EXT-X-ENDLIST" } else { "media".to_owned() })
    };
    let play = Play::new(Purpose::Probe, recording).run(600_000);
    let numbers: Vec<u64> = play.segments().iter().map(|(sequence, _)| *sequence).collect();
    assert_eq!(numbers, (3..23).collect::<Vec<_>>());
    assert_eq!(play.end(), Some(&None));
    assert_eq!((play.conditions(), play.playlists.len()), (vec![], 1));

    let ends = |now: u64, path: &str| {
        let ended = is_list(path) && (BEGIN + 10_000..BEGIN + 20_000).contains(&now);
        Ok(healthy(now, path)? + if ended { "#EXT-X-ENDLIST" } else { "" })
    };
    let play = Play::new(Purpose::Watch, ends).run(40_000);
    let kinds: Vec<_> = play.conditions().iter().map(|(_, kind, holds)| (*kind, *holds)).collect();
    assert_eq!(kinds, [(FaultKind::PlaylistStale, true), (FaultKind::PlaylistStale, false)]);
    assert_eq!(play.evidence(FaultKind::PlaylistStale), "ended by EXT-X-ENDLIST");
    assert_eq!(play.end(), None);
}

#[test]
fn what_is_no_playlist_is_named_and_ends_a_probe_alone() {
    let cases = [
        (
            Ok("<html>".to_owned()),
            FaultKind::HttpError,
            "playlist is a web page (HTML), not a playlist",
        ),
        (
            Ok("garbage".to_owned()),
            FaultKind::PlaylistInvalid,
            "line 1: does not begin with #EXTM3U",
        ),
        (
            Ok("#EXTM3U\n#EXTINF:4,\na".to_owned()),
            FaultKind::PlaylistInvalid,
            "has no EXT-X-TARGETDURATION",
        ),
        (Err(FetchError::Refused), FaultKind::Unreachable, "playlist: connection refused"),
        (Err(FetchError::Status(404)), FaultKind::HttpError, "playlist: HTTP 404"),
        (
            Ok("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nx.m3u8".to_owned()),
            FaultKind::PlaylistInvalid,
            "a variant is itself a master playlist",
        ),
    ];
    for (answer, kind, evidence) in cases {
        let bad = |now: u64, path: &str| {
            if now < BEGIN + 15_000 && is_list(path) { answer.clone() } else { healthy(now, path) }
        };
        let play = Play::new(Purpose::Watch, bad).run(40_000);
        assert_eq!(play.evidence(kind), evidence);
        let conditions = play.conditions();
        let ends =
            conditions.iter().any(|(at, found, holds)| *found == kind && !holds && *at >= 15);
        assert!(ends, "{conditions:?}");
        let tries = play.playlists.iter().filter(|(at, _)| *at < BEGIN + 15_000).count();
        assert!(tries <= 16, "{kind}: {tries} tries in 15 s");
        assert!(play.segments().len() > 5);
        if kind != FaultKind::PlaylistInvalid || evidence.starts_with("line 1") {
            let play = Play::new(Purpose::Probe, bad).run(40_000);
            assert!(matches!(play.end(), Some(Some(_))), "{kind}: {:?}", play.end());
        }
    }
}

#[test]
fn the_master_is_asked_again_when_its_variant_fails_for_good() {
    let moved = |now: u64, path: &str| match path {
        "/live/x.m3u8" => {
            let name = if now < BEGIN + 10_000 { "old" } else { "new" };
            Ok(format!("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv/{name}.m3u8"))
        }
        "/live/v/old.m3u8" if now >= BEGIN + 10_000 => Err(FetchError::Status(403)),
        _ => healthy(now, path),
    };
    let play = Play::new(Purpose::Watch, moved).run(40_000);
    let last = play.playlists.last().map(|(_, path)| path.as_str());
    assert_eq!(last, Some("/live/v/new.m3u8"));
    assert_eq!(play.evidence(FaultKind::HttpError), "playlist: HTTP 403");
    let numbers: Vec<u64> = play.segments().iter().map(|(sequence, _)| *sequence).collect();
    assert_eq!(numbers.last(), Some(&68));
}

#[test]
fn what_cannot_be_judged_is_said() {
    let encrypted = |now: u64, path: &str| {
        Ok(healthy(now, path)?.replacen(
            "#EXTINF",
            "#EXT-X-KEY:METHOD=AES-128,URI=\"k\"\n#EXTINF",
            1,
        ))
    };
    let play = Play::new(Purpose::Watch, encrypted).run(20_000);
    assert_eq!(play.evidence(FaultKind::Scrambled), "segments are encrypted (AES-128)");
    assert_eq!(play.segments(), []);

    let fragmented = |now: u64, path: &str| {
        Ok(healthy(now, path)?.replacen("#EXTINF", "#EXT-X-MAP:URI=\"i\"\n#EXTINF", 1))
    };
    let play = Play::new(Purpose::Watch, fragmented).run(20_000);
    assert!(matches!(play.end(), Some(Some(why)) if why.contains("fragmented MP4")));
    assert_eq!(play.session.deadline(), None);
}

#[test]
fn sound_that_has_a_playlist_of_its_own_is_said_to_be_elsewhere() {
    let group = |uri: &str| format!("#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"x\"{uri}\n");
    let (own, inside) = (group(",URI=\"a.m3u8\""), group(""));
    let subtitles = "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"a\",URI=\"s.m3u8\"\n".to_owned();
    let both = format!("{own}{inside}");
    for (media, elsewhere) in [(own, true), (inside, false), (both, false), (subtitles, false)] {
        let master = |now: u64, path: &str| match path {
            "/live/x.m3u8" => Ok(format!(
                "#EXTM3U\n{media}#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"a\"\nv/list.m3u8"
            )),
            _ => healthy(now, path),
        };
        let play = Play::new(Purpose::Watch, master).run(10_000);
        let places: Vec<SoundPlace> = play
            .events
            .iter()
            .filter_map(|event| match event {
                InputEvent::Sound { place, .. } => Some(*place),
                _ => None,
            })
            .collect();
        let expected: &[SoundPlace] = if elsewhere { &[SoundPlace::Elsewhere] } else { &[] };
        assert_eq!(places, expected, "{media}");
        assert!(play.segments().len() > 3);
    }
}

/// A host without a free core: for 12 s nobody looks after the stream, and every request comes late.
#[test]
fn what_this_host_was_too_late_for_is_neither_a_stall_nor_stale() {
    let mut play = Play::new(Purpose::Watch, healthy).run(20_000);
    let answers = std::mem::take(&mut play.answers);
    assert!(answers.len() <= 2);
    play.now += 12_000;
    play.session.missed(Duration::from_millis(11_900));
    for input in answers.into_values() {
        play.session.handle(at(play.now), input);
    }
    let play = play.run(20_000);
    assert_eq!(play.conditions(), []);
}

#[test]
fn parts_of_segments_to_come_are_passed_over() {
    let low_latency = |now: u64, path: &str| {
        let text = healthy(now, path)?;
        if !is_list(path) {
            return Ok(text);
        }
        let head = "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.0\n\
                    #EXT-X-PART-INF:PART-TARGET=0.33\n#EXTINF";
        Ok(text.replacen("#EXTINF", head, 1)
            + "#EXT-X-PART:DURATION=0.33,URI=\"p1.ts\",INDEPENDENT=YES\n\
               #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"p2.ts\"\n")
    };
    let play = Play::new(Purpose::Watch, low_latency).run(20_000);
    assert_eq!(play.conditions(), []);
    assert!(play.segments().len() >= 10);
}

#[test]
fn a_server_slower_than_real_time_stalls_and_the_oldest_are_skipped() {
    // Each fetch takes 50 ms here, so slowness is played by a list that lists far more than can be fetched.
    let flood = |now: u64, path: &str| {
        if is_list(path) {
            return Ok(list((now - BEGIN) / 10, 200));
        }
        Ok("media".to_owned())
    };
    let play = Play::new(Purpose::Watch, flood).run(20_000);
    let numbers: Vec<u64> = play.segments().iter().map(|(sequence, _)| *sequence).collect();
    assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]));
    assert!(numbers.windows(2).any(|pair| pair[1] - pair[0] > 50), "{numbers:?}");
    assert!(play.session.queue.len() <= MAX_BEHIND);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// Whatever comes whenever: one load of each kind at a time, no busy loop, nothing after the end.
    #[test]
    fn whatever_the_server_answers_the_session_stays_orderly(
        steps in proptest::collection::vec((0u64..3_000, 0u8..9, 0u64..40), 1..120),
        probe in any::<bool>(),
    ) {
        let purpose = if probe { Purpose::Probe } else { Purpose::Watch };
        let mut session = HlsSession::new(url("x.m3u8"), purpose, at(0));
        let (mut now, mut list_under_way, mut segment_under_way, mut ended) = (0, false, false, false);
        for (wait, what, number) in steps {
            now += wait;
            let body = match what {
                0 => Some(list(number, 5)),
                1 => Some(list(number, 1) + "#EXT-X-ENDLIST"),
                2 => Some("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv.m3u8".to_owned()),
                3 => Some(list(number, 3).replacen("#EXTINF", "#EXT-X-GAP\n#EXTINF", 1)),
                4 => Some("#EXTM3U\n#EXT-X-TARGETDURATION:0\n#EXTINF:0,\na".to_owned()),
                5 => Some("nonsense".to_owned()),
                _ => None,
            };
            if list_under_way && what != 8 {
                list_under_way = false;
                let answer = body.clone().ok_or(FetchError::Refused).map(|body| PlaylistAnswer {
                    url: url("x.m3u8"), phases: Phases::default(), body: body.into(),
                });
                session.handle(at(now), HlsInput::Playlist(answer));
            } else if segment_under_way && what != 7 {
                segment_under_way = false;
                let result = body.map(Bytes::from).ok_or(FetchError::Status(404));
                session.handle(at(now), HlsInput::Segment { fetch: Duration::ZERO, result });
            } else {
                session.handle_deadline(at(now));
            }
            while let Some(output) = session.poll() {
                match output {
                    HlsOutput::FetchPlaylist(_) => {
                        prop_assert!(!std::mem::replace(&mut list_under_way, true));
                    }
                    HlsOutput::FetchSegment { .. } => {
                        prop_assert!(!std::mem::replace(&mut segment_under_way, true));
                    }
                    HlsOutput::Event(event) => {
                        prop_assert!(!ended, "after the end: {:?}", event);
                        ended |= matches!(event, InputEvent::End { .. });
                    }
                }
            }
            prop_assert!(session.deadline().is_none_or(|deadline| deadline > at(now)));
            prop_assert!(ended || list_under_way || segment_under_way || session.deadline().is_some());
        }
    }
}
