//! How the words of other crates, which know nothing of serialisation, stand in a written message.

use serde::{Deserialize, Serialize};
use tallylight_av::{ChannelPlace, Damage};
use tallylight_model::Codec;

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
