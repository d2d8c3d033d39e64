//! Which variant of a master playlist is watched.

use super::super::{
    SoundPlace,
    playlist::{Master, Variant},
};

/// RFC 6381 prefixes of video that a transport stream can carry.
const TS_VIDEO: [&str; 7] = ["avc1", "avc3", "hvc1", "hev1", "dvh1", "dvhe", "mp4v"];
/// Video that never comes in a transport stream.
const OTHER_VIDEO: [&str; 3] = ["av01", "vp09", "vp08"];

/// Chooses the variant with the highest bandwidth: with picture before without, in a codec that a transport stream can
/// carry, and with its sound inside before one whose sound comes from a playlist of its own, which is not watched.
pub(super) fn choose(master: &Master) -> Option<&Variant> {
    // The first of equals: it is the author's preference (RFC 8216, 6.2.4 leaves the order to the author).
    master.variants.iter().rev().max_by_key(|variant| {
        (
            !has(variant, &OTHER_VIDEO),
            has_picture(variant),
            sound_place(master, variant) == SoundPlace::Inside,
            variant.bandwidth,
        )
    })
}

/// Without `CODECS` a variant is taken to have everything.
fn has_picture(variant: &Variant) -> bool {
    variant.codecs.is_none() || variant.resolution.is_some() || has(variant, &TS_VIDEO)
}

fn has(variant: &Variant, prefixes: &[&str]) -> bool {
    let codecs = variant.codecs.as_deref().unwrap_or("");
    codecs.split(',').any(|codec| prefixes.iter().any(|prefix| codec.starts_with(prefix)))
}

/// A group of renditions none of which is part of the variant's own stream has the sound elsewhere; a group that the list lacks says
/// nothing.
pub(super) fn sound_place(master: &Master, variant: &Variant) -> SoundPlace {
    let Some(group) = &variant.audio else { return SoundPlace::Inside };
    let of_group = |kind: &str, of: &String| kind == "AUDIO" && of == group;
    let mut renditions =
        master.renditions.iter().filter(|r| of_group(&r.kind, &r.group)).peekable();
    let elsewhere = renditions.peek().is_some() && renditions.all(|r| r.uri.is_some());
    if elsewhere { SoundPlace::Elsewhere } else { SoundPlace::Inside }
}

#[cfg(test)]
mod tests {
    use super::{
        super::super::playlist::{Playlist, read},
        *,
    };

    #[test]
    fn the_best_watchable_variant_is_chosen() {
        let cases = [
            ("#EXT-X-STREAM-INF:BANDWIDTH=1\na\n#EXT-X-STREAM-INF:BANDWIDTH=2\nb", Some("b")),
            ("#EXT-X-STREAM-INF:BANDWIDTH=2\na\n#EXT-X-STREAM-INF:BANDWIDTH=2\nb", Some("a")),
            (
                "#EXT-X-STREAM-INF:BANDWIDTH=9,CODECS=\"mp4a.40.2\"\na\n\
                 #EXT-X-STREAM-INF:BANDWIDTH=2,CODECS=\"avc1.4d,mp4a.40.2\"\nb",
                Some("b"),
            ),
            (
                "#EXT-X-STREAM-INF:BANDWIDTH=9,CODECS=\"av01.0\",RESOLUTION=1x1\na\n\
                 #EXT-X-STREAM-INF:BANDWIDTH=2,CODECS=\"avc1.4d\"\nb",
                Some("b"),
            ),
            (
                "#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"x\",URI=\"x\"\n\
                 #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"y\"\n\
                 #EXT-X-STREAM-INF:BANDWIDTH=9,AUDIO=\"x\"\na\n\
                 #EXT-X-STREAM-INF:BANDWIDTH=2,AUDIO=\"y\"\nb",
                Some("b"),
            ),
            ("#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"x\"", None),
        ];
        for (tail, expected) in cases {
            let reading = read(format!("#EXTM3U\n{tail}").as_bytes());
            let Some(Playlist::Master(master)) = reading.playlist else { panic!("{tail}") };
            assert_eq!(choose(&master).map(|variant| variant.uri.as_str()), expected, "{tail}");
        }
    }
}
