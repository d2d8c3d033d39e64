//! What watching a stream costs: an agent with many UDP streams of each codec, beside ffmpeg with the filters that people use
//! for it.
//!
//! The agent is the released program, assigned its streams by a released collector and reporting to it. ffmpeg reads one of
//! the same groups at the same time, so that a busy neighbour slows both. A run in which either lost packets or found
//! something wrong with a good stream is no measurement.

mod clip;
mod player;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    net::SocketAddrV4,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use serde::Serialize;
use serde_json::json;
use tallylight_model::{FaultKind, Metric};

use self::{clip::Codec, player::Player};
use super::{
    Measured,
    spread::Spread,
    spreads, tell,
    usage::{self, Memory},
};
use crate::{
    demo::{children::Children, collector::Collector, plan, ports::Ports, stage},
    world::{clip::default_folder, headend::free_groups},
};

/// One row of a table spans so long.
const WINDOW: Duration = Duration::from_secs(5);
/// From the first datagram to a picture of every stream.
const START: Duration = Duration::from_secs(60);
/// Start-up costs more than watching: it is let pass.
const SETTLE: Duration = Duration::from_secs(10);
/// Where the agent's memory should stay, for each stream.
const MAX_MIB: f64 = 24.0;

/// What a process used in one window.
#[derive(Clone, Copy, Debug, Serialize)]
struct Sample {
    agent_cores: f64,
    ffmpeg_cores: f64,
    agent: Memory,
    ffmpeg: Memory,
}

/// Runs an agent and ffmpeg on live streams for so many seconds.
///
/// # Errors
/// Something does not start, or not every stream is seen.
pub(super) async fn measure(
    bin: &Path,
    folder: &Path,
    streams: u16,
    seconds: u16,
) -> anyhow::Result<Measured> {
    let mut all = Measured { figures: json!({}), text: String::new(), wrong: Vec::new() };
    for codec in Codec::ALL {
        let folder = folder.join(codec.name());
        fs::create_dir(&folder).context("cannot make a folder")?;
        let Measured { figures, text, wrong } =
            one(bin, &folder, codec, streams, seconds).await.with_context(|| codec.name())?;
        all.figures[codec.name()] = figures;
        let _ = writeln!(all.text, "{text}");
        all.wrong.extend(wrong.into_iter().map(|it| format!("{}: {it}", codec.name())));
    }
    Ok(all)
}

async fn one(
    bin: &Path,
    folder: &Path,
    codec: Codec,
    streams: u16,
    seconds: u16,
) -> anyhow::Result<Measured> {
    tell(&format!(
        "agent: preparing the clip of {}; the first time it is encoded, which takes a minute or two",
        codec.title()
    ));
    let clip = tokio::task::spawn_blocking(move || codec.prepare(&default_folder())).await??;
    let groups = free_groups(usize::from(streams))?;
    let addresses: Vec<SocketAddrV4> = groups.iter().map(|(_, group)| *group).collect();
    let first = *addresses.first().context("no stream")?;
    let mut site = Site::start(bin, folder, &addresses).await?;
    let player = Player::start(clip, codec.rate(), groups)?;
    let late = || format!("the player was up to {} ms late", player.late().as_millis());
    site.wait_until_seen(usize::from(streams)).await.with_context(late)?;
    site.start_ffmpeg(first)?;
    tokio::time::sleep(SETTLE).await;
    tell(&format!("agent: measuring {streams} streams for {seconds} s"));
    let before = site.counts().await?;
    let (begun, mut samples) = (Instant::now(), Vec::new());
    let windows = Duration::from_secs(seconds.into()).as_millis().div_ceil(WINDOW.as_millis());
    for _ in 0..windows {
        samples.push(site.sample().await?);
        ensure!(!player.is_over(), "the clip is too short for so many seconds");
    }
    let after = site.counts().await?;
    let elapsed = begun.elapsed().as_secs_f64();
    let mut wrong = site.problems(&before, &after).await?;
    let late = player.late();
    drop(player);
    if late > Duration::from_millis(500) {
        wrong.push(format!("the player was {} ms late: the host is too slow", late.as_millis()));
    }
    site.children.stop().await;
    let shape = (codec, usize::from(streams), elapsed);
    conclude(&samples, shape, (before, after), late, wrong)
}

/// Totals of the agent's own metrics.
#[derive(Clone, Copy, Debug, Serialize)]
struct Counts {
    bytes: f64,
    pictures: f64,
    dropped: f64,
    continuity_errors: f64,
}

/// The programs that run.
struct Site {
    children: Children,
    collector: Collector,
    metrics: String,
    agent: i32,
    ffmpeg: i32,
}

