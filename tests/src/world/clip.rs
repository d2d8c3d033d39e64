//! The clips of the head-end: encoded once by ffmpeg, kept in a cache folder under the hash of their recipe.
//!
//! Pictures move and carry noise, so that bit rates are realistic; their hue goes round once in the programme, or else ffmpeg's patterns
//! would come again within seconds and be told as a loop; every clip has the same coding structure, so that any
//! can follow any other at a group's border.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use super::{
    elementary::{PictureClip, SoundClip, SoundCodec},
    programme::{Clips, Picture, Sound},
};

/// Arguments of `clips`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Folder of the clips; default is a folder of the user's cache.
    #[arg(long)]
    pub clips: Option<PathBuf>,
}

/// One channel as the head-end plays it.
#[derive(Clone, Debug)]
pub struct Channel {
    /// Its id in the lineup.
    pub id: &'static str,
    /// Its service name.
    pub name: &'static str,
    /// How its sound is coded.
    pub codec: SoundCodec,
    /// The generator of its picture.
    scene: &'static str,
    /// Pitch of its tone in hertz, which also seeds its noise.
    pitch: u32,
}

/// The four channels of the world.
pub const CHANNELS: [Channel; 4] = [
    Channel {
        id: "one",
        name: "One HD",
        codec: SoundCodec::Aac,
        scene: "testsrc2=s=640x360:r=25,hue=h=7.5*t",
        pitch: 330,
    },
    Channel {
        id: "two",
        name: "Two",
        codec: SoundCodec::Mp2,
        scene: "smptehdbars=s=640x360:r=25,scroll=h=0.004:v=0.0023,hue=h=7.5*t",
        pitch: 440,
    },
    Channel {
        id: "three",
        name: "Three",
        codec: SoundCodec::Aac,
        scene: "gradients=s=320x180:r=25:seed=3:speed=0.05:n=6:d=3600,scale=640:360,hue=h=7.5*t",
        pitch: 550,
    },
    Channel {
        id: "four",
        name: "Four",
        codec: SoundCodec::Mp2,
        scene: "testsrc2=s=640x360:r=25,hue=h=140+7.5*t,hflip,scroll=h=0.002",
        pitch: 660,
    },
];

/// Seconds of the programme; both sound frame lengths and the groups of pictures divide it.
const PROGRAMME_SECONDS: u64 = 48;
/// Raised when what is made from the same ffmpeg arguments changes.
const CACHE_VERSION: &str = "1";

/// How one file is made.
#[derive(Clone, Debug)]
struct Recipe {
    label: String,
    graph: String,
    seconds: u64,
    kind: Kind,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Picture,
    Sound(SoundCodec),
}

impl Recipe {
    fn picture(label: &str, graph: String, seconds: u64) -> Self {
        Self { label: label.to_owned(), graph, seconds, kind: Kind::Picture }
    }

    fn arguments(&self) -> Vec<String> {
        let seconds = self.seconds.to_string();
        let coding = match self.kind {
            Kind::Picture => {
                "-c:v libx264 -preset veryfast -profile:v main -pix_fmt yuv420p -threads 1 -bf 2 \
                 -b_strategy 0 -g 25 -keyint_min 25 -sc_threshold 0 -b:v 1100k -maxrate 1200k \
                 -bufsize 600k -x264-params b-pyramid=none:open-gop=0:aud=1 -f mpegts"
            }
            Kind::Sound(SoundCodec::Aac) => "-c:a aac -b:a 128k -ar 48000 -ac 2 -f adts",
            Kind::Sound(SoundCodec::Mp2) => "-c:a mp2 -b:a 128k -ar 48000 -ac 2 -f mp2",
        };
        let input = ["-f", "lavfi", "-i", &self.graph, "-t", &seconds];
        input.into_iter().chain(coding.split_ascii_whitespace()).map(str::to_owned).collect()
    }

    fn file(&self, folder: &Path) -> PathBuf {
        let mut hash = Sha256::new();
        hash.update(CACHE_VERSION);
        for argument in self.arguments() {
            hash.update(argument);
            hash.update([0]);
        }
        let digest: String =
            hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        folder.join(format!("{}-{digest}", self.label))
    }

