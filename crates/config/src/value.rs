//! Readers of single values. Each says what is wrong and what is allowed.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use tallylight_model::Bitrate;
use toml_span::value::ValueInner;
use url::Url;

/// Reads a string.
///
/// # Errors
/// The value is of another type.
pub fn text(value: &ValueInner<'_>) -> Result<String, String> {
    match value {
        ValueInner::String(text) => Ok(text.to_string()),
        other => Err(format!("is {}; write a string", kind(other))),
    }
}

fn kind(value: &ValueInner<'_>) -> &'static str {
    match value {
        ValueInner::String(_) => "a string",
        ValueInner::Integer(_) => "an integer",
        ValueInner::Float(_) => "a float",
        ValueInner::Boolean(_) => "a boolean",
        ValueInner::Array(_) => "an array",
        ValueInner::Table(_) => "a table",
    }
}

/// Reads a string by any function that takes text, such as the constructor of an id.
///
/// # Errors
/// The value is not a string, or the function refuses it.
pub fn parsed<T, E: std::fmt::Display>(
    parse: impl Fn(&str) -> Result<T, E>,
) -> impl Fn(&ValueInner<'_>) -> Result<T, String> {
    move |value| text(value).and_then(|text| parse(&text).map_err(|e| format!("{text:?}: {e}")))
}

/// Reads one of a few words.
///
/// # Errors
/// The value is not one of them; all are listed.
pub fn word<T: Copy>(
    words: &'static [(&'static str, T)],
) -> impl Fn(&ValueInner<'_>) -> Result<T, String> {
    move |value| {
        let text = text(value)?;
        let found = words.iter().find(|(word, _)| *word == text);
        found.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let allowed: Vec<String> = words.iter().map(|(word, _)| format!("{word:?}")).collect();
            format!("{text:?} is not known; allowed are {}", allowed.join(", "))
        })
    }
}

/// Reads one of the words that a type's `name` gives for its values.
///
/// # Errors
/// The value is not one of them; all are listed.
pub fn named<T: Copy>(
    all: &'static [T],
    name: fn(T) -> &'static str,
) -> impl Fn(&ValueInner<'_>) -> Result<T, String> {
    move |value| {
        let text = text(value)?;
        all.iter().copied().find(|it| name(*it) == text).ok_or_else(|| {
            let allowed: Vec<_> = all.iter().map(|it| format!("{:?}", name(*it))).collect();
            format!("{text:?} is not known; allowed are {}", allowed.join(", "))
        })
    }
}

/// Reads a whole number within bounds.
///
/// # Errors
/// The value is not an integer or out of bounds.
pub fn integer(
    bounds: std::ops::RangeInclusive<i64>,
) -> impl Fn(&ValueInner<'_>) -> Result<i64, String> {
    move |value| {
        let (low, high) = (bounds.start(), bounds.end());
        match value {
            ValueInner::Integer(number) if bounds.contains(number) => Ok(*number),
            ValueInner::Integer(number) => {
                Err(format!("{number} is out of bounds; allowed are {low} to {high}"))
            }
            other => Err(format!("is {}; write a whole number, {low} to {high}", kind(other))),
        }
    }
}

/// Reads a duration: a number and a unit, as in `"250ms"`, `"5s"`, `"10min"`, `"1h"`.
///
/// # Errors
/// The value is not of this form, or too long to count in milliseconds.
pub fn duration(value: &ValueInner<'_>) -> Result<Duration, String> {
    let form = "a duration; write a number and ms, s, min or h, as in \"5s\"";
    let units = [("ms", 1), ("s", 1_000), ("min", 60_000), ("h", 3_600_000)];
    amount(value, form, &units).map(Duration::from_millis)
}

