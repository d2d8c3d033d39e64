//! Tokens of agents and operators. Only hashes are stored: a random token of 256 bits needs no salt and no slow hash.

use std::fmt::{self, Write as _};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// The SHA-256 of a token.
#[derive(Clone)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// Hashes a token.
    #[must_use]
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    /// Reads 64 hexadecimal digits.
    ///
    /// # Errors
    /// The text is something else; it is not repeated, it may be a token.
    pub fn parse(text: &str) -> Result<Self, BadHash> {
        let digits = text.as_bytes();
        let mut hash = [0; 32];
        if digits.len() != 64 {
            return Err(BadHash);
        }
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |c: u8| char::from(c).to_digit(16).and_then(|d| u8::try_from(d).ok());
            let (high, low) = digit(pair[0]).zip(digit(pair[1])).ok_or(BadHash)?;
            *byte = high << 4 | low;
        }
        Ok(Self(hash))
    }

    /// Whether the token is the one hashed, in a time that does not depend on where they differ.
    #[must_use]
    pub fn matches(&self, token: &str) -> bool {
        *self == Self::of(token)
    }
}

impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for TokenHash {}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash")
    }
}

/// The text is not a SHA-256.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("is not a SHA-256; write the 64 hexadecimal digits that `token NODE` prints")]
pub struct BadHash;

/// Makes a token from 32 random bytes.
#[must_use]
pub fn token(random: [u8; 32]) -> String {
    let mut token = String::from("tl_");
    let _ = write!(token, "{}", URL_SAFE_NO_PAD.encode(random));
    token
}

/// Takes the token out of the value of an `authorization` header.
#[must_use]
pub fn bearer(header: Option<&str>) -> Option<&str> {
    let (scheme, token) = header?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Finds whose token it is. All hashes are compared, whichever fits.
#[must_use]
pub fn whose<'a, K>(
    hashes: impl IntoIterator<Item = (&'a K, &'a TokenHash)>,
    token: &str,
) -> Option<&'a K> {
    let hash = TokenHash::of(token);
    hashes
        .into_iter()
        .fold(None, |found, (key, known)| if *known == hash { Some(key) } else { found })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_reads_back_and_knows_its_token() {
        let hash = TokenHash::of("tl_x");
        assert!(TokenHash::parse(&hash.to_string()).is_ok_and(|read| read == hash));
        assert!(hash.matches("tl_x") && !hash.matches("tl_y") && !hash.matches(""));
        for text in ["", "00", &"g".repeat(64), &"é".repeat(32)] {
            assert!(TokenHash::parse(text).is_err(), "{text}");
        }
        // SHA-256("abc"), FIPS 180-2 appendix B.1.
        assert_eq!(
            TokenHash::of("abc").to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn only_a_bearer_header_has_a_token() {
        assert_eq!(bearer(Some("Bearer abc")), Some("abc"));
        assert_eq!(bearer(Some("bearer  abc")), Some("abc"));
        for header in [None, Some("abc"), Some("Basic abc"), Some("")] {
            assert_eq!(bearer(header), None);
        }
    }
}
