//! Clips with a fault in them.

use std::ops::Range;

use tallylight_model::Severity;

use super::{
    clip::{Clip, shown},
    coding::{Format, Rate, Sound, Video},
    damage::Blow,
    slates,
    truth::{Expected, Kind},
};

/// Every coding that a fault of the picture is shown in.
const CODINGS: [(Video, Format, Sound); 8] = [
    (Video::H264, Format::SMALL, Sound::Aac),
    (Video::H264Filler, Format::SMALL, Sound::Mp2),
    (Video::H264Long, Format::progressive(640, 360, Rate::R50), Sound::Aac),
    (Video::H264Refresh, Format::SMALL, Sound::Aac),
    (Video::H264, Format { rate: Rate::R29_97, ..Format::PAL }, Sound::Ac3),
    (Video::Hevc, Format::progressive(640, 360, Rate::R59_94), Sound::Eac3),
    (Video::Hevc10, Format::SMALL, Sound::Aac),
    (Video::Mpeg2, Format::PAL, Sound::Mp2),
];

/// All of them.
pub(super) fn clips(seed: u64) -> Vec<Clip> {
    let mut clips = Vec::new();
    for coding in CODINGS {
        clips.extend(in_every_coding(coding, seed));
    }
    clips.extend(covered(seed));
    clips.extend(standing(seed));
    clips.extend(sound(seed));
    clips.extend(coded_sound(seed));
    clips.extend(level(seed));
    clips.extend(damaged(seed));
    clips.extend(changed(seed));
    clips
}

/// What one picture of each kind of stream has to show.
fn in_every_coding((video, format, sound): (Video, Format, Sound), seed: u64) -> Vec<Clip> {
    let name = |what: &str| {
        let interlaced = if format.height == 576 && video == Video::H264 { "i" } else { "" };
        format!("{what}-{}{interlaced}", video.name())
    };
    let clip = |what: &str, about| {
        Clip::new(name(what), about, 28, seed).coded(video, format).heard(sound)
    };
    let mut black = clip("black", "total black for 12 s");
    let mut freeze = clip("freeze", "one picture, bit for bit, for 14 s");
    let mut noisy = clip("freeze-noise", "one picture under slight noise for 14 s");
    let (dark, still, grainy) = (black.around(7..19), freeze.around(6..20), noisy.around(6..20));
    vec![
        blackened(black, &dark),
        freeze.held(&still).is(Kind::new("freeze"), still),
        noisy.held(&grainy).filter("noise=alls=2:allf=t").is(Kind::new("freeze"), grainy),
    ]
}

fn blackened(clip: Clip, pictures: &Range<u32>) -> Clip {
    clip.filter(&filled(pictures, "black")).is(Kind::new("black"), pictures.clone())
}

/// A filter that fills these pictures with one colour.
fn filled(pictures: &Range<u32>, colour: &str) -> String {
    format!("drawbox=t=fill:color={colour}:enable='{}'", shown(pictures))
}