/// Reads a duration that may be very short, as in `"500ns"`, `"50us"`, `"40ms"`, `"5s"`.
///
/// # Errors
/// The value is not of this form, or too long to count in nanoseconds.
pub fn short_duration(value: &ValueInner<'_>) -> Result<Duration, String> {
    let form = "a duration; write a number and ns, us, ms, s, min or h, as in \"40ms\"";
    let units = [
        ("ns", 1),
        ("us", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("min", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ];
    amount(value, form, &units).map(Duration::from_nanos)
}

/// Reads a bit rate: a number and a unit, as in `"800kbps"`, `"8Mbps"`, `"10Gbps"`.
///
/// # Errors
/// The value is not of this form.
pub fn bitrate(value: &ValueInner<'_>) -> Result<Bitrate, String> {
    let form = "a rate; write a number and bps, kbps, Mbps or Gbps, as in \"8Mbps\"";
    let units = [("bps", 1), ("kbps", 1_000), ("Mbps", 1_000_000), ("Gbps", 1_000_000_000)];
    amount(value, form, &units).map(Bitrate::from_bps)
}

/// Reads an amount of data: a number and a unit, as in `"500MB"`, `"10GB"`.
///
/// # Errors
/// The value is not of this form.
pub fn bytes(value: &ValueInner<'_>) -> Result<u64, String> {
    let form = "a size; write a number and kB, MB, GB or TB, as in \"10GB\"";
    let units =
        [("kB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("TB", 1_000_000_000_000)];
    amount(value, form, &units)
}

/// A number and one of these units, each with how many of the smallest it is.
fn amount(value: &ValueInner<'_>, form: &str, units: &[(&str, u64)]) -> Result<u64, String> {
    let text = text(value)?;
    let read = || {
        let (number, unit) = number_and_unit(&text)?;
        let (_, scale) = units.iter().find(|it| it.0 == unit)?;
        number.checked_mul(*scale)
    };
    read().ok_or_else(|| format!("{text:?} is not {form}"))
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(split);
    Some((number.parse().ok()?, unit.trim_start()))
}

/// Reads an address to listen on, as in `"127.0.0.1:9464"`. Names are not resolved.
///
/// # Errors
/// The value is not an IP address with a port.
pub fn socket_address(value: &ValueInner<'_>) -> Result<SocketAddr, String> {
    let text = text(value)?;
    text.parse().map_err(|_| {
        format!(
            "{text:?} is not an address; write an IP address and a port, as in \"127.0.0.1:9464\""
        )
    })
}

/// Reads an absolute URL of one of these schemes. The text is not repeated in the message: it may hold a password.
///
/// # Errors
/// The value is not a URL, or of another scheme.
pub fn url(schemes: &'static [&'static str]) -> impl Fn(&ValueInner<'_>) -> Result<Url, String> {
    move |value| {
        let allowed = || format!("allowed are {}://...", schemes.join("://..., "));
        let url = Url::parse(&text(value)?)
            .map_err(|error| format!("is not a URL ({error}); {}", allowed()))?;
        if schemes.contains(&url.scheme()) {
            Ok(url)
        } else {
            Err(format!("has the scheme {:?}; {}", url.scheme(), allowed()))
        }
    }
}

/// Reads a path, absolute or relative to wherever the caller says.
///
/// # Errors
/// The value is not a string, or empty.
pub fn path(value: &ValueInner<'_>) -> Result<PathBuf, String> {
    let text = text(value)?;
    if text.is_empty() { Err("is empty; write a path".into()) } else { Ok(PathBuf::from(text)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(text: &str) -> ValueInner<'_> {
        ValueInner::String(text.into())
    }

    #[test]
    fn durations_and_rates_need_a_unit() {
        for (text, millis) in [("0s", 0), ("250ms", 250), ("5 s", 5_000), ("2min", 120_000)] {
            assert_eq!(duration(&string(text)), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in
            ["5", "s", "-5s", "1.5s", "5d", "", "99999999999999999999s", "9999999999999999999h"]
        {
            assert!(duration(&string(text)).is_err(), "{text}");
        }
        for (text, nanos) in [("500ns", 500), ("2us", 2_000), ("40ms", 40_000_000)] {
            assert_eq!(short_duration(&string(text)), Ok(Duration::from_nanos(nanos)), "{text}");
        }
        assert_eq!(bitrate(&string("8Mbps")), Ok(Bitrate::from_bps(8_000_000)));
        assert!(bitrate(&string("8mbps")).is_err());
        assert!(bitrate(&ValueInner::Integer(8)).is_err());
        assert_eq!(bytes(&string("10GB")), Ok(10_000_000_000));
        assert!(["10", "10GiB", "-1MB", "99999999TB"].iter().all(|it| bytes(&string(it)).is_err()));
    }

    #[test]
    fn a_refused_url_is_not_repeated() {
        let read = url(&["http", "udp"]);
        assert!(read(&string("udp://239.1.1.1:5000")).is_ok());
        let refused = read(&string("ftp://user:hunter2@host/")).unwrap_err();
        assert_eq!(refused, "has the scheme \"ftp\"; allowed are http://..., udp://...");
    }

    #[test]
    fn words_and_numbers_say_what_is_allowed() {
        let read = word(&[("off", 0), ("auto", 1)]);
        assert_eq!(read(&string("auto")), Ok(1));
        assert_eq!(
            read(&string("on")).unwrap_err(),
            "\"on\" is not known; allowed are \"off\", \"auto\""
        );
        assert_eq!(
            integer(1..=9)(&ValueInner::Integer(0)).unwrap_err(),
            "0 is out of bounds; allowed are 1 to 9"
        );
    }
}
