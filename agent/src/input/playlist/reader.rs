//! Reads a playlist line by line.

use std::{borrow::Cow, time::Duration};

use jiff::{Timestamp, civil, tz::TimeZone};
use tallylight_model::{Bitrate, WallTime};

use super::{
    ByteRange, Finding, MAX_FINDINGS, MAX_SEGMENTS, MAX_VARIANTS, Master, Media, MediaSegment,
    Playlist, Reading, Rendition, Rule, Variant, attribute::Attributes, not_a_playlist,
};

/// Longer than any segment can be; a larger number is a mistake, and would break time arithmetic.
const MAX_DURATION: Duration = Duration::from_secs(86_400);

/// Reads a playlist. Unknown tags are passed over, as RFC 8216, 6.3.1 demands.
#[must_use]
pub fn read(bytes: &[u8]) -> Reading {
    let (bytes, marked) = match bytes.strip_prefix(b"\xef\xbb\xbf") {
        Some(rest) => (rest, true),
        None => (bytes, false),
    };
    let mut lines = bytes.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii_end);
    if lines.next().is_none_or(|first| first != b"#EXTM3U") {
        return not_a_playlist(bytes);
    }
    let mut reader = Reader::default();
    if marked {
        reader.find(1, Rule::ByteOrderMark);
    }
    for (number, line) in (2..).zip(lines) {
        reader.line(number, line);
    }
    reader.finish()
}

#[derive(Default)]
struct Reader {
    media: Media,
    master: Master,
    findings: Vec<Finding>,
    /// Whether tags of a media or of a master playlist were seen.
    is_media: bool,
    is_master: bool,
    target: Option<Duration>,
    /// Segments read, those not kept included.
    count: u64,
    not_utf8: bool,
    too_long: bool,
    /// What the tags so far say of the next segment.
    extinf: Option<(usize, Option<Duration>)>,
    discontinuity: bool,
    gap: bool,
    range: Option<(u64, Option<u64>)>,
    date: Option<WallTime>,
    /// What holds from a tag on.
    encryption: Option<String>,
    mapped: bool,
    /// Where a range without offset would begin, and in which resource.
    follow_on: Option<(String, u64)>,
    /// The line of an `EXT-X-STREAM-INF` that waits for its URI.
    variant: Option<Variant>,
}

