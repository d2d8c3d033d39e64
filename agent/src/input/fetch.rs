//! What can go wrong with a request, in words that name no address.

use std::time::Duration;

use tallylight_model::FaultKind;

/// Why a request brought nothing usable. `Display` is evidence for people: no address, path, query or credential in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// The host name does not resolve.
    #[error("host name does not resolve")]
    Resolve,
    /// Resolving took too long.
    #[error("resolving the host name took longer than {0:?}")]
    ResolveTimeout(Duration),
    /// Nobody listens there.
    #[error("connection refused")]
    Refused,
    /// No connection came about in time.
    #[error("no connection within {0:?}")]
    ConnectTimeout(Duration),
    /// The connection could not be made for another reason.
    #[error("cannot connect: {0}")]
    Connect(&'static str),
    /// The TLS handshake failed.
    #[error("TLS: {0}")]
    Tls(&'static str),
    /// Connected, but no answer came in time.
    #[error("no answer within {0:?}")]
    HeaderTimeout(Duration),
    /// The connection broke before the answer.
    #[error("connection closed before the answer")]
    ClosedEarly,
    /// The answer stopped coming.
    #[error("answer stood still for {0:?}")]
    BodyTimeout(Duration),
    /// The answer came too slowly to be of use.
    #[error("answer not complete within {0:?}")]
    TooSlow(Duration),
    /// The URL has a host or a character that a request cannot carry.
    #[error("URL cannot be requested")]
    Unrequestable,
    /// What answers does not speak HTTP.
    #[error("answer is not HTTP")]
    NotHttp,
    /// The answer has an error status.
    #[error("HTTP {0}")]
    Status(u16),
    /// Too many redirects in a row.
    #[error("more than {0} redirects")]
    Redirects(usize),
    /// A redirect that leads nowhere.
    #[error("HTTP {0} without a usable location")]
    BadRedirect(u16),
    /// A web page came instead of the stream.
    #[error("answer is a web page (HTML)")]
    Html,
    /// The answer is larger than anything it could rightly be.
    #[error("answer is larger than {0} MiB")]
    TooLarge(usize),
    /// The answer ended before its announced length.
    #[error("connection closed in the middle of the answer")]
    Truncated,
    /// The answer is compressed in a way that was not asked for, or damaged in it.
    #[error("answer is compressed and cannot be read")]
    Coding,
    /// The answer ended without one byte of content.
    #[error("answer is empty")]
    Empty,
}

impl FetchError {
    /// Whether whoever asked has waited for as long as the limit allows: asking again would only double it.
    #[must_use]
    pub const fn is_timeout(&self) -> bool {
        matches!(
            self,
            Self::ResolveTimeout(_)
                | Self::ConnectTimeout(_)
                | Self::HeaderTimeout(_)
                | Self::BodyTimeout(_)
                | Self::TooSlow(_)
        )
    }

    /// The condition that it is evidence of: `unreachable` where there was no answer, else `http_error`.
    #[must_use]
    pub const fn kind(&self) -> FaultKind {
        match self {
            Self::Resolve
            | Self::ResolveTimeout(_)
            | Self::Refused
            | Self::ConnectTimeout(_)
            | Self::Connect(_)
            | Self::Tls(_)
            | Self::HeaderTimeout(_)
            | Self::ClosedEarly
            | Self::BodyTimeout(_)
            | Self::TooSlow(_)
            | Self::Unrequestable => FaultKind::Unreachable,
            Self::NotHttp
            | Self::Status(_)
            | Self::Redirects(_)
            | Self::BadRedirect(_)
            | Self::Html
            | Self::TooLarge(_)
            | Self::Truncated
            | Self::Coding
            | Self::Empty => FaultKind::HttpError,
        }
    }
}

/// Whether bytes begin like a web page; white space and a byte order mark may stand before.
#[must_use]
pub fn looks_like_html(start: &[u8]) -> bool {
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start();
    [b"<!doctype".as_slice(), b"<html", b"<head", b"<body", b"<?xml"]
        .iter()
        .any(|tag| start.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn web_pages_are_told_from_streams() {
        for (start, html) in [
            (b"<!DOCTYPE html>".as_slice(), true),
            (b"\xef\xbb\xbf\r\n <HTML>", true),
            (b"<", false),
            (b"#EXTM3U", false),
            (b"\x47\x40", false),
            (b"", false),
        ] {
            assert_eq!(looks_like_html(start), html, "{start:?}");
        }
    }

    #[test]
    fn no_answer_is_unreachable_and_a_wrong_answer_is_an_http_error() {
        assert_eq!(FetchError::Refused.kind(), FaultKind::Unreachable);
        assert_eq!(
            FetchError::HeaderTimeout(Duration::from_secs(5)).kind(),
            FaultKind::Unreachable
        );
        assert_eq!(FetchError::Status(404).kind(), FaultKind::HttpError);
        assert_eq!(FetchError::Html.kind(), FaultKind::HttpError);
    }
}
