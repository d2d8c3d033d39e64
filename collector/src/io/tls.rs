//! What the listeners speak TLS with, by rustls with ring.

use std::sync::Arc;

use rustls::{
    ServerConfig,
    crypto::ring::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use super::serve::Protocol;

/// A certificate with its key.
#[derive(Clone, Debug)]
pub struct Tls {
    http1: Arc<ServerConfig>,
    http2: Arc<ServerConfig>,
}

impl Tls {
    /// Reads certificates in PEM. What is wrong is answered as a sentence without any of the text.
    pub(super) fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
        let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
        match found {
            Ok(found) if !found.is_empty() => Ok(found),
            _ => Err("holds no certificate in PEM".to_owned()),
        }
    }

    pub(super) fn key(pem: &str) -> Result<PrivateKeyDer<'static>, String> {
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes());
        key.map_err(|_| "holds no private key in PEM".to_owned())
    }

    pub(super) fn new(
        certificates: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, String> {
        let whole = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .and_then(|it| it.with_no_client_auth().with_single_cert(certificates, key))
            .map_err(|error| format!("does not go with the certificate: {error}"))?;
        let speaking = |protocol: &[u8]| {
            let mut config = whole.clone();
            config.alpn_protocols = vec![protocol.to_vec()];
            Arc::new(config)
        };
        Ok(Self { http1: speaking(b"http/1.1"), http2: speaking(b"h2") })
    }

    pub(super) fn speaking(&self, protocol: Protocol) -> Arc<ServerConfig> {
        Arc::clone(match protocol {
            Protocol::Http1 => &self.http1,
            Protocol::Http2 => &self.http2,
        })
    }
}
