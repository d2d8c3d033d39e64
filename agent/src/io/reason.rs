//! Why a connection that a library made has failed, in words of our own: the library's name addresses.

use std::{error::Error, io, iter::successors};

use super::http::{describe, describe_tls};
use crate::input::FetchError;

/// The first cause that says more than that it failed; `None` where there is none.
pub(super) fn of(error: &(dyn Error + 'static)) -> Option<String> {
    let causes = successors(Some(error), |error: &&(dyn Error + 'static)| (*error).source());
    causes.filter_map(|cause| cause.downcast_ref::<io::Error>()).find_map(named)
}

fn named(error: &io::Error) -> Option<String> {
    let inner = error.get_ref();
    if inner.is_some_and(|inner| inner.is::<rustls::Error>()) {
        return Some(FetchError::Tls(describe_tls(error)).to_string());
    }
    // An error of the system, or one that wraps an error which says more.
    let wrapped = inner.and_then(|inner| of(inner));
    wrapped.or_else(|| error.raw_os_error().map(|_| describe(error).to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_found_however_deep_and_in_fixed_words() {
        let refused = || io::Error::from_raw_os_error(nix::libc::ECONNREFUSED);
        let issuer = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let cases = [
            (refused(), Some("connection refused")),
            (io::Error::other(refused()), Some("connection refused")),
            (io::Error::other(issuer), Some("TLS: certificate of an unknown issuer")),
            (io::Error::other("h.example.com is on fire"), None),
        ];
        for (error, expected) in cases {
            assert_eq!(of(&error).as_deref(), expected, "{error}");
        }
    }
}
