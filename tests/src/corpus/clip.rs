//! One clip as it is described: a stretch of the programme, what is done to picture and sound, and what is true of it for that.
//! Each step says what it does and what follows, so that no truth is written by hand.

use std::{collections::BTreeMap, ffi::OsString, fs, ops::Range, path::Path};

use anyhow::{Context, Result, ensure};
use tallylight_model::Severity;

use super::{
    coding::{Format, Rate, Scan, Sound, Video},
    cue,
    damage::Blow,
    programme::{self, Programme},
    run, stream,
    truth::{Event, Expected, Kind, Truth},
};
use crate::{sim::Dice, world::scan::Scan as StreamScan};

/// Raised when the same description comes to make something else.
const VERSION: u32 = 2;

/// A clip to be made.
#[derive(Debug)]
pub(super) struct Clip {
    pub(super) name: String,
    about: &'static str,
    trap: bool,
    format: Format,
    video: Video,
    sound: Sound,
    /// How many pictures it has.
    pictures: u32,
    /// Its pictures as a filter graph; the last label is `v{pads}`.
    graph: String,
    pads: u32,
    /// Images beside programme and sound, by file name within the corpus' folder.
    images: Vec<String>,
    /// Left and right sample as expressions of ffmpeg.
    samples: [String; 2],
    conditions: Vec<Condition>,
    allowed: BTreeMap<String, String>,
    expected: Option<Expected>,
    blows: Vec<Blow>,
    /// When a second sound, the same in German, is silent.
    beside: Option<Range<f64>>,
    /// Pictures of a break that cues announce.
    announced: Option<Range<u32>>,
    /// From a picture on it is coded so.
    later: Option<(u32, Video, Format)>,
    dice: Dice,
}

/// Something that is true between two times from the first picture on.
#[derive(Debug)]
struct Condition {
    kind: Kind,
    at: Place,
    tolerance_seconds: f64,
}

#[derive(Debug)]
enum Place {
    Pictures(Range<u32>),
    Seconds(Range<f64>),
}

impl Clip {
    /// A stretch of the programme, unharmed.
    pub(super) fn new(
        name: impl Into<String>,
        about: &'static str,
        seconds: u32,
        seed: u64,
    ) -> Self {
        let name = name.into();
        let salt = name.bytes().fold(seed, |salt, byte| salt.wrapping_mul(31) + u64::from(byte));
        Self {
            name,
            about,
            trap: false,
            format: Format::SMALL,
            video: Video::H264,
            sound: Sound::Aac,
            pictures: seconds * 25,
            graph: String::new(),
            pads: 0,
            images: Vec::new(),
            samples: ["val(0)".to_owned(), "val(1)".to_owned()],
            conditions: Vec::new(),
            allowed: BTreeMap::new(),
            expected: None,
            blows: Vec::new(),
            beside: None,
            announced: None,
            later: None,
            dice: Dice::new(salt),
        }
    }

    /// How it is coded; before any step, since their pictures are counted at its rate.
    pub(super) fn coded(mut self, video: Video, format: Format) -> Self {
        let seconds = f64::from(self.pictures) * self.format.rate.picture_seconds();
        (self.video, self.format) = (video, format);
        self.pictures = self.picture(seconds);
        self
    }

    /// How its sound is coded.
    pub(super) const fn heard(mut self, sound: Sound) -> Self {
        self.sound = sound;
        self
    }

    /// Says that it is made to mislead.
    pub(super) const fn trap(mut self) -> Self {
        self.trap = true;
        self
    }

    /// The picture at this many seconds.
    pub(super) fn picture(&self, seconds: f64) -> u32 {
        (seconds / self.format.rate.picture_seconds()).round() as u32
    }

    /// Pictures between these seconds, moved by up to a second so that they keep no step with any group of pictures.
    pub(super) fn around(&mut self, seconds: Range<u32>) -> Range<u32> {
        let moved = self.dice.below(u64::from(self.format.rate.0 / self.format.rate.1)) as u32;
        let [from, to] = [seconds.start, seconds.end].map(|at| self.picture(f64::from(at)));
        from + moved..to + moved
    }

    /// Adds one filter.
    pub(super) fn filter(mut self, filter: &str) -> Self {
        let next = self.pads + 1;
        self.graph += &format!("[v{}]{filter}[v{next}];", self.pads);
        self.pads = next;
        self
    }

    /// Lays what a source makes over the picture.
    pub(super) fn over(mut self, source: &str, options: &str) -> Self {
        let next = self.pads + 1;
        self.graph +=
            &format!("{source}[o{next}];[v{}][o{next}]overlay={options}[v{next}];", self.pads);
        self.pads = next;
        self
    }