    /// Makes the file unless it is there; a half-made one never has its name.
    fn make(&self, folder: &Path) -> Result<Made> {
        let file = self.file(folder);
        if file.exists() {
            return Ok(Made::Found);
        }
        let unfinished = file.with_extension("part");
        // It ends with this process, even where that is killed.
        let output = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", "ffmpeg"])
            .args(["-nostdin", "-hide_banner", "-loglevel", "error", "-y"])
            .args(self.arguments())
            .arg(&unfinished)
            .stdin(Stdio::null())
            .output()
            .context("cannot run ffmpeg; it is in Debian's package ffmpeg")?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("ffmpeg could not make clip {}: {}", self.label, said.trim());
        }
        fs::rename(&unfinished, &file)
            .with_context(|| format!("cannot keep {}", file.display()))?;
        Ok(Made::Encoded)
    }

    fn read(&self, folder: &Path) -> Result<Vec<u8>> {
        let file = self.file(folder);
        fs::read(&file).with_context(|| format!("cannot read clip {}", file.display()))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Made {
    Encoded,
    Found,
}

const NOISE: &str = "noise=alls=10:allf=t";

fn picture_recipe(channel: &Channel, picture: Picture) -> Option<Recipe> {
    let scene = channel.scene;
    let still = format!("{scene},trim=start_frame=100:end_frame=101,loop=-1:1:0,setpts=N/25/TB");
    let (name, graph, seconds) = match picture {
        Picture::Absent => return None,
        // The same for all channels, and so made once.
        Picture::Black => {
            return Some(Recipe::picture("black", "color=black:s=640x360:r=25".to_owned(), 8));
        }
        Picture::Dark => return Some(Recipe::picture("dark", dark_scene(), 24)),
        Picture::Normal => ("normal", format!("{scene},{NOISE}"), PROGRAMME_SECONDS),
        Picture::Frozen => ("frozen", still, 8),
        Picture::FrozenNoisy => ("frozen-noisy", format!("{still},noise=alls=2:allf=t"), 8),
        // 0.5 s down, 1.5 s of total black from 3.5 s to 5 s, 0.5 s up.
        Picture::Fade => (
            "fade",
            format!(
                "{scene},{NOISE},fade=out:st=3:d=0.5:enable='lt(t,5)',\
                 fade=in:st=5:d=0.5:enable='gte(t,5)'"
            ),
            8,
        ),
    };
    Some(Recipe::picture(&format!("{}-{name}", channel.id), graph, seconds))
}

/// Luma 18 to 38 that moves, with slight noise, and a white logo in the upper right corner.
fn dark_scene() -> String {
    "gradients=s=320x180:r=25:seed=9:speed=0.06:n=5:d=3600,scale=640:360,format=yuv420p,\
     lutyuv=y=18+val/12:u=128+(val-128)/6:v=128+(val-128)/6,noise=alls=3:allf=t,\
     drawbox=x=560:y=20:w=56:h=28:color=white:t=fill"
        .to_owned()
}

fn sound_recipe(channel: &Channel, sound: Sound) -> Option<Recipe> {
    let Channel { codec, pitch, .. } = channel;
    let (name, graph, seconds) = match sound {
        Sound::Absent => return None,
        Sound::Normal => (
            format!("{}-sound", channel.id),
            format!(
                "sine=f={pitch}:b=4:r=48000[t];anoisesrc=c=pink:a=0.2:seed={pitch}:r=48000[n];\
                 [t][n]amix=inputs=2,aformat=channel_layouts=stereo"
            ),
            PROGRAMME_SECONDS,
        ),
        Sound::Silent => ("silent".to_owned(), "anullsrc=r=48000:cl=stereo".to_owned(), 24),
        // ffmpeg's sine peaks at 1/8, which is -21 dBFS RMS, and loses 3 dB on the way to stereo.
        Sound::Quiet => (
            "quiet".to_owned(),
            "sine=f=440:r=48000,volume=-26dB,aformat=channel_layouts=stereo".to_owned(),
            20,
        ),
    };
    Some(Recipe { label: name, graph, seconds, kind: Kind::Sound(*codec) })
}

const PICTURES: [Picture; 6] = [
    Picture::Normal,
    Picture::Black,
    Picture::Frozen,
    Picture::FrozenNoisy,
    Picture::Fade,
    Picture::Dark,
];
const SOUNDS: [Sound; 3] = [Sound::Normal, Sound::Silent, Sound::Quiet];

/// The folder of clips where none is named: `tallylight/clips` in the user's cache, else in the folder for temporary files.
#[must_use]
pub fn default_folder() -> PathBuf {
    let named = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    named("XDG_CACHE_HOME")
        .or_else(|| named("HOME").map(|home| home.join(".cache")))
        .unwrap_or_else(std::env::temp_dir)
        .join("tallylight")
        .join("clips")
}

/// What [`prepare`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Prepared {
    /// Files made.
    pub encoded: usize,
    /// Files that were there.
    pub found: usize,
}

