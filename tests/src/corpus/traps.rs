//! Clips made to mislead: nothing may be told of them but what is said here.

use tallylight_model::Severity;

use super::{
    clip::{Clip, shown},
    coding::{Format, Rate, Scan, Sound, Video},
    faults::with_ticker,
    slates,
    truth::{Expected, Kind},
};

/// All of them.
pub(super) fn clips(seed: u64) -> Vec<Clip> {
    let mut clips = dark(seed);
    clips.extend(still(seed));
    clips.extend(edited(seed));
    clips.extend(clean(seed));
    clips.extend(meant(seed));
    clips.into_iter().map(Clip::trap).collect()
}

/// Dark, and no black.
fn dark(seed: u64) -> Vec<Clip> {
    let clip = |name: &str, about, seconds| Clip::new(name, about, seconds, seed);
    let logo = "drawbox=x=560:y=20:w=56:h=28:color=white:t=fill";
    let lines =
        (0..24).map(|line| format!("Assistant number {line}")).collect::<Vec<_>>().join("\n");
    let mut fades = clip("trap-fades", "three fades through 0.6 s of black", 30);
    for second in [6, 14, 22] {
        let black = fades.around(second..second + 1).start;
        let from = format!("out:{}:20:enable='lte(n,{})'", black - 20, black + 14);
        let to = format!("in:{}:20:enable='gt(n,{})'", black + 15, black + 14);
        fades = fades.filter(&format!("fade={from},fade={to}"));
    }
    vec![
        clip("trap-dark-logo", "a dark scene that moves, with a logo", 24).filter(&format!(
            "lutyuv=y='17+val/11':u='128+(val-128)/6':v='128+(val-128)/6',{logo}"
        )),
        clip("trap-letterbox", "black above and below a wide picture", 20)
            .filter("drawbox=y=0:h=60:t=fill:color=black,drawbox=y=300:h=60:t=fill:color=black"),
        fades,
        clip("trap-credits", "white names that roll over black for 20 s", 26).filter(&format!(
            "drawbox=t=fill:color=black:enable='between(n,75,574)',\
             drawtext=text='{lines}':fontcolor=white:fontsize=22:line_spacing=14:x=(w-tw)/2:\
             y='h-1.6*(n-75)':enable='between(n,75,574)'"
        )),
    ]
}

/// Still, and no freeze.
fn still(seed: u64) -> Vec<Clip> {
    let clip = |name: &str, about, seconds| Clip::new(name, about, seconds, seed);
    let mut slate = clip("trap-short-slate", "a title card for 3 s", 20);
    let card = slate.around(8..11);
    let mut clock = clip("trap-clock", "a clock on a card that stands", 26);
    let whole = 0..clock.pictures();
    let moving =
        clip("trap-small-object", "a still shot under noise in which one small thing moves", 26);
    let all = 0..moving.pictures();
    let (x, y) = (40 + clock.dice().below(300), 60 + clock.dice().below(150));
    vec![
        slate.filter(&format!("drawbox=t=fill:color=0x203878:enable='{}'", shown(&card))).filter(
            &format!(
                "drawtext=text='The programme continues shortly':fontcolor=white:fontsize=34:\
                 x=(w-tw)/2:y=(h-th)/2:enable='{}'",
                shown(&card)
            ),
        ),
        clock
            .held(&whole)
            .filter(&format!(
                "drawbox=x={x}:y={y}:w=250:h=70:t=fill:color=black,drawtext=text='%{{eif\\:floor(t)\\:d\\:5}}':\
                 fontcolor=white:fontsize=40:x={x}+8:y={y}+14"
            ))
            .allows("partial_freeze", Severity::Info),
        moving
            .held(&all)
            .filter("noise=alls=8:allf=t")
            .over(
                "color=c=0xD0C040:s=14x14:r=25",
                "x='300+150*sin(n/20)':y='180+60*cos(n/15)':shortest=1",
            )
            .allows("partial_freeze", Severity::Info),
        clip("trap-slow-pan", "a picture that moves by one pixel in two pictures", 26)
            .held(&(0..650))
            .filter("scale=1280:720,crop=640:360:x='floor(n/2)':y=180:exact=1"),
        with_ticker(clip("trap-ticker", "a programme with a ticker", 20)),
    ]
}