    /// Covers the picture with what a source makes.
    pub(super) fn covered(self, pictures: &Range<u32>, source: &str) -> Self {
        let options = format!("enable='{}':shortest=1", shown(pictures));
        self.over(source, &options)
    }

    /// Covers it with one of the folder's images, scaled.
    pub(super) fn covered_by_image(mut self, pictures: &Range<u32>, file: &str) -> Self {
        let Format { width, height, .. } = self.format;
        self.images.push(file.to_owned());
        let source = format!("[{}:v]scale={width}:{height},setsar=1", 1 + self.images.len());
        self.covered(pictures, &source)
    }

    /// Shows one picture from `pictures.start` on instead of going on.
    pub(super) fn held(self, pictures: &Range<u32>) -> Self {
        let again = pictures.len() - 1;
        self.filter(&format!("loop=loop={again}:size=1:start={},setpts=N", pictures.start))
    }

    /// Says what is true of these pictures.
    pub(super) fn is(self, kind: Kind, pictures: Range<u32>) -> Self {
        let tolerance = self.format.rate.picture_seconds();
        self.condition(kind, Place::Pictures(pictures), tolerance)
    }

    /// Says what is true of the sound between these seconds, to `tolerance_seconds`.
    pub(super) fn sounds(self, kind: Kind, seconds: Range<f64>, tolerance_seconds: f64) -> Self {
        self.condition(kind, Place::Seconds(seconds), tolerance_seconds)
    }

    /// Says what is true of these pictures, to `tolerance_seconds`.
    pub(super) fn roughly(self, kind: Kind, pictures: Range<u32>, tolerance_seconds: f64) -> Self {
        self.condition(kind, Place::Pictures(pictures), tolerance_seconds)
    }

    fn condition(mut self, kind: Kind, at: Place, tolerance_seconds: f64) -> Self {
        self.conditions.push(Condition { kind, at, tolerance_seconds });
        self
    }

    /// Says what may be told besides, and as what at most.
    pub(super) fn allows(mut self, kind: &str, worst: Severity) -> Self {
        self.allowed.insert(kind.to_owned(), worst.name().to_owned());
        self
    }

    /// Says what the lineup says.
    pub(super) fn expects(mut self, expected: Expected) -> Self {
        self.expected = Some(expected);
        self
    }

    /// Changes the samples heard during these pictures: what left and right then are, by what they were.
    pub(super) fn sample(
        mut self,
        pictures: &Range<u32>,
        change: impl Fn(&[String; 2]) -> [String; 2],
    ) -> Self {
        let Range { start, end } = self.seconds(pictures);
        let [left, right] = change(&self.samples);
        let heard = format!("gte(t,{start:.6})*lt(t,{end:.6})");
        let [old_left, old_right] = &self.samples;
        self.samples =
            [format!("if({heard},{left},{old_left})"), format!("if({heard},{right},{old_right})")];
        self
    }

    /// Adds the same sound in German, silent between these seconds.
    pub(super) const fn beside(mut self, silent: Range<f64>) -> Self {
        self.beside = Some(silent);
        self
    }

    /// Harms pictures.
    pub(super) fn hit(mut self, blow: Blow) -> Self {
        self.blows.push(blow);
        self
    }

    /// Announces these pictures as a break, by splice commands.
    pub(super) fn announced(mut self, pictures: &Range<u32>) -> Self {
        self.announced = Some(pictures.clone());
        self
    }

    /// Codes what follows from a picture on in another way. For clips without steps, whose sizes would be the first format's.
    pub(super) const fn then(mut self, from: u32, video: Video, format: Format) -> Self {
        self.later = Some((from, video, format));
        self
    }

    /// When pictures are shown, from the first one on.
    pub(super) fn seconds(&self, pictures: &Range<u32>) -> Range<f64> {
        let picture = self.format.rate.picture_seconds();
        f64::from(pictures.start) * picture..f64::from(pictures.end) * picture
    }

    /// How long one picture is shown.
    pub(super) fn picture_seconds(&self) -> f64 {
        self.format.rate.picture_seconds()
    }

    pub(super) const fn format(&self) -> Format {
        self.format
    }

    pub(super) const fn pictures(&self) -> u32 {
        self.pictures
    }

    pub(super) const fn dice(&mut self) -> &mut Dice {
        &mut self.dice
    }

    /// Whether it is in a folder already, made from the same programme in the same way.
    pub(super) fn is_made(&self, folder: &Path, programme: &Programme) -> bool {
        let text = fs::read_to_string(folder.join(format!("{}.json", self.name)));
        let truth = text.ok().and_then(|text| serde_json::from_str::<Truth>(&text).ok());
        truth.is_some_and(|truth| truth.recipe == self.recipe(programme))
    }