impl Site {
    async fn start(bin: &Path, folder: &Path, groups: &[SocketAddrV4]) -> anyhow::Result<Self> {
        let mut ports = Ports::default();
        let [grpc, http, api, metrics] =
            [ports.take()?, ports.take()?, ports.take()?, ports.take()?];
        let token = stage::token()?;
        let write = |name: &str, text: String| {
            fs::write(folder.join(name), text).with_context(|| format!("cannot write {name}"))
        };
        write("lineup.toml", lineup(groups))?;
        write(
            "collector.toml",
            format!(
                "lineup = \"lineup.toml\"\njournal = \"journal.sqlite\"\nkill_switch = \"kill\"\n\
                 [listen]\ngrpc = \"{grpc}\"\nhttp = \"{http}\"\napi = \"{api}\"\n\
                 [[agent]]\nnode = \"bench\"\ntoken_sha256 = {}\n",
                plan::hash(&token)
            ),
        )?;
        write(
            "agent.toml",
            format!(
                "node = \"bench\"\ncollector = \"http://{grpc}\"\nassignment = \"http://{api}\"\n\
                 token_file = \"bench.token\"\nlisten = \"{metrics}\"\nstate_dir = \"state\"\n"
            ),
        )?;
        stage::write_secret(&folder.join("bench.token"), &token)?;
        fs::create_dir_all(folder.join("state")).context("cannot make a folder")?;
        let mut children = Children::new(folder, bin.join("tallylight-world"));
        for (name, config) in [("collector", "collector.toml"), ("agent", "agent.toml")] {
            let program = bin.join(format!("tallylight-{name}"));
            children.program(name, &program, &["run", "--config", config])?;
        }
        let agent = children.pid("agent").context("the agent is not running")?;
        let collector = Collector::new(reqwest::Client::new(), format!("http://{api}").parse()?);
        let metrics = format!("http://{metrics}/metrics");
        Ok(Self { children, collector, metrics, agent, ffmpeg: 0 })
    }

    fn start_ffmpeg(&mut self, group: SocketAddrV4) -> anyhow::Result<()> {
        let input = format!("udp://{group}?localaddr=127.0.0.1&fifo_size=65536");
        let arguments: Vec<&str> = ["-nostdin", "-nostats", "-i", &input]
            .into_iter()
            .chain(FILTERS.iter().copied())
            .collect();
        self.children.program("ffmpeg", Path::new("ffmpeg"), &arguments)?;
        self.ffmpeg = self.children.pid("ffmpeg").context("ffmpeg is not running")?;
        Ok(())
    }

    async fn scrape(&self) -> anyhow::Result<String> {
        Ok(reqwest::get(&self.metrics).await?.error_for_status()?.text().await?)
    }

