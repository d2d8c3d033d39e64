//! Names in DVB strings (ETSI EN 300 468, annex A).

use alloc::string::String;

/// Reads a DVB string. Tables other than Latin-1's and UTF-8 are few in names of services: what they code beyond ASCII becomes
/// U+FFFD, so that a name is never silently another name.
pub(crate) fn dvb(bytes: &[u8]) -> String {
    let text = match *bytes {
        [0x15, ref rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        [0x11, ref rest @ ..] => ucs2(rest),
        // ISO 8859-1 by the two-byte selection, and ISO 8859-15 and -9, which differ from it in few places.
        [0x10, 0x00, 0x01 | 0x0F | 0x09, ref rest @ ..] | [0x05 | 0x0B, ref rest @ ..] => {
            rest.iter().map(|&byte| byte as char).collect()
        }
        [0x10, _, _, ref rest @ ..] | [0x01..=0x1F, ref rest @ ..] => ascii(rest),
        ref rest => default_table(rest),
    };
    text.chars().filter(|c| !c.is_control() && !matches!(c, '\u{E086}' | '\u{E087}')).collect()
}

fn ascii(bytes: &[u8]) -> String {
    bytes.iter().map(|&b| if b < 0x80 || b == 0xA0 { b as char } else { replace(b) }).collect()
}

/// Control codes 0x80 to 0x9F (emphasis, line break) vanish with the other control characters.
fn replace(byte: u8) -> char {
    if byte < 0xA0 { '\u{80}' } else { char::REPLACEMENT_CHARACTER }
}

/// Table 00, a superset of ISO 6937: accents precede their letter.
fn default_table(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut rest = bytes.iter();
    while let Some(&byte) = rest.next() {
        match byte {
            0xC1..=0xCF => {
                let letter = rest.next().map_or(char::REPLACEMENT_CHARACTER, |&b| b as char);
                text.push(accented(byte, letter));
            }
            0xE1 => text.push('Æ'),
            0xE9 => text.push('Ø'),
            0xEA => text.push('Œ'),
            0xF1 => text.push('æ'),
            0xF3 => text.push('ð'),
            0xF8 => text.push('ł'),
            0xF9 => text.push('ø'),
            0xFA => text.push('œ'),
            0xFB => text.push('ß'),
            0xA4 => text.push('€'),
            0xA0..=0xBF if !matches!(byte, 0xA6 | 0xA8 | 0xA9 | 0xAA | 0xAC..=0xAF | 0xB4 | 0xB8..=0xBA) =>
            {
                text.push(byte as char);
            }
            0..=0x7F => text.push(byte as char),
            _ => text.push(replace(byte)),
        }
    }
    text
}

fn accented(accent: u8, letter: char) -> char {
    const ROWS: [(u8, &str, &str); 9] = [
        (0xC1, "AEIOUaeiou", "ÀÈÌÒÙàèìòù"),
        (0xC2, "AEIOUYCLNRSZaeiouyclnrsz", "ÁÉÍÓÚÝĆĹŃŔŚŹáéíóúýćĺńŕśź"),
        (0xC3, "AEIOUaeiou", "ÂÊÎÔÛâêîôû"),
        (0xC4, "ANOano", "ÃÑÕãñõ"),
        (0xC8, "AEIOUYaeiouy", "ÄËÏÖÜŸäëïöüÿ"),
        (0xCA, "AUau", "ÅŮåů"),
        (0xCB, "CSTcst", "ÇŞŢçşţ"),
        (0xCE, "AEae", "ĄĘąę"),
        (0xCF, "CDENRSTZcdenrstz", "ČĎĚŇŘŠŤŽčďěňřšťž"),
    ];
    let row = ROWS.iter().find(|(code, _, _)| *code == accent);
    row.and_then(|(_, plain, with)| {
        plain.chars().zip(with.chars()).find(|(from, _)| *from == letter).map(|(_, to)| to)
    })
    .unwrap_or(letter)
}

fn ucs2(bytes: &[u8]) -> String {
    let units = bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
    char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_by_their_table() {
        for (bytes, expected) in [
            (&b"News HD"[..], "News HD"),
            (b"\xC8Osterreich \xCFC", "Österreich Č"),
            (b"\x15M\xC3\xBCnchen", "München"),
            (b"\x05Fran\xE7a", "França"),
            (b"\x10\x00\x01caf\xE9", "café"),
            (b"\x11\x04\x1F\x04\x35", "Пе"),
            (b"\x01\xBF\xD5", "\u{FFFD}\u{FFFD}"),
            (b"\x86Bold\x87", "Bold"),
            (b"", ""),
            (b"\xC8", "\u{FFFD}"),
        ] {
            assert_eq!(dvb(bytes), expected, "{bytes:?}");
        }
    }
}