/// Something else in place of the programme.
fn covered(seed: u64) -> Vec<Clip> {
    let clip = |name: &str, about| Clip::new(name, about, 28, seed);
    let mut logo = clip("black-logo", "black with a logo in the corner for 12 s");
    let large = Format::progressive(3_840, 2_160, Rate::R25);
    let uhd = |name: &str, about, video| Clip::new(name, about, 14, seed).coded(video, large);
    let mut uhd_black = uhd("black-2160", "total black for 6 s in 2160p", Video::H264);
    let mut uhd_still = uhd("freeze-2160", "one picture for 7 s in 2160p", Video::Hevc10);
    let (dark, still) = (uhd_black.around(3..9), uhd_still.around(3..10));
    let mut short =
        clip("black-short", "total black for 3 s: a fault for those who asked for short holds");
    let mut blank = clip("blank-blue", "one blue colour for 12 s");
    let mut grey = clip("blank-grey", "one grey colour for 12 s").coded(Video::Mpeg2, Format::PAL);
    let mut bars = clip("bars-hd", "colour bars of SMPTE RP 219 for 12 s");
    let mut pal = clip("bars-pal", "colour bars of EBU for 12 s").coded(Video::Mpeg2, Format::PAL);
    let mut slate = clip("slate-failure", "a known slate that means failure for 12 s");
    let mut sd = clip("slate-failure-sd", "the same, scaled down and coded coarsely")
        .coded(Video::Mpeg2, Format { height: 576, width: 720, ..Format::SMALL });
    let failure = slates::file("failure");
    let [a, b, c, d, e, f, g, h] =
        [&mut logo, &mut short, &mut blank, &mut grey, &mut bars, &mut pal, &mut slate, &mut sd]
            .map(|clip| clip.around(8..20));
    let b = b.start..b.start + short.picture(3.0);
    let bar = |kind: &str, clip: &Clip| {
        let Format { width, height, rate, .. } = clip.format();
        format!("{kind}=s={width}x{height}:r={rate}")
    };
    let (rp219, ebu) = (bar("smptehdbars", &bars), bar("pal75bars", &pal));
    vec![
        blackened(logo, &a).filter("drawbox=x=560:y=20:w=56:h=28:color=white:t=fill"),
        blackened(short, &b),
        blackened(uhd_black, &dark),
        uhd_still.held(&still).is(Kind::new("freeze"), still),
        blank.filter(&filled(&c, "0x1020C0")).is(Kind::new("blank"), c),
        grey.filter(&filled(&d, "0x808080")).is(Kind::new("blank"), d),
        bars.covered(&e, &rp219).is(Kind::new("bars"), e),
        pal.covered(&f, &ebu).is(Kind::new("bars"), f),
        slate.covered_by_image(&g, &failure).is(Kind::new("slate"), g).expects(Expected::slates()),
        sd.covered_by_image(&h, &failure).is(Kind::new("slate"), h).expects(Expected::slates()),
    ]
}

/// A programme that does not go on.
fn standing(seed: u64) -> Vec<Clip> {
    let mut long = Clip::new("freeze-34s", "one picture for 34 s: critical", 50, seed);
    let still = long.around(7..41);
    let mut twice =
        Clip::new("black-then-freeze", "black for 8 s, later one picture for 12 s", 45, seed);
    let (dark, held) = (twice.around(6..14), twice.around(24..36));
    let mut ticker = Clip::new(
        "partial-freeze",
        "one picture for 18 s under a ticker that goes on: worth knowing, no more",
        30,
        seed,
    );
    let under = ticker.around(6..24);
    let mut looped = Clip::new("loop-3s", "the same 3 s fourteen times", 56, seed);
    let first = looped.around(6..9);
    let mut hevc = Clip::new("loop-5s-hevc", "the same 5 s eight times", 56, seed)
        .coded(Video::Hevc, Format::SMALL);
    let pass = hevc.around(6..11);
    vec![
        long.held(&still).is(Kind::new("freeze"), still),
        blackened(twice.held(&held).is(Kind::new("freeze"), held), &dark),
        with_ticker(ticker.held(&under)).is(Kind::new("partial_freeze"), under),
        repeated(looped, &first, 14),
        repeated(hevc, &pass, 8),
    ]
}

/// Lays a line of moving text over the lowest tenth.
pub(super) fn with_ticker(clip: Clip) -> Clip {
    let Format { width, height, .. } = clip.format();
    let top = height * 9 / 10;
    clip.filter(&format!(
        "drawbox=x=0:y={top}:w={width}:h={height}:color=navy:t=fill,\
         drawtext=text='Breaking news from the harbour +++ markets close higher +++ rain in the north +++ \
         the cup goes to extra time +++ trains run late in the west':fontcolor=white:fontsize={}:\
         y={top}+4:x='{width}-mod(3*n,{width}*3)'",
        height / 16
    ))
}

/// Shows the same pictures several times over.
fn repeated(clip: Clip, first: &Range<u32>, times: u32) -> Clip {
    let length = first.len() as u32;
    let pass = clip.seconds(&(0..length)).end;
    let end = first.start + length * times;
    let again = times - 1;
    clip.filter(&format!("loop=loop={again}:size={length}:start={},setpts=N", first.start))
        // Where the first pass began is for nobody to know: only the second is a repetition.
        .roughly(Kind::new("loop"), first.start..end, pass)
}