    async fn wait_until_seen(&self, streams: usize) -> anyhow::Result<()> {
        let deadline = Instant::now() + START;
        loop {
            let text = self.scrape().await.unwrap_or_default();
            let seen = series(&text, Metric::StreamDecodedPictures).filter(|it| *it > 0.0).count();
            if seen == streams {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "pictures of {seen} streams only; see agent.log");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn counts(&self) -> anyhow::Result<Counts> {
        let text = self.scrape().await?;
        let total = |metric| series(&text, metric).sum();
        Ok(Counts {
            bytes: total(Metric::StreamBytes),
            pictures: total(Metric::StreamDecodedPictures),
            dropped: total(Metric::StreamReceiveDropped),
            continuity_errors: total(Metric::StreamContinuityErrors),
        })
    }

    /// Lets one window pass and says what it cost.
    async fn sample(&mut self) -> anyhow::Result<Sample> {
        if let Some((name, log)) = self.children.ended() {
            anyhow::bail!("{name} ended; see {}", log.display());
        }
        let times = || -> anyhow::Result<_> {
            // Its workers decode.
            let agent: Vec<Duration> = usage::family(self.agent)?
                .into_iter()
                .map(usage::processor_time)
                .collect::<anyhow::Result<_>>()?;
            Ok((agent.into_iter().sum::<Duration>(), usage::processor_time(self.ffmpeg)?))
        };
        let (agent, ffmpeg) = times()?;
        let begun = Instant::now();
        tokio::time::sleep(WINDOW).await;
        let (agent_after, ffmpeg_after) = times()?;
        let seconds = begun.elapsed().as_secs_f64();
        Ok(Sample {
            agent_cores: agent_after.saturating_sub(agent).as_secs_f64() / seconds,
            ffmpeg_cores: (ffmpeg_after - ffmpeg).as_secs_f64() / seconds,
            agent: usage::family(self.agent)?
                .into_iter()
                .map(usage::memory)
                .sum::<anyhow::Result<Memory>>()?,
            ffmpeg: usage::memory(self.ffmpeg)?,
        })
    }

    /// Says why what was measured is no measurement.
    async fn problems(&self, before: &Counts, after: &Counts) -> anyhow::Result<Vec<String>> {
        let mut problems = Vec::new();
        let dropped = after.dropped - before.dropped;
        let errors = after.continuity_errors - before.continuity_errors;
        if dropped > 0.0 || errors > 0.0 {
            problems.push(format!("{dropped} datagrams dropped, {errors} continuity errors"));
        }
        let mut kinds = BTreeMap::<String, usize>::new();
        for fault in self.collector.faults().await? {
            *kinds.entry(fault.kind).or_default() += 1;
        }
        // What it says of the host is true of a machine that also builds and plays; it costs the agent nothing.
        kinds.remove(FaultKind::HostSaturated.name());
        problems.extend(
            kinds
                .iter()
                .map(|(kind, streams)| format!("{kind} on {streams} streams that are good")),
        );
        Ok(problems)
    }
}

/// What people run instead: every frame decoded and looked at.
const FILTERS: [&str; 7] =
    ["-vf", "blackdetect,freezedetect", "-af", "silencedetect,ebur128", "-f", "null", "-"];

fn series(text: &str, metric: Metric) -> impl Iterator<Item = f64> {
    text.lines()
        .filter(move |line| line.split(['{', ' ']).next() == Some(metric.name()))
        .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
}

fn lineup(groups: &[SocketAddrV4]) -> String {
    let mut out = String::from(
        "[[region]]\nid = \"headend\"\n\
         [[agent]]\nnode = \"bench\"\nregion = \"headend\"\npath = \"bench\"\n",
    );
    for (number, group) in groups.iter().enumerate() {
        let _ = write!(
            out,
            "[[channel]]\nid = \"c{number:03}\"\naudio = [{{ language = \"eng\", role = \"main\" }}]\n\
             [[channel.source]]\nid = \"primary\"\nrole = \"primary\"\nregion = \"headend\"\n\
             url = \"udp://{group}\"\ninterface = \"lo\"\n"
        );
    }
    out
}

fn conclude(
    samples: &[Sample],
    (codec, streams, elapsed): (Codec, usize, f64),
    (before, after): (Counts, Counts),
    late: Duration,
    wrong: Vec<String>,
) -> anyhow::Result<Measured> {
    let n = streams as f64;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let spread = |value: &dyn Fn(&Sample) -> f64| {
        Spread::of(samples.iter().map(value)).context("nothing measured")
    };
    let cores = spread(&|it| it.agent_cores / n)?;
    let ffmpeg_cores = spread(&|it| it.ffmpeg_cores)?;
    let rss = spread(&|it| mib(it.agent.rss) / n)?;
    let pss = spread(&|it| mib(it.agent.pss) / n)?;
    let ffmpeg_rss = spread(&|it| mib(it.ffmpeg.rss))?;
    let ffmpeg_pss = spread(&|it| mib(it.ffmpeg.pss))?;
    let rows = [
        cores.row("agent: CPU seconds per stream-second", 4),
        ffmpeg_cores.row("ffmpeg: CPU seconds per stream-second", 4),
        rss.row("agent: RSS, MiB per stream", 1),
        pss.row("agent: PSS, MiB per stream", 1),
        ffmpeg_rss.row("ffmpeg: RSS, MiB", 1),
        ffmpeg_pss.row("ffmpeg: PSS, MiB", 1),
    ];
    let title = format!(
        "Agent: {streams} UDP streams of {} for {elapsed:.0} s, in windows of {} s",
        codec.title(),
        WINDOW.as_secs()
    );
    let mut text = spreads(&title, &rows);
    let rate = (after.bytes - before.bytes) * 8.0 / 1e6 / elapsed / n;
    let pictures = (after.pictures - before.pictures) / elapsed / n;
    let ratio = ffmpeg_cores.median / cores.median;
    let kept = |holds: bool| if holds { "kept" } else { "MISSED" };
    let _ = writeln!(
        text,
        "\n{:.0} channels a core (aim {}: {}; with luck {}), ffmpeg {:.1}: {ratio:.1} times less. The agent with its \
         workers used {:.3} cores in all, and decoded {pictures:.2} pictures a second of each; streams came at {rate:.2} Mb/s. \
         Memory: aim {MAX_MIB} MiB {}. The player was at most {} ms late.",
        1.0 / cores.median,
        codec.aims().0,
        kept(1.0 / cores.median >= codec.aims().0),
        codec.aims().1,
        1.0 / ffmpeg_cores.median,
        cores.median * n,
        kept(rss.median <= MAX_MIB),
        late.as_millis()
    );
    let figures = json!({
        "streams": streams, "seconds": elapsed, "cores_per_stream": cores, "ffmpeg_cores": ffmpeg_cores,
        "rss_mib_per_stream": rss, "pss_mib_per_stream": pss, "ffmpeg_rss_mib": ffmpeg_rss,
        "ffmpeg_pss_mib": ffmpeg_pss, "cores_ratio": ratio, "mbps_per_stream": rate,
        "pictures_per_stream_second": pictures, "player_late_ms": late.as_millis() as u64, "windows": samples,
    });
    Ok(Measured { figures, text, wrong })
}