/// Encodes what is missing of the channels' clips, two files at a time. Of several processes one encodes, the others wait.
/// `told` hears how many of how many are there.
///
/// # Errors
/// The folder cannot be written, or ffmpeg is missing or fails.
pub fn prepare(
    folder: &Path,
    channels: &[Channel],
    told: impl Fn(usize, usize) + Sync,
) -> Result<Prepared> {
    fs::create_dir_all(folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let lock = fs::File::create(folder.join("lock"))?;
    lock.lock().context("cannot lock the folder of clips")?;
    // Left by a process that was killed; whoever holds the lock is the only one at work.
    for entry in fs::read_dir(folder)?.flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "part") {
            fs::remove_file(entry.path())?;
        }
    }
    let mut recipes = BTreeMap::new();
    for channel in channels {
        let pictures = PICTURES.iter().filter_map(|picture| picture_recipe(channel, *picture));
        let sounds = SOUNDS.iter().filter_map(|sound| sound_recipe(channel, *sound));
        recipes.extend(pictures.chain(sounds).map(|recipe| (recipe.file(folder), recipe)));
    }
    // The longest first, so that both workers end at about the same time.
    let mut recipes: Vec<Recipe> = recipes.into_values().collect();
    recipes.sort_by_key(|recipe| std::cmp::Reverse(recipe.seconds));
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(recipe) = recipes.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let made = recipe.make(folder);
                    let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                    done.push(made);
                    told(done.len(), recipes.len());
                }
            });
        }
    });
    let mut prepared = Prepared::default();
    for made in done.into_inner().unwrap_or_else(PoisonError::into_inner) {
        match made? {
            Made::Encoded => prepared.encoded += 1,
            Made::Found => prepared.found += 1,
        }
    }
    Ok(prepared)
}

/// Reads the clips of a channel that [`prepare`] made.
///
/// # Errors
/// A file is missing or cannot be spliced.
pub fn load(folder: &Path, channel: &Channel) -> Result<Clips> {
    let (mut pictures, mut sounds) = (BTreeMap::new(), BTreeMap::new());
    for picture in PICTURES {
        if let Some(recipe) = picture_recipe(channel, picture) {
            pictures.insert(picture, read_picture(&recipe, folder)?);
        }
    }
    for sound in SOUNDS {
        if let Some(recipe) = sound_recipe(channel, sound) {
            sounds.insert(sound, read_sound(&recipe, channel, folder)?);
        }
    }
    Ok(Clips { pictures, sounds, codec: channel.codec })
}

/// Reads picture and sound of a channel's programme alone.
///
/// # Errors
/// As [`load`].
pub fn load_programme(folder: &Path, channel: &Channel) -> Result<(PictureClip, SoundClip)> {
    let picture = picture_recipe(channel, Picture::Normal).context("no picture")?;
    let sound = sound_recipe(channel, Sound::Normal).context("no sound")?;
    Ok((read_picture(&picture, folder)?, read_sound(&sound, channel, folder)?))
}

fn read_picture(recipe: &Recipe, folder: &Path) -> Result<PictureClip> {
    PictureClip::read(&recipe.read(folder)?).with_context(|| format!("clip {}", recipe.label))
}

fn read_sound(recipe: &Recipe, channel: &Channel, folder: &Path) -> Result<SoundClip> {
    SoundClip::read(channel.codec, &recipe.read(folder)?, recipe.seconds * 90_000)
        .with_context(|| format!("clip {}", recipe.label))
}

/// Makes the clips and says how long it took.
///
/// # Errors
/// As [`prepare`] and [`load`].
pub fn run(arguments: &Arguments) -> Result<()> {
    let folder = arguments.clips.clone().unwrap_or_else(default_folder);
    let begun = Instant::now();
    let prepared = prepare(&folder, &CHANNELS, |_, _| ())?;
    for channel in &CHANNELS {
        load(&folder, channel)?;
    }
    println!(
        "{} clips encoded, {} found in {}, {:.1} s",
        prepared.encoded,
        prepared.found,
        folder.display(),
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}
