//! Identifiers. Text ids are short and of a small alphabet, so that each can be a metric label, a file name and a log
//! field as it stands.

use alloc::sync::Arc;
use core::fmt;

/// The longest text id, in bytes.
const MAX_LEN: usize = 64;

/// Says which rule a text id broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdError {
    /// The id has no characters.
    Empty,
    /// The id is longer than 64 bytes.
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// The id has a character outside `A-Z a-z 0-9 . _ -`, or starts with a punctuation mark.
    Character {
        /// The character.
        found: char,
        /// Its byte offset.
        at: usize,
    },
    /// A stream id is not of the form `channel/name`.
    NotAStream,
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "id is empty"),
            Self::TooLong { len } => write!(f, "id has {len} bytes, at most {MAX_LEN} are allowed"),
            Self::Character { found, at } => write!(
                f,
                "id has {found:?} at byte {at}; allowed are A-Z a-z 0-9 . _ - and a letter or digit first"
            ),
            Self::NotAStream => write!(f, "stream id is not of the form channel/name"),
        }
    }
}

impl core::error::Error for IdError {}

fn check(text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > MAX_LEN {
        return Err(IdError::TooLong { len: text.len() });
    }
    let bad = text
        .char_indices()
        .find(|&(at, c)| !(c.is_ascii_alphanumeric() || (at > 0 && matches!(c, '.' | '_' | '-'))));
    match bad {
        Some((at, found)) => Err(IdError::Character { found, at }),
        None => Ok(()),
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes a text of 1 to 64 bytes of `A-Z a-z 0-9 . _ -` that starts with a letter or digit.
            ///
            /// # Errors
            /// Says which of these rules the text breaks.
            pub fn new(text: &str) -> Result<Self, IdError> {
                check(text)?;
                Ok(Self(Arc::from(text)))
            }
        }

        text_id!(@show $name);
    };
    (@show $name:ident) => {
        impl $name {
            /// Returns the text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// Names a TV or radio service as the lineup does.
    ChannelId
);
text_id!(
    /// Names the place that streams are seen from; the head-end is a region too.
    RegionId
);
text_id!(
    /// Names a server that serves deliveries.
    ServerId
);
text_id!(
    /// Names a machine that an agent runs on. One agent per node: it is also the agent's name.
    NodeId
);
text_id!(
    /// Names whose network, account or CDN carries a source.
    ProviderId
);
text_id!(
    /// Names a time of maintenance.
    WindowId
);

text_id!(
    /// Names what makes several channels' deliveries out of their sources.
    EncoderId
);

/// Names one probed URL: `channel/name`, where `name` is the source's or delivery's own id within its channel.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(Arc<str>);

text_id!(@show StreamId);

impl StreamId {
    /// Joins a channel and the name of one of its sources or deliveries.
    ///
    /// # Errors
    /// Says which rule of a text id `name` breaks.
    pub fn new(channel: &ChannelId, name: &str) -> Result<Self, IdError> {
        check(name)?;
        Ok(Self(Arc::from(alloc::format!("{channel}/{name}"))))
    }

    /// Reads `channel/name`.
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        let (channel, name) = text.split_once('/').ok_or(IdError::NotAStream)?;
        check(channel)?;
        check(name)?;
        Ok(Self(Arc::from(text)))
    }

    /// Returns the channel's id, the part before the slash.
    #[must_use]
    pub fn channel(&self) -> &str {
        self.0.split_once('/').map_or("", |(channel, _)| channel)
    }

    /// Returns the source's or delivery's own id within its channel, the part after the slash.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, name)| name)
    }
}

/// Names an incident: counts up from 1 over the life of a collector's journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IncidentId(pub u64);

/// Names one attempt of one rung of a remedy: counts up from 1 over the life of a collector's journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActionId(pub u64);

impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for ActionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A packet identifier, 13 bits (ISO/IEC 13818-1, 2.4.3.3). Shown in hexadecimal, as the field does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid(u16);

impl Pid {
    /// The program association table.
    pub const PAT: Self = Self(0x0000);
    /// The conditional access table.
    pub const CAT: Self = Self(0x0001);
    /// Null packets: filler of no meaning.
    pub const NULL: Self = Self(0x1FFF);
    /// How many PIDs there are.
    pub const COUNT: usize = 0x2000;

    /// Keeps the low 13 bits, as the header's field does.
    #[must_use]
    pub const fn from_bits(bits: u16) -> Self {
        Self(bits & 0x1FFF)
    }

    /// Returns the number, 0 to 8191.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:04X}", self.0)
    }
}

impl fmt::Debug for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::{String, ToString};

    #[test]
    fn a_text_id_keeps_its_rules() {
        let long = String::from_utf8(alloc::vec![b'a'; 65]).unwrap_or_default();
        let cases = [
            ("news-1.hd_A", None),
            ("", Some(IdError::Empty)),
            (long.as_str(), Some(IdError::TooLong { len: 65 })),
            ("-x", Some(IdError::Character { found: '-', at: 0 })),
            ("a b", Some(IdError::Character { found: ' ', at: 1 })),
            ("caf\u{e9}", Some(IdError::Character { found: '\u{e9}', at: 3 })),
            ("a/b", Some(IdError::Character { found: '/', at: 1 })),
        ];
        for (text, broken) in cases {
            assert_eq!(ChannelId::new(text).err(), broken, "{text}");
        }
    }

    #[test]
    fn a_stream_id_is_a_channel_and_a_name() {
        let stream = ChannelId::new("one").and_then(|c| StreamId::new(&c, "primary"));
        assert_eq!(stream, StreamId::parse("one/primary"));
        assert_eq!(StreamId::parse("one").err(), Some(IdError::NotAStream));
        assert_eq!(StreamId::parse("one/").err(), Some(IdError::Empty));
        assert!(StreamId::parse("one/a/b").is_err());
        let stream = stream.unwrap();
        assert_eq!((stream.channel(), stream.name()), ("one", "primary"));
    }

    #[test]
    fn a_pid_has_13_bits_and_reads_as_hexadecimal() {
        assert_eq!(Pid::from_bits(0xE100).to_string(), "0x0100");
        assert_eq!(Pid::from_bits(0xFFFF), Pid::NULL);
    }
}
