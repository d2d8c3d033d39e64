//! The programme that every clip is cut from: shots of textures that move, pan and zoom under noise, with hard cuts and a few
//! cross-fades, and sound like speech over music. Drawn from the seed; no two seeds share a shot.
//!
//! A single test pattern would not do: rules that tell a still picture from a live one have to meet slow pans, small movement,
//! dark and flat shots, all of which look different to an encoder.

use std::{
    ffi::OsStr,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::run;
use crate::sim::Dice;

/// Pictures of the programme; played at any rate, one after another.
pub(super) const PICTURES: u32 = 1_700;
/// Seconds of its sound.
pub(super) const SOUND_SECONDS: u32 = 130;
/// Samples per second of all sound.
pub(super) const SAMPLES: u32 = 48_000;
/// The programme's size; clips are scaled from it.
pub(super) const SIZE: (u32, u32) = (640, 360);
/// The programme's loudness: what EBU R128 asks for.
const LOUDNESS_LUFS: f64 = -23.0;
/// Nearly lossless and fast to decode.
const PICTURE_CODING: &str =
    "-c:v libx264 -preset ultrafast -qp 10 -g 1 -pix_fmt yuv420p -f matroska";

/// Pictures and sound of the programme of one seed.
pub(super) struct Programme {
    /// Names how both are made.
    pub(super) recipe: String,
    /// Shots, where they are not drawn.
    content: Option<PathBuf>,
    picture_graph: String,
    sound_graph: String,
    /// A video file of intra pictures, 25 a second.
    pub(super) picture: PathBuf,
    /// A WAV file, stereo.
    pub(super) sound: PathBuf,
}

impl Programme {
    /// Draws it, or takes its pictures from a file that goes round; its files are to be in this folder.
    pub(super) fn drawn(folder: &Path, seed: u64, content: Option<&Path>) -> Self {
        let mut dice = Dice::new(seed ^ 0x7E1E);
        let (drawn, sound_graph) = (picture_graph(&mut dice), sound_graph(&mut dice));
        let picture_graph = if content.is_some() { given() } else { drawn };
        let recipe = digest(&format!("{PICTURE_CODING} {content:?} {picture_graph} {sound_graph}"));
        let named = |what: &str| folder.join(format!("programme-{recipe}.{what}"));
        let (picture, sound) = (named("mkv"), named("wav"));
        let content = content.map(Path::to_owned);
        Self { recipe, content, picture_graph, sound_graph, picture, sound }
    }

    /// Makes both unless they are there.
    pub(super) fn make(&self) -> Result<()> {
        if !self.picture.exists() {
            let given = self.content.iter();
            let input = given.flat_map(|file| {
                ["-stream_loop".as_ref(), "-1".as_ref(), "-i".as_ref(), file.as_os_str()]
            });
            let graph = ["-filter_complex", &self.picture_graph, "-map", "[out]"].map(OsStr::new);
            let arguments: Vec<&OsStr> = input.chain(graph).collect();
            run::make(&arguments, PICTURE_CODING, &self.picture)
                .context("cannot make the programme's pictures")?;
        }
        if self.sound.exists() {
            return Ok(());
        }
        let raw = self.sound.with_extension("raw");
        let coding = "-c:a pcm_s16le -f wav";
        run::make(&["-f", "lavfi", "-i", &self.sound_graph], coding, &raw)
            .context("cannot make the programme's sound")?;
        let gain = format!("volume={:.2}dB", LOUDNESS_LUFS - run::loudness(&raw)?);
        let arguments = ["-i".as_ref(), raw.as_os_str(), "-af".as_ref(), gain.as_ref()];
        run::make(&arguments, coding, &self.sound)?;
        fs::remove_file(&raw).context("cannot remove what is made")
    }
}

/// A short name for how something is made.
pub(super) fn digest(made: &str) -> String {
    Sha256::digest(made).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// A filter graph that makes a programme of what a file shows.
fn given() -> String {
    let (width, height) = SIZE;
    format!(
        "[0:v:0]scale={width}:{height},setsar=1,fps=25,setpts=N/25/TB,format=yuv420p,\
         trim=end_frame={PICTURES}[out]"
    )
}

/// A filter graph of all shots, one after another, that ends in `[out]`.
fn picture_graph(dice: &mut Dice) -> String {
    let (mut graph, mut joined) = (String::new(), String::new());
    let (mut pictures, mut shots) = (0, 0);
    let mut kinds: Vec<Shot> = Vec::new();
    while pictures < u64::from(PICTURES) {
        // Every kind comes before one comes again.
        if kinds.is_empty() {
            kinds = SHOTS.to_vec();
        }
        let kind = kinds.swap_remove(dice.below(kinds.len() as u64) as usize);
        let length = 60 + dice.below(110);
        let shot = format!("s{shots}");
        let (width, height) = SIZE;
        let noise = 3 + dice.below(8);
        let body = kind(dice, &shot);
        let _ = write!(
            graph,
            "{body},trim=end_frame={length},setpts=N/25/TB,scale={width}:{height},setsar=1,\
             noise=alls={noise}:allf=t:all_seed={},format=yuv420p[{shot}];",
            dice.below(1 << 20),
        );
        let _ = write!(joined, "[{shot}]");
        pictures += length;
        shots += 1;
    }
    let _ = write!(graph, "{joined}concat=n={shots},trim=end_frame={PICTURES}[out]");
    graph
}

type Shot = fn(&mut Dice, &str) -> String;

const SHOTS: [Shot; 8] = [pan, zoom, presenter, fractal, crowd, sport, graphics, night];

/// A colour grade.
fn grade(dice: &mut Dice) -> String {
    let hue = dice.below(360);
    let saturation = 0.5 + dice.below(80) as f64 / 100.0;
    let contrast = 0.7 + dice.below(40) as f64 / 100.0;
    format!("hue=h={hue}:s={saturation:.2},eq=contrast={contrast:.2}")
}

/// One picture of 1280x720 that looks like a landscape: noise at several scales, as `[{label}]`; for [`pan`] and others to move over.
fn landscape(dice: &mut Dice, label: &str) -> String {
    let mut text = String::new();
    for (octave, (width, height)) in [(10, 6), (40, 23), (160, 90), (640, 360)].iter().enumerate() {
        // Light varies over the whole range, colour less.
        let plane = |seed: u64, least: u32, range: u32| {
            format!("{least}+{range}*mod(abs(sin(X*12.9898+Y*78.233+{seed})*43758.5453),1)")
        };
        let (y, u, v) = (dice.below(1_000), dice.below(1_000), dice.below(1_000));
        let _ = write!(
            text,
            "nullsrc=s={width}x{height}:r=25,trim=end_frame=1,format=yuv444p,\
             geq=lum='{}':cb='{}':cr='{}',scale=1280:720:flags=bicubic[{label}{octave}];",
            plane(y, 0, 255),
            plane(u, 100, 56),
            plane(v, 100, 56)
        );
    }
    let octaves: String = (0..4).map(|octave| format!("[{label}{octave}]")).collect();
    let _ = write!(text, "{octaves}mix=inputs=4:weights=9 6 3 2,eq=contrast=1.6");
    text
}

/// A landscape that the camera pans over.
fn pan(dice: &mut Dice, label: &str) -> String {
    let (landscape, grade) = (landscape(dice, label), grade(dice));
    let (right, down) = (1.0 + dice.below(20) as f64 / 10.0, dice.below(14) as f64 / 10.0);
    let sway = 2 + dice.below(8);
    format!(
        "{landscape},{grade},loop=-1:1:0,setpts=N/25/TB,\
         crop=640:360:'min(640,{right}*n+{sway}*(1+sin(n/9)))':'min(360,{down}*n+{sway}*(1+cos(n/7)))'"
    )
}

/// A landscape that the camera goes into.
fn zoom(dice: &mut Dice, label: &str) -> String {
    let (landscape, grade) = (landscape(dice, label), grade(dice));
    let speed = 0.003 + dice.below(5) as f64 / 1_000.0;
    format!(
        "{landscape},{grade},loop=-1:1:0,setpts=N/25/TB,\
         zoompan=z='1+{speed}*on':x='iw/2-iw/zoom/2':y='ih/2-ih/zoom/2':d=1:s=640x360:fps=25"
    )
}

/// Somebody who moves a little before a still background.
fn presenter(dice: &mut Dice, label: &str) -> String {
    let (landscape, grade) = (landscape(dice, label), grade(dice));
    let (at, speed) = (100 + dice.below(250), 9 + dice.below(9));
    let scale = 0.01 + dice.below(100) as f64 / 10_000.0;
    format!(
        "{landscape},{grade},scale=640:360,gblur=3,loop=-1:1:0,setpts=N/25/TB[{label}b];\
         mandelbrot=s=180x240:r=25:start_scale={scale}:end_scale={scale}:maxiter=400,setpts=N/25/TB[{label}p];\
         [{label}b][{label}p]overlay=x='{at}+24*sin(n/{speed})':y='120+7*sin(n/4)':shortest=1,\
         drawbox=x=60:y=300:w=360:h=36:color=white@0.8:t=fill"
    )
}

/// A slow flight into a fractal.
fn fractal(dice: &mut Dice, _: &str) -> String {
    let grade = grade(dice);
    // On the border, where there is something to see at every scale that is reached.
    let (x, y) = dice.pick(&[("-0.7436", "0.1318"), ("-0.1607", "1.0376"), ("-1.2500", "0.0200")]);
    format!(
        "mandelbrot=s=640x360:r=25:start_x={x}:start_y={y}:start_scale=1.2:end_scale=0.3:\
         end_pts=12:maxiter=500,{grade},eq=brightness=0.05"
    )
}

/// Many small things that all move.
fn crowd(dice: &mut Dice, _: &str) -> String {
    let (seed, mold) = (1 + dice.below(10_000), 5 + dice.below(30));
    let grade = grade(dice);
    format!(
        "life=s=320x180:mold={mold}:r=25:ratio=0.2:seed={seed}:death_color=#A04020:mold_color=#303860:\
         life_color=#D0E080,format=yuv444p,scale=640:360:flags=bilinear,{grade}"
    )
}

/// A field that is panned fast, with players.
fn sport(dice: &mut Dice, label: &str) -> String {
    let landscape = landscape(dice, label);
    let (speed, player) = (3 + dice.below(5), 16 + dice.below(16));
    format!(
        "{landscape},eq=contrast=0.5:saturation=0.4,hue=h=100,loop=-1:1:0,setpts=N/25/TB,\
         crop=640:360:'320+310*sin(n/{speed}0)':'180+40*sin(n/33)'[{label}f];\
         testsrc2=s=320x180:r=25,crop={player}:40[{label}p];\
         [{label}p]split=3[{label}x][{label}y][{label}z];\
         [{label}f][{label}x]overlay=x='300+200*sin(n/17)':y='170+60*sin(n/11)':shortest=1[{label}u];\
         [{label}u][{label}y]overlay=x='200+180*cos(n/13)':y='120+50*sin(n/19)':shortest=1[{label}v];\
         [{label}v][{label}z]overlay=x='420+120*sin(n/7)':y='200+80*cos(n/23)':shortest=1"
    )
}

/// Computer graphics: sharp edges, flat colours, running numbers.
fn graphics(dice: &mut Dice, _: &str) -> String {
    let (grade, flip) = (grade(dice), dice.pick(&["hflip", "vflip", "null"]));
    let (seed, speed) = (dice.below(1_000), 2 + dice.below(6));
    format!(
        "gradients=s=640x360:r=25:seed={seed}:n=6:speed=0.0{speed}:d=60,format=yuv444p,\
         drawbox=x='mod(4*t*25,600)':y=80:w=60:h=200:color=white@0.7:t=fill,{grade},{flip},\
         drawtext=text='%{{frame_num}}':x=40:y=40:fontsize=64:fontcolor=white"
    )
}

/// A dark scene, though nowhere near black.
fn night(dice: &mut Dice, label: &str) -> String {
    format!("{},lutyuv=y='30+val/3'", pan(dice, label))
}

/// A lavfi graph: speech-like bursts in the middle, music to both sides, never silent and never the same left and right.
fn sound_graph(dice: &mut Dice) -> String {
    let seed = dice.below(10_000);
    let root = 90 + dice.below(60);
    let music: Vec<String> = (0..2)
        .map(|side| {
            // Chords that change every two seconds; each side its own inversion.
            let notes = [(1.0, 0), (1.26, 1), (1.5, 2), (2.0, 1)].map(|(ratio, step)| {
                let pitch = root as f64 * ratio * if side == 0 { 2.0 } else { 2.998 };
                format!("sin(2*PI*{pitch:.2}*t*pow(1.1225,mod(floor(t/2)*{},5)))", step + 2 + side)
            });
            format!("0.05*({})*(0.35+0.65*exp(-2*mod(t,0.5)))", notes.join("+"))
        })
        .collect();
    format!(
        "aevalsrc='{}|{}':s={SAMPLES}:d={SOUND_SECONDS}[m];\
         anoisesrc=c=pink:a=0.5:seed={seed}:r={SAMPLES}:d={SOUND_SECONDS},bandpass=f=700:w=900,\
         volume='0.25+0.75*abs(sin(t*9)*sin(t*2.1))':eval=frame,\
         pan=stereo|c0=c0|c1=0.9*c0[v];\
         anoisesrc=c=pink:a=0.02:seed={}:r={SAMPLES}:d={SOUND_SECONDS}[l];\
         anoisesrc=c=pink:a=0.02:seed={}:r={SAMPLES}:d={SOUND_SECONDS}[r];\
         [l][r]join=inputs=2:channel_layout=stereo[n];\
         [m][v][n]amix=inputs=3:normalize=0",
        music[0],
        music[1],
        seed + 1,
        seed + 2
    )
}
