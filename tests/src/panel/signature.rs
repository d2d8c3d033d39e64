//! Signatures as the Standard Webhooks specification has them: HMAC-SHA256 over `id.timestamp.body`, in base64 behind `v1,`.
//!
//! Pure: the clock comes in as a number. Both the panel and whoever tests a client of the panel use it.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

/// The header with the message's id; at most 256 bytes.
pub const ID: &str = "webhook-id";
/// The header with the time of sending, in seconds since 1970-01-01 UTC.
pub const TIMESTAMP: &str = "webhook-timestamp";
/// The header with one or several signatures, parted by spaces.
pub const SIGNATURE: &str = "webhook-signature";

/// How far a time stamp may be from the receiver's clock, either way, in seconds.
pub const TOLERANCE_S: i64 = 300;

const PREFIX: &str = "whsec_";
const MAX_ID_LEN: usize = 256;
const MAX_SIGNATURES: usize = 8;
/// Ids remembered at a time. A collector that polls each second sends 600 within the tolerance either way.
const MAX_IDS: usize = 8192;

/// A shared secret of 24 to 64 bytes. Its `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Says which rule the text of a secret broke, without repeating it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The text does not start with `whsec_`.
    #[error("secret does not start with whsec_")]
    Prefix,
    /// What follows is not base64.
    #[error("secret is not base64 after whsec_")]
    Base64,
    /// The length is not from 24 to 64 bytes.
    #[error("secret has {0} bytes, 24 to 64 are allowed")]
    Length(usize),
}

impl Secret {
    /// Reads `whsec_` and base64; white space around it is ignored.
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, SecretError> {
        let body = text.trim().strip_prefix(PREFIX).ok_or(SecretError::Prefix)?;
        Self::from_bytes(STANDARD.decode(body).map_err(|_| SecretError::Base64)?)
    }

    /// Takes 24 to 64 bytes.
    ///
    /// # Errors
    /// Says how long the secret is where that is not allowed.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, SecretError> {
        if (24..=64).contains(&bytes.len()) {
            Ok(Self(bytes))
        } else {
            Err(SecretError::Length(bytes.len()))
        }
    }

    /// Returns what [`parse`](Self::parse) reads, for a file that only its owner can read.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{PREFIX}{}", STANDARD.encode(&self.0))
    }

    /// Signs a message: returns the value of the [`SIGNATURE`] header.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp_s: i64, body: &[u8]) -> String {
        let tag = self.mac(id, &timestamp_s.to_string(), body).finalize().into_bytes();
        format!("v1,{}", STANDARD.encode(tag))
    }

    fn mac(&self, id: &str, timestamp: &str, body: &[u8]) -> Hmac<Sha256> {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes any key");
        for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
            mac.update(part);
        }
        mac
    }
}

/// The three headers as they came, `None` where one was missing or not text.
#[derive(Clone, Copy, Debug, Default)]
pub struct Headers<'a> {
    /// [`ID`].
    pub id: Option<&'a str>,
    /// [`TIMESTAMP`].
    pub timestamp: Option<&'a str>,
    /// [`SIGNATURE`].
    pub signature: Option<&'a str>,
}

/// Why a message is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsigned {
    /// A header is missing or malformed.
    #[error("webhook headers are missing or malformed")]
    Headers,
    /// The time stamp is further than [`TOLERANCE_S`] from this clock.
    #[error("webhook-timestamp is outside the tolerance")]
    Timestamp,
    /// No signature is right.
    #[error("webhook-signature does not match")]
    Signature,
    /// The id came before with another body.
    #[error("webhook-id was used for another message")]
    Replayed,
    /// Too many ids within the tolerance.
    #[error("too many messages to remember")]
    Full,
}

/// Verifies messages and remembers their ids for as long as their time stamps would be taken.
#[derive(Debug)]
pub struct Verifier {
    secrets: Vec<Secret>,
    seen: BTreeMap<String, [u8; 32]>,
    /// Ids with their time of receipt, oldest first.
    order: VecDeque<(i64, String)>,
}

impl Verifier {
    /// Takes the secrets in force: several while a key is being changed.
    #[must_use]
    pub fn new(secrets: Vec<Secret>) -> Self {
        Self { secrets, seen: BTreeMap::new(), order: VecDeque::new() }
    }

    /// Checks a message that arrived at `now_s`. The same message may come again (a retry); what that means is the
    /// receiver's to say.
    ///
    /// # Errors
    /// Says why the message is not taken.
    pub fn verify(
        &mut self,
        now_s: i64,
        headers: Headers<'_>,
        body: &[u8],
    ) -> Result<(), Unsigned> {
        let (Some(id), Some(timestamp), Some(signatures)) =
            (headers.id, headers.timestamp, headers.signature)
        else {
            return Err(Unsigned::Headers);
        };
        if id.is_empty() || id.len() > MAX_ID_LEN {
            return Err(Unsigned::Headers);
        }
        let sent_s: i64 = timestamp.parse().map_err(|_| Unsigned::Headers)?;
        if now_s.abs_diff(sent_s) > TOLERANCE_S.unsigned_abs() {
            return Err(Unsigned::Timestamp);
        }
        if !self.is_signed(id, timestamp, signatures, body) {
            return Err(Unsigned::Signature);
        }
        self.remember(now_s, id, Sha256::digest(body).into())
    }

    fn is_signed(&self, id: &str, timestamp: &str, signatures: &str, body: &[u8]) -> bool {
        signatures
            .split(' ')
            .take(MAX_SIGNATURES)
            .filter_map(|signature| STANDARD.decode(signature.strip_prefix("v1,")?).ok())
            .any(|tag| {
                // `verify_slice` compares in constant time.
                self.secrets
                    .iter()
                    .any(|secret| secret.mac(id, timestamp, body).verify_slice(&tag).is_ok())
            })
    }