    fn recipe(&self, programme: &Programme) -> String {
        let first = self.video.arguments(self.format);
        let later = self.later.map(|(_, video, format)| video.arguments(format));
        let made = format!("{VERSION} {} {first} {later:?} {self:?}", programme.recipe);
        programme::digest(&made)
    }

    /// Encodes it and writes its truth beside it.
    pub(super) fn make(mut self, folder: &Path, programme: &Programme, seed: u64) -> Result<Truth> {
        let file = folder.join(format!("{}.ts", self.name));
        let recipe = self.recipe(programme);
        self.encode(&file, folder, programme).with_context(|| self.name.clone())?;
        let mut data = fs::read(&file)?;
        let scan = StreamScan::of(&data);
        let first_picture_seconds = stream::first_picture_seconds(&scan)
            .with_context(|| format!("{} has no clock or no pictures", self.name))?;
        let units = scan.pids.get(&stream::VIDEO).map_or(&[][..], |pid| &pid.units);
        let (name, shown, pictures) = (&self.name, units.len(), self.pictures);
        ensure!(shown == pictures as usize, "{name}: {shown} pictures instead of {pictures}");
        let mut events: Vec<Event> =
            self.conditions.iter().map(|it| self.event(it, first_picture_seconds)).collect();
        for blow in &self.blows {
            events.push(blow.strike(&file, &mut data, &scan)?);
        }
        if let Some(pictures) = &self.announced {
            let first = units.iter().map(|unit| unit.pts).min().unwrap_or_default();
            let Range { start, end } = self.seconds(pictures);
            let pts = |seconds: f64| first + (seconds * 90_000.0).round() as u64;
            data = cue::announced(&data, &scan, pts(start)..pts(end));
        }
        fs::write(&file, data).with_context(|| format!("cannot write {}", file.display()))?;
        events.sort_by(|a, b| a.onset_seconds.total_cmp(&b.onset_seconds));
        let truth = self.truth(seed, recipe, first_picture_seconds, events);
        let text = serde_json::to_string_pretty(&truth)? + "\n";
        fs::write(folder.join(format!("{}.json", truth.clip)), text)?;
        Ok(truth)
    }

    fn encode(&mut self, file: &Path, folder: &Path, programme: &Programme) -> Result<()> {
        let Some((from, video, format)) = self.later else {
            let part = Part { pictures: 0..self.pictures, video: self.video, format: self.format };
            return run::make(&self.arguments(&part, folder, programme), "-f mpegts", file);
        };
        // Both are drawn from the same dice, so that the programme goes on.
        let dice = self.dice.clone();
        let part = Part { pictures: 0..from, video: self.video, format: self.format };
        run::make(&self.arguments(&part, folder, programme), "-f mpegts", file)?;
        self.dice = dice;
        let part = Part { pictures: from..self.pictures, video, format };
        let second = file.with_extension("second");
        let begins = self.seconds(&(0..from)).end;
        let coding = format!("-output_ts_offset {begins} -tables_version 1 -f mpegts");
        run::make(&self.arguments(&part, folder, programme), &coding, &second)?;
        let mut data = fs::read(file)?;
        stream::join(&mut data, &fs::read(&second)?);
        fs::write(file, data)?;
        fs::remove_file(&second).context("cannot remove what was joined")
    }

    fn truth(self, seed: u64, recipe: String, first: f64, events: Vec<Event>) -> Truth {
        let Format { width, height, rate, scan } = self.format;
        let scan = if scan == Scan::Progressive { "p" } else { "i" };
        let coding =
            format!("{} {width}x{height}{scan} {rate}, {}", self.video.name(), self.sound.name());
        Truth {
            clip: self.name,
            about: self.about.to_owned(),
            coding,
            seed,
            recipe,
            trap: self.trap,
            pictures: self.pictures,
            picture_seconds: rounded(rate.picture_seconds()),
            first_picture_seconds: rounded(first),
            events,
            allowed: self.allowed,
            expected: self.expected,
        }
    }

    fn event(&self, condition: &Condition, first: f64) -> Event {
        let (seconds, pictures) = match &condition.at {
            Place::Pictures(pictures) => (self.seconds(pictures), Some(pictures)),
            Place::Seconds(seconds) => (seconds.clone(), None),
        };
        let whole = f64::from(self.pictures) * self.format.rate.picture_seconds();
        let ends = seconds.end < whole - 1e-6;
        let length_ms = ((seconds.end - seconds.start) * 1e3).round() as u64;
        Event {
            kind: condition.kind.name.to_owned(),
            onset_seconds: rounded(first + seconds.start),
            end_seconds: ends.then(|| rounded(first + seconds.end)),
            onset_picture: pictures.map(|pictures| pictures.start),
            end_picture: pictures.map(|pictures| pictures.end),
            severity: condition.kind.severities(length_ms),
            acts: condition.kind.acts().to_owned(),
            tolerance_seconds: rounded(condition.tolerance_seconds),
        }
    }