/// Sound that is wrong for long.
fn sound(seed: u64) -> Vec<Clip> {
    let clip = |name: &str, about, seconds| Clip::new(name, about, seconds, seed);
    let mut silent = clip("silence", "digital silence for 13 s", 26);
    let mut long = clip("silence-33s", "digital silence for 33 s: critical", 46);
    let mut both = clip("freeze-and-silence", "one picture without sound for 7 s", 22);
    let mut second = clip(
        "secondary-silence",
        "a second language that is silent for 64 s: no more than worth knowing",
        76,
    );
    let mut radio = clip("radio-silence", "radio over a black picture, silent for 13 s", 26);
    let [a, b, c, d, e] = [
        silent.around(6..19),
        long.around(6..39),
        both.around(6..13),
        second.around(6..70),
        radio.around(6..19),
    ];
    let (heard, quiet) = (second.picture_seconds(), second.seconds(&d));
    let both = both.held(&c).is(Kind::new("freeze"), c.clone()).roughly(
        Kind::new("freeze_and_silence"),
        c.clone(),
        heard,
    );
    let whole = 0..radio.pictures();
    let radio = radio.filter(&filled(&whole, "black")).expects(Expected::lineup("kind = 'radio'"));
    let mut clips = vec![
        silenced(silent, &a),
        silenced(long, &b),
        silenced(both, &c),
        second.beside(quiet.clone()).sounds(Kind::new("secondary_silence"), quiet, heard),
        silenced(radio, &e),
    ];
    for wrong in WRONG {
        let mut clip = clip(wrong.name, wrong.about, 52);
        let at = clip.around(7..43);
        clips.push(wrong.plant(clip, &at, wrong.kind));
    }
    let mut stereo = clip("mono-instead", "mono for 36 s where the lineup says stereo", 52);
    let at = stereo.around(7..43);
    let told = Kind::new("mono");
    clips.push(MONO.plant(stereo, &at, told).expects(Expected::lineup("sound_layout = 'stereo'")));
    clips
}