impl Reader {
    fn find(&mut self, line: usize, rule: Rule) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(Finding { line, rule });
        }
    }

    fn line(&mut self, number: usize, line: &[u8]) {
        let text = match std::str::from_utf8(line) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => {
                if !std::mem::replace(&mut self.not_utf8, true) {
                    self.find(number, Rule::NotUtf8);
                }
                // Nearly always Latin-1, whose bytes are the first 256 characters of Unicode.
                Cow::Owned(line.iter().map(|&byte| char::from(byte)).collect())
            }
        };
        let text = text.trim();
        match text.strip_prefix("#EXT") {
            Some(tag) => {
                let (name, value) = tag.split_once(':').unwrap_or((tag, ""));
                self.tag(number, name, value.trim());
            }
            None if text.is_empty() || text.starts_with('#') => {}
            None => self.uri(number, text),
        }
    }

    fn tag(&mut self, number: usize, name: &str, value: &str) {
        match name {
            "INF" => self.extinf(number, value),
            "-X-STREAM-INF" => self.stream_inf(number, value),
            "-X-MEDIA" => self.rendition(number, value),
            "-X-VERSION" => {
                self.media.version = self.number(number, "EXT-X-VERSION", value).unwrap_or(1);
            }
            "-X-TARGETDURATION" => {
                self.is_media = true;
                let target = decimal(value).filter(|target| *target > Duration::ZERO);
                if target.is_none() {
                    self.find(number, Rule::Value("EXT-X-TARGETDURATION"));
                }
                self.target = target;
            }
            "-X-MEDIA-SEQUENCE" => {
                self.is_media = true;
                let sequence = self.number(number, "EXT-X-MEDIA-SEQUENCE", value);
                self.media.sequence = sequence.unwrap_or(0);
            }
            "-X-DISCONTINUITY-SEQUENCE" => {
                let sequence = self.number(number, "EXT-X-DISCONTINUITY-SEQUENCE", value);
                self.media.discontinuity_sequence = sequence.unwrap_or(0);
            }
            "-X-ENDLIST" => {
                self.is_media = true;
                self.media.ended = true;
            }
            "-X-DISCONTINUITY" => {
                self.discontinuity = true;
                self.date = None;
            }
            "-X-GAP" => self.gap = true,
            "-X-KEY" => self.key(number, value),
            "-X-MAP" => self.mapped = true,
            "-X-BYTERANGE" => {
                self.range = byte_range(value);
                if self.range.is_none() {
                    self.find(number, Rule::Value("EXT-X-BYTERANGE"));
                }
            }
            "-X-PROGRAM-DATE-TIME" => self.date(number, value),
            _ => {}
        }
    }

    fn number<T: std::str::FromStr>(
        &mut self,
        line: usize,
        tag: &'static str,
        value: &str,
    ) -> Option<T> {
        let number = value.parse().ok();
        if number.is_none() {
            self.find(line, Rule::Value(tag));
        }
        number
    }

    fn extinf(&mut self, number: usize, value: &str) {
        self.is_media = true;
        if let Some((line, _)) = self.extinf {
            self.find(line, Rule::NoUri);
        }
        let (duration, _title) = value.split_once(',').unwrap_or_else(|| {
            self.find(number, Rule::NoComma);
            (value, "")
        });
        let duration = decimal(duration.trim());
        if duration.is_none() {
            self.find(number, Rule::Duration);
        }
        self.extinf = Some((number, duration));
    }

    fn key(&mut self, number: usize, value: &str) {
        self.encryption = match Attributes::get(value, "METHOD") {
            Some("NONE") => None,
            Some(method) => Some(method.to_owned()),
            None => {
                self.find(number, Rule::Attribute("EXT-X-KEY", "METHOD"));
                None
            }
        };
    }

    fn date(&mut self, number: usize, value: &str) {
        self.date = if let Ok(moment) = value.parse::<Timestamp>() {
            Some(WallTime::from_unix_millis(moment.as_millisecond()))
        } else if let Ok(local) = value.parse::<civil::DateTime>() {
            self.find(number, Rule::NoZone);
            let moment = local.to_zoned(TimeZone::UTC).ok();
            moment.map(|moment| WallTime::from_unix_millis(moment.timestamp().as_millisecond()))
        } else {
            self.find(number, Rule::Value("EXT-X-PROGRAM-DATE-TIME"));
            None
        };
    }

    fn stream_inf(&mut self, number: usize, value: &str) {
        self.is_master = true;
        let get = |name| Attributes::get(value, name);
        let bandwidth = get("BANDWIDTH").and_then(|bandwidth| bandwidth.parse().ok());
        if bandwidth.is_none() {
            self.find(number, Rule::Attribute("EXT-X-STREAM-INF", "BANDWIDTH"));
        }
        self.variant = Some(Variant {
            uri: String::new(),
            bandwidth: Bitrate::from_bps(bandwidth.unwrap_or(0)),
            codecs: get("CODECS").map(|codecs| codecs.replace(' ', "")),
            resolution: get("RESOLUTION").and_then(|resolution| {
                let (width, height) = resolution.split_once(['x', 'X'])?;
                Some((width.parse().ok()?, height.parse().ok()?))
            }),
            audio: get("AUDIO").map(str::to_owned),
        });
    }

    fn rendition(&mut self, number: usize, value: &str) {
        self.is_master = true;
        let get = |name| Attributes::get(value, name).map(str::to_owned);
        let (Some(kind), Some(group)) = (get("TYPE"), get("GROUP-ID")) else {
            let lacks = if get("TYPE").is_none() { "TYPE" } else { "GROUP-ID" };
            return self.find(number, Rule::Attribute("EXT-X-MEDIA", lacks));
        };
        if self.master.renditions.len() >= MAX_VARIANTS {
            return self.too_long(MAX_VARIANTS);
        }
        let rendition = Rendition { kind, group, language: get("LANGUAGE"), uri: get("URI") };
        self.master.renditions.push(rendition);
    }

    fn uri(&mut self, number: usize, uri: &str) {
        if let Some(variant) = self.variant.take() {
            if self.master.variants.len() >= MAX_VARIANTS {
                return self.too_long(MAX_VARIANTS);
            }
            self.master.variants.push(Variant { uri: uri.to_owned(), ..variant });
            return;
        }
        let duration = match self.extinf.take() {
            Some((_, duration)) => duration,
            None => {
                if !self.is_master {
                    self.find(number, Rule::NoDuration);
                }
                None
            }
        };
        if let (Some(duration), Some(target)) = (duration, self.target)
            && duration >= target + Duration::from_millis(500)
        {
            self.find(number, Rule::OverTarget);
        }
        let range = self.resolve_range(number, uri);
        let date = self.date.take();
        // A duration of zero stands for the target duration, which may come on a later line.
        let duration = duration.unwrap_or_default();
        self.date = date.map(|date| {
            let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
            WallTime::from_unix_millis(date.unix_millis().saturating_add(millis))
        });
        self.media.segments.push_back(MediaSegment {
            uri: uri.to_owned(),
            sequence: self.count,
            duration,
            discontinuity: std::mem::take(&mut self.discontinuity),
            programme_date_time: date,
            encryption: self.encryption.clone(),
            mapped: self.mapped,
            gap: std::mem::take(&mut self.gap),
            range,
        });
        self.count += 1;
        if self.media.segments.len() > MAX_SEGMENTS {
            self.media.segments.pop_front();
            self.too_long(MAX_SEGMENTS);
        }
    }

    fn too_long(&mut self, limit: usize) {
        if !std::mem::replace(&mut self.too_long, true) {
            self.find(0, Rule::TooLong(limit));
        }
    }

    fn resolve_range(&mut self, number: usize, uri: &str) -> Option<ByteRange> {
        let follow_on = self.follow_on.take().filter(|(resource, _)| resource == uri);
        let (length, offset) = self.range.take()?;
        let Some(offset) = offset.or(follow_on.map(|(_, end)| end)) else {
            self.find(number, Rule::RangeWithoutOffset);
            return None;
        };
        self.follow_on = Some((uri.to_owned(), offset.saturating_add(length)));
        Some(ByteRange { offset, length })
    }

    fn finish(mut self) -> Reading {
        if let Some((line, _)) = self.extinf {
            self.find(line, Rule::NoUri);
        }
        if self.is_media && self.is_master {
            self.find(0, Rule::Mixed);
        }
        if self.is_master && !self.is_media {
            let playlist = Some(Playlist::Master(self.master));
            return Reading { playlist, findings: self.findings };
        }
        if self.target.is_none() {
            self.find(0, Rule::NoTargetDuration);
        }
        let longest = || self.media.segments.iter().map(|segment| segment.duration).max();
        self.media.target = self.target.or_else(longest).unwrap_or_default();
        self.media.version = self.media.version.max(1);
        // The sequence tag may stand anywhere before the first segment, and some writers put it later.
        for segment in &mut self.media.segments {
            segment.sequence = segment.sequence.saturating_add(self.media.sequence);
            if segment.duration.is_zero() {
                segment.duration = self.media.target;
            }
        }
        Reading { playlist: Some(Playlist::Media(self.media)), findings: self.findings }
    }
}

/// A decimal number of seconds: digits and at most one point (RFC 8216, 4.2), up to a day.
fn decimal(text: &str) -> Option<Duration> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let seconds: f64 = text.parse().ok().filter(|_| plain)?;
    Duration::try_from_secs_f64(seconds).ok().filter(|duration| *duration <= MAX_DURATION)
}

/// `length[@offset]`.
fn byte_range(value: &str) -> Option<(u64, Option<u64>)> {
    match value.split_once('@') {
        Some((length, offset)) => Some((length.parse().ok()?, Some(offset.parse().ok()?))),
        None => Some((value.parse().ok()?, None)),
    }
}
