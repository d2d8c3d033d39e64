//! How the words of other crates, which know nothing of serialisation, stand in a written message, and which messages make no sense.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tallylight_av::{ChannelPlace, Damage};
use tallylight_model::Codec;

use super::{PictureStats, Reply};

/// No stream is watched for longer: whoever says so has lost its senses, and sums of such times would overflow.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

impl Reply {
    /// Whether its times can be those of a stream.
    pub(crate) fn is_sane(&self) -> bool {
        let is_sane = |time: Duration| time <= LONGEST;
        match self {
            Self::Picture(PictureStats { media_time, change, turned, .. }) => {
                let dates = change.as_ref();
                let dates = dates.map(|it| [Some(it.since), it.same_since, it.changed]);
                let dates = dates.into_iter().flatten().chain([*turned]).flatten();
                is_sane(*media_time) && dates.into_iter().all(is_sane)
            }
            Self::Survey(survey) => survey.pictures.iter().all(|(at, _)| is_sane(*at)),
            Self::Sound(stats) => {
                let loud = stats.channels.iter().filter_map(|channel| channel.loud);
                let loud = loud.flat_map(<[Duration; 2]>::from);
                [stats.media_time, stats.length].into_iter().chain(loud).all(is_sane)
            }
            Self::Damaged { media_time, .. } => is_sane(*media_time),
            Self::Dated { .. }
            | Self::Withheld { .. }
            | Self::Thumbnail { .. }
            | Self::Unsupported { .. } => true,
        }
    }
}

/// A PID as its number.
pub(super) mod pid {
    use serde::{Deserialize, Deserializer, Serializer};
    use tallylight_model::Pid;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
    pub(in super::super) fn serialize<S: Serializer>(pid: &Pid, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u16(pid.get())
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Pid, D::Error> {
        u16::deserialize(from).map(Pid::from_bits)
    }
}

/// A profile as its name.
pub(super) mod profile {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use tallylight_model::CodingProfile;

    #[expect(clippy::ref_option, clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
    pub(in super::super) fn serialize<S: Serializer>(
        profile: &Option<CodingProfile>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        profile.map(CodingProfile::name).serialize(to)
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<CodingProfile>, D::Error> {
        let name: Option<String> = Deserialize::deserialize(from)?;
        Ok(name.as_deref().and_then(CodingProfile::from_name))
    }
}

/// The same words as [`Codec`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "Codec")]
pub(super) enum CodecName {
    Mpeg1Video,
    Mpeg2Video,
    H264,
    Hevc,
    MpegAudio,
    AacAdts,
    AacLatm,
    Ac3,
    Eac3,
}

/// The same words as [`Damage`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "Damage")]
pub(super) enum DamageName {
    NotAvailable,
    None,
    Found,
}

/// The same words as [`ChannelPlace`].
#[derive(Serialize, Deserialize)]
#[serde(remote = "ChannelPlace")]
pub(super) enum PlaceName {
    Left,
    Right,
    Centre,
    Lfe,
    SurroundLeft,
    SurroundRight,
    BackLeft,
    BackRight,
    BackCentre,
    Other,
}