/// What editors and converters do.
fn edited(seed: u64) -> Vec<Clip> {
    let clip = |name: &str, about, seconds| Clip::new(name, about, seconds, seed);
    let mut cartoon =
        clip("trap-cartoon", "drawings held for three pictures each, one of them for 2.8 s", 24)
            .filter("framestep=3,loop=loop=0:size=1,fps=25,setpts=N");
    let hold = cartoon.around(10..12);
    let hold = hold.start..hold.start + 70;
    let mut announced = clip("trap-break", "a slate of 15 s in a break that SCTE 35 announces", 34)
        .expects(Expected::slates());
    let mut unknown = clip(
        "trap-break-unknown",
        "the same with a slate that nobody knows: no more than worth knowing",
        34,
    )
    .allows("freeze", Severity::Info);
    let (card, other) = (announced.around(9..24), unknown.around(9..24));
    vec![
        announced
            .covered_by_image(&card, &slates::file("ad_fill"))
            .announced(&card)
            .is(Kind::new("placeholder"), card),
        unknown.covered_by_image(&other, &slates::file("ad_fill")).announced(&other),
        cross_fades(clip(
            "trap-cross-fades",
            "four scenes that fade into one another for 2 s each",
            24,
        )),
        cartoon.held(&hold),
        clip("trap-pullup", "24 pictures a second shown at 25: each 24th twice", 24)
            .filter("settb=1/24,setpts=N,fps=25,settb=1/25,setpts=N"),
        clip("trap-ad-twice", "an advertisement of 8 s, and again 6 s later", 32).filter(
            "split=4[p0][p1][p2][p3];[p0]trim=end_frame=300,setpts=N[q0];\
             [p1]trim=start_frame=300:end_frame=450,setpts=N[q1];\
             [p2]trim=start_frame=100:end_frame=300,setpts=N[q2];\
             [p3]trim=start_frame=450,setpts=N[q3];[q0][q1][q2][q3]concat=n=4",
        ),
        quiet(clip("trap-quiet", "sound at -50 dBFS for 15 s", 26)),
    ]
}

fn cross_fades(clip: Clip) -> Clip {
    clip.filter(
        "split=4[c0][c1][c2][c3];[c0]trim=0:8[d0];[c1]trim=9:17,setpts=PTS-STARTPTS[d1];\
         [c2]trim=4:12,setpts=PTS-STARTPTS[d2];[c3]trim=14:22,setpts=PTS-STARTPTS[d3];\
         [d0][d1]xfade=duration=2:offset=6[e0];[e0][d2]xfade=fadegrays:duration=2:offset=12[e1];\
         [e1][d3]xfade=dissolve:duration=2:offset=18,settb=1/25,setpts=N",
    )
}

fn quiet(mut clip: Clip) -> Clip {
    let at = clip.around(6..21);
    // Even noise up to 0.00548 has an RMS of 0.00316.
    let noise = ["0.00548*(2*random(0)-1)", "0.00548*(2*random(1)-1)"].map(str::to_owned);
    clip.sample(&at, |_| noise.clone())
}

/// The programme as it is, in each format.
fn clean(seed: u64) -> Vec<Clip> {
    let small = |rate| Format::progressive(640, 360, rate);
    let codings = [
        (Video::H264, Format::SMALL, Sound::Aac),
        (Video::H264Filler, small(Rate::R29_97), Sound::Ac3),
        (Video::H264Long, small(Rate::R50), Sound::Mp2),
        (Video::H264Refresh, small(Rate::R25), Sound::Eac3),
        (Video::Hevc, small(Rate::R59_94), Sound::Aac),
        (Video::Hevc10, Format::progressive(1_280, 720, Rate::R25), Sound::Aac),
        (Video::Mpeg2, Format::PAL, Sound::Mp2),
        (Video::H264, Format { width: 1_920, height: 1_080, ..Format::PAL }, Sound::Ac3),
        (Video::H264, Format { scan: Scan::LowerFirst, ..Format::PAL }, Sound::Latm),
    ];
    let clip = |(video, format, sound): (Video, Format, Sound)| {
        let order = if format.scan == Scan::LowerFirst { "-lower" } else { "" };
        let name = format!("clean-{}-{}{order}", video.name(), format.height);
        Clip::new(name, "the programme, unharmed", 20, seed).coded(video, format).heard(sound)
    };
    codings.into_iter().map(clip).collect()
}

/// Faults anywhere else, and meant where the lineup says so.
fn meant(seed: u64) -> Vec<Clip> {
    let clip = |name: &str, about, lineup| {
        Clip::new(name, about, 34, seed).expects(Expected::lineup(lineup))
    };
    let still = clip("trap-still", "one picture for 34 s on a still channel", "kind = 'still'");
    let looped = clip("trap-loop", "the same 4 s eight times on a loop channel", "kind = 'loop'");
    let radio = clip("trap-radio", "radio over a black picture", "kind = 'radio'");
    let silent =
        clip("trap-silent-film", "no sound for 34 s, as announced", "silence = 'expected'");
    let mono = clip("trap-mono", "mono, as announced", "sound_layout = 'mono'");
    let all = 0..still.pictures();
    vec![
        still.held(&all),
        looped.filter("loop=loop=-1:size=100,setpts=N"),
        radio.filter("drawbox=t=fill:color=black"),
        silent.sample(&all, |_| ["0", "0"].map(str::to_owned)),
        mono.sample(&all, |[left, _]| [left.clone(), left.clone()]),
    ]
}