    fn remember(&mut self, now_s: i64, id: &str, digest: [u8; 32]) -> Result<(), Unsigned> {
        // A stamp from the future is taken up to one tolerance later than one from the present.
        while self.order.front().is_some_and(|(at, _)| now_s - at > 2 * TOLERANCE_S) {
            if let Some((_, old)) = self.order.pop_front() {
                self.seen.remove(&old);
            }
        }
        match self.seen.get(id) {
            Some(known) if *known == digest => Ok(()),
            Some(_) => Err(Unsigned::Replayed),
            None if self.seen.len() >= MAX_IDS => Err(Unsigned::Full),
            None => {
                self.seen.insert(id.to_owned(), digest);
                self.order.push_back((now_s, id.to_owned()));
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_S: i64 = 1_614_265_330;
    /// From the specification's reference libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const MESSAGE_ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const BODY: &[u8] = br#"{"test": 2432232314}"#;

    fn headers<'a>(id: &'a str, timestamp: &'a str, signature: &'a str) -> Headers<'a> {
        Headers { id: Some(id), timestamp: Some(timestamp), signature: Some(signature) }
    }

    #[test]
    fn the_signature_is_the_one_of_the_specification() {
        let secret = Secret::parse(SECRET).unwrap();
        let signature = secret.sign(MESSAGE_ID, NOW_S, BODY);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(Secret::parse(&secret.to_text()).unwrap(), secret);
    }

    #[test]
    fn only_the_signed_message_within_its_time_is_taken() {
        let secret = Secret::parse(SECRET).unwrap();
        let other = Secret::from_bytes(vec![7; 32]).unwrap();
        let stamp = NOW_S.to_string();
        let good = secret.sign(MESSAGE_ID, NOW_S, BODY);
        let forged = other.sign(MESSAGE_ID, NOW_S, BODY);
        let both = format!("{forged} v1a,nonsense {good}");
        for (now_s, headers, body, expected) in [
            (NOW_S, headers(MESSAGE_ID, &stamp, &good), BODY, Ok(())),
            (NOW_S, headers(MESSAGE_ID, &stamp, &both), BODY, Ok(())),
            (NOW_S + 300, headers(MESSAGE_ID, &stamp, &good), BODY, Ok(())),
            (NOW_S + 301, headers(MESSAGE_ID, &stamp, &good), BODY, Err(Unsigned::Timestamp)),
            (NOW_S - 301, headers(MESSAGE_ID, &stamp, &good), BODY, Err(Unsigned::Timestamp)),
            (NOW_S, headers(MESSAGE_ID, &stamp, &forged), BODY, Err(Unsigned::Signature)),
            (NOW_S, headers(MESSAGE_ID, &stamp, &good), b"{}", Err(Unsigned::Signature)),
            (NOW_S, headers("other", &stamp, &good), BODY, Err(Unsigned::Signature)),
            (NOW_S, headers("", &stamp, &good), BODY, Err(Unsigned::Headers)),
            (NOW_S, headers(MESSAGE_ID, "soon", &good), BODY, Err(Unsigned::Headers)),
            (NOW_S, headers(MESSAGE_ID, &stamp, "v1,"), BODY, Err(Unsigned::Signature)),
            (NOW_S, headers(MESSAGE_ID, &stamp, ""), BODY, Err(Unsigned::Signature)),
            (NOW_S, Headers::default(), BODY, Err(Unsigned::Headers)),
        ] {
            let mut verifier = Verifier::new(vec![secret.clone()]);
            assert_eq!(verifier.verify(now_s, headers, body), expected, "{headers:?} at {now_s}");
        }
    }

    #[test]
    fn an_id_is_good_for_one_message_and_is_forgotten_when_its_time_is_over() {
        let secret = Secret::parse(SECRET).unwrap();
        let mut verifier =
            Verifier::new(vec![Secret::from_bytes(vec![7; 24]).unwrap(), secret.clone()]);
        let mut send = |now_s: i64, body: &[u8]| {
            let signature = secret.sign("one", now_s, body);
            verifier.verify(now_s, headers("one", &now_s.to_string(), &signature), body)
        };
        assert_eq!(send(NOW_S, b"a"), Ok(()));
        assert_eq!(send(NOW_S + 1, b"a"), Ok(()));
        assert_eq!(send(NOW_S + 600, b"b"), Err(Unsigned::Replayed));
        assert_eq!(send(NOW_S + 601, b"b"), Ok(()));
    }

    #[test]
    fn the_memory_is_bounded_and_says_so() {
        let secret = Secret::from_bytes(vec![1; 24]).unwrap();
        let mut verifier = Verifier::new(vec![secret.clone()]);
        let mut send = |now_s: i64, id: &str| {
            let signature = secret.sign(id, now_s, b"");
            verifier.verify(now_s, headers(id, &now_s.to_string(), &signature), b"")
        };
        for n in 0..MAX_IDS {
            assert_eq!(send(NOW_S, &n.to_string()), Ok(()));
        }
        assert_eq!(send(NOW_S, "one too many"), Err(Unsigned::Full));
        assert_eq!(send(NOW_S + 2 * TOLERANCE_S + 1, "one too many"), Ok(()));
    }

    #[test]
    fn a_secret_says_what_is_wrong_with_it() {
        for (text, expected) in [
            ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", SecretError::Prefix),
            ("whsec_*", SecretError::Base64),
            ("whsec_AAAA", SecretError::Length(3)),
        ] {
            assert_eq!(Secret::parse(text), Err(expected));
        }
        assert!(Secret::parse(&format!("{SECRET}\n")).is_ok());
        assert!(!format!("{:?}", Secret::parse(SECRET)).contains("Mf"));
    }
}