/// A way for left and right to be wrong.
#[derive(Clone, Copy)]
struct Wrong {
    name: &'static str,
    about: &'static str,
    kind: Kind,
    tolerance_seconds: f64,
    /// What left and right become, of `L`, `R` and the time `t`.
    sides: [&'static str; 2],
}

const MONO: Wrong = Wrong {
    name: "mono",
    about: "the same on both sides for 36 s",
    kind: Kind::informational("mono"),
    tolerance_seconds: 0.1,
    sides: ["(L+R)/2", "(L+R)/2"],
};

const WRONG: [Wrong; 5] = [
    Wrong {
        name: "dead-channel",
        about: "nothing on the right for 36 s",
        kind: Kind::new("dead_channel"),
        tolerance_seconds: 0.04,
        sides: ["L", "0"],
    },
    MONO,
    Wrong {
        name: "out-of-phase",
        about: "one side turned around for 36 s",
        kind: Kind::new("out_of_phase"),
        tolerance_seconds: 0.1,
        sides: ["(L+R)/2", "-(L+R)/2"],
    },
    Wrong {
        name: "tone-1khz",
        about: "a tone of 1 kHz at -18 dBFS for 36 s",
        kind: Kind::new("tone"),
        tolerance_seconds: 0.1,
        sides: ["0.1259*sin(2*PI*1000*t)", "0.1259*sin(2*PI*1000*t)"],
    },
    Wrong {
        name: "clipping",
        about: "sound driven to full scale for 36 s",
        kind: Kind::informational("clipping"),
        // Speech pauses, and then nothing is cut off.
        tolerance_seconds: 0.5,
        sides: ["clip(12*L,-1,1)", "clip(12*R,-1,1)"],
    },
];

impl Wrong {
    fn plant(self, clip: Clip, pictures: &Range<u32>, kind: Kind) -> Clip {
        let seconds = clip.seconds(pictures);
        let change = |[left, right]: &[String; 2]| {
            // No function has a capital letter, nor has what the programme's samples are called.
            self.sides.map(|side| side.replace('L', left).replace('R', right))
        };
        clip.sample(pictures, change).sounds(kind, seconds, self.tolerance_seconds)
    }
}

/// Everything that sound can be, for 12 s each, in every codec: long enough for short holds.
fn coded_sound(seed: u64) -> Vec<Clip> {
    let codecs = [Sound::Aac, Sound::Latm, Sound::Mp2, Sound::Ac3, Sound::Eac3];
    codecs.map(|sound| all_wrong(sound, seed)).into()
}

fn all_wrong(sound: Sound, seed: u64) -> Clip {
    let about = "silence, a dead channel, mono, opposed phase, a tone, clipping, for 12 s each";
    let mut clip = Clip::new(format!("sound-{}", sound.name()), about, 100, seed).heard(sound);
    let at = clip.around(4..16);
    let mut clip = silenced(clip, &at);
    for (wrong, second) in WRONG.into_iter().zip([20, 36, 52, 68, 84]) {
        let at = clip.around(second..second + 12);
        clip = wrong.plant(clip, &at, wrong.kind);
    }
    // At full scale speech has hardly a difference left, and a tone has none.
    clip.allows("mono", Severity::Info)
}

/// Takes both channels away.
fn silenced(clip: Clip, pictures: &Range<u32>) -> Clip {
    let (seconds, picture) = (clip.seconds(pictures), clip.picture_seconds());
    let zero = |_: &[String; 2]| ["0", "0"].map(str::to_owned);
    clip.sample(pictures, zero).sounds(Kind::new("silence"), seconds, picture)
}

/// Sound of a wrong level, and too little of it.
fn level(seed: u64) -> Vec<Clip> {
    let low = Clip::new("loudness-low", "sound 9 LU below what EBU R128 asks for", 76, seed);
    let missing =
        Clip::new("track-missing", "English alone where German is promised as well", 20, seed);
    let (quiet, all) = (0..low.pictures(), missing.seconds(&(0..missing.pictures())));
    let whole = low.seconds(&quiet);
    let asked = "loudness = 'r128'\nloudness_window = '1min'".to_owned();
    vec![
        // A minute is the shortest window.
        low.sample(&quiet, |sides| sides.clone().map(|it| format!("0.355*{it}")))
            .expects(Expected { profile: asked, ..Expected::default() })
            .sounds(Kind::new("loudness"), whole.start + 60.0..whole.end, 1.0),
        missing
            .expects(Expected::lineup("audio = [{ language = 'eng' }, { language = 'deu' }]"))
            .sounds(Kind::new("track_missing"), all, 2.0),
    ]
}

/// Pictures whose bytes are lost or wrong.
fn damaged(seed: u64) -> Vec<Clip> {
    let mut clips = Vec::new();
    for (video, format) in
        [(Video::H264, Format::SMALL), (Video::Hevc, Format::SMALL), (Video::Mpeg2, Format::PAL)]
    {
        let clip = |what: &str, about| {
            Clip::new(format!("{what}-{}", video.name()), about, 30, seed).coded(video, format)
        };
        let lost = clip("lost", "one packet lost in an I, a P and a B picture")
            .allows("decode_errors", Severity::Critical);
        let lost = [('I', 4.0), ('P', 12.5), ('B', 21.0)]
            .into_iter()
            .fold(lost, |lost, (picture, seconds)| lost.hit(Blow::Lost { picture, seconds }));
        let garbled = clip("garbled", "bytes of all pictures are wrong for 4 s")
            .hit(Blow::Garbled { seconds: (9.0, 13.0) });
        clips.push(lost);
        // Of HEVC the decoder says nothing: there is nothing to hold it to.
        clips.extend(Some(garbled).filter(|_| video != Video::Hevc));
    }
    clips
}

/// Pictures that come to be coded in another way.
fn changed(seed: u64) -> Vec<Clip> {
    let small = Format::SMALL;
    let wide = Format::progressive(720, 576, Rate::R25);
    let stated = "picture = { codec = 'h264', width = 640, height = 360, frame_rate = '25', \
                  scan = 'progressive' }";
    [
        ("format-size", "720x576 instead of 640x360 from 9 s on", Video::H264, wide),
        ("format-codec", "HEVC instead of H.264 from 9 s on", Video::Hevc, small),
        (
            "format-scan",
            "fields instead of whole pictures, and 720x576, from 9 s on",
            Video::H264,
            Format::PAL,
        ),
        ("format-codec-sd", "MPEG-2 instead of H.264 from 9 s on", Video::Mpeg2, small),
    ]
    .into_iter()
    .map(|(name, about, video, format)| {
        let clip = Clip::new(name, about, 20, seed).heard(Sound::Mp2);
        let (from, all) = (clip.picture(9.0), clip.pictures());
        clip.then(from, video, format)
            .roughly(Kind::new("format_change"), from..all, 2.0)
            .expects(Expected::lineup(stated))
    })
    .collect()
}