    fn arguments(&mut self, part: &Part, folder: &Path, programme: &Programme) -> Vec<OsString> {
        let rate = self.format.rate;
        let whole = f64::from(self.pictures) * rate.picture_seconds();
        let later = self.later.map_or(Scan::Progressive, |(.., format)| format.scan);
        let interlaced = [self.format.scan, later] != [Scan::Progressive; 2];
        let per_picture = if interlaced { 2 } else { 1 };
        let spare = programme::PICTURES.saturating_sub(self.pictures * per_picture);
        let drawn = self.dice.below(u64::from(spare) + 1) as u32;
        let from = f64::from(drawn + part.pictures.start * per_picture) / 25.0;
        let spare = programme::SOUND_SECONDS - whole.ceil() as u32;
        let heard = self.seconds(&part.pictures);
        let heard_from = self.dice.below(u64::from(spare) + 1) as f64 + heard.start;
        let mut arguments: Vec<OsString> =
            ["-stream_loop", "-1", "-ss", &from.to_string(), "-i"].map(OsString::from).into();
        arguments.push(programme.picture.clone().into());
        arguments.extend(["-ss", &heard_from.to_string(), "-i"].map(OsString::from));
        arguments.push(programme.sound.clone().into());
        for image in &self.images {
            let looped = ["-loop", "1", "-framerate", &rate.to_string(), "-i"];
            arguments.extend(looped.map(OsString::from));
            arguments.push(folder.join(image).into());
        }
        // Negative decoding stamps are no harm in a transport stream, and the first picture of each is at the same stamp.
        let beside = match self.beside {
            Some(_) => "-map [beside] -metadata:s:a:1 language=deu",
            None => "",
        };
        let coding = format!(
            "-map [picture] -map [sound] {beside} -r {} {} {} -metadata:s:a:0 language=eng \
             -avoid_negative_ts disabled",
            part.format.rate,
            part.video.arguments(part.format),
            self.sound.arguments(),
        );
        let graph = self.whole_graph(part, heard.end - heard.start);
        arguments.extend(["-filter_complex", &graph].map(OsString::from));
        arguments.extend(coding.split_ascii_whitespace().map(OsString::from));
        arguments
    }

    fn whole_graph(&self, part: &Part, seconds: f64) -> String {
        let Format { width, height, rate: Rate(pictures, per), scan } = part.format;
        let tick = |times: u32| format!("settb={per}/{},setpts=N", pictures * times);
        let scale = format!("scale={width}:{height},setsar=1");
        // Scaled noise is soft; a little of the picture's own size goes on top.
        let grain = if height > 360 { ",noise=alls=3:allf=t" } else { "" };
        let begin = match scan {
            Scan::Progressive => format!("{},{scale}{grain}", tick(1)),
            Scan::Interlaced | Scan::LowerFirst => {
                let (order, first) =
                    if scan == Scan::Interlaced { ("top", "tff") } else { ("bottom", "bff") };
                format!(
                    "{},{scale}{grain},tinterlace=interleave_{order},{},setfield={first}",
                    tick(2),
                    tick(1)
                )
            }
        };
        let beside = self.beside.as_ref().map_or_else(String::new, |silent| {
            let (from, to) = (silent.start, silent.end);
            format!(
                ";[1:a]atrim=end={seconds:.6},volume=0:enable='between(t,{from:.6},{to:.6})'[beside]"
            )
        });
        let [left, right] = &self.samples;
        format!(
            "[0:v]{begin}[v0];{}[v{}]trim=end_frame={}[picture];\
             [1:a]atrim=end={seconds:.6},aeval='{left}|{right}':c=stereo,\
             aformat=channel_layouts=stereo[sound]{beside}",
            self.graph,
            self.pads,
            part.pictures.len()
        )
    }
}

/// What is coded in one way.
struct Part {
    pictures: Range<u32>,
    video: Video,
    format: Format,
}

/// ffmpeg's condition for a picture to be one of these.
pub(super) fn shown(pictures: &Range<u32>) -> String {
    format!("between(n,{},{})", pictures.start, pictures.end - 1)
}

/// To a microsecond.
pub(super) fn rounded(seconds: f64) -> f64 {
    (seconds * 1e6).round() / 1e6
}
