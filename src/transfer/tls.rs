//! TLS 1.3 with raw ed25519 keys on both sides (RFC 7250): no certificates,
//! no authority, no names; each side knows the other's key or refuses it.

use std::sync::Arc;

use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::EncodePrivateKey;
use hikae_protocol::snapshot::NodeId;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerIncompatible,
    SignatureScheme,
};

/// The version of the protocol, as TLS names it.
pub(super) const ALPN: &[u8] = b"hikae/1";
/// SubjectPublicKeyInfo of an ed25519 key, up to the key (RFC 8410).
const SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

/// Says whether a key may connect.
pub(super) type Admission = dyn Fn(&NodeId) -> bool + Send + Sync;

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// The node whose key this is.
pub(super) fn node_of(spki: &CertificateDer<'_>) -> Result<NodeId, Error> {
    let key = spki
        .strip_prefix(&SPKI_PREFIX[..])
        .and_then(|key| key.try_into().ok());
    key.map(NodeId)
        .ok_or(Error::InvalidCertificate(CertificateError::BadEncoding))
}

fn certified(key: &SigningKey) -> Result<Arc<CertifiedKey>, Error> {
    let wrong = |error: &dyn std::fmt::Display| Error::General(error.to_string());
    let der = key.to_pkcs8_der().map_err(|error| wrong(&error))?;
    let der = PrivateKeyDer::Pkcs8(der.as_bytes().to_vec().into());
    let signer = rustls::crypto::ring::sign::any_eddsa_type(&match der {
        PrivateKeyDer::Pkcs8(der) => der,
        _ => return Err(Error::General("no PKCS #8".into())),
    })?;
    let spki = [&SPKI_PREFIX[..], key.verifying_key().as_bytes()].concat();
    Ok(Arc::new(CertifiedKey::new(
        vec![CertificateDer::from(spki)],
        signer,
    )))
}

/// The configuration of a node that is connected to.
///
/// Errors: `rustls::Error`.
pub(super) fn server(
    key: &SigningKey,
    admits: Arc<Admission>,
) -> Result<rustls::ServerConfig, Error> {
    let verifier = Arc::new(PinnedKeys {
        admits,
        algorithms: provider().signature_verification_algorithms,
    });
    let resolver = rustls::server::AlwaysResolvesServerRawPublicKeys::new(certified(key)?);
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.max_early_data_size = 0;
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// The configuration of a node that connects to `source`.
///
/// Errors: `rustls::Error`.
pub(super) fn client(key: &SigningKey, source: NodeId) -> Result<rustls::ClientConfig, Error> {
    let verifier = Arc::new(PinnedKeys {
        admits: Arc::new(move |id: &NodeId| *id == source),
        algorithms: provider().signature_verification_algorithms,
    });
    let resolver = rustls::client::AlwaysResolvesClientRawPublicKeys::new(certified(key)?);
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.enable_early_data = false;
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// Accepts the keys that `admits` admits, and their signatures.
struct PinnedKeys {
    admits: Arc<Admission>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl std::fmt::Debug for PinnedKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PinnedKeys")
    }
}

impl PinnedKeys {
    fn admit(&self, spki: &CertificateDer<'_>) -> Result<(), Error> {
        let id = node_of(spki)?;
        match (self.admits)(&id) {
            true => Ok(()),
            false => {
                tracing::warn!(node = %id, "refused an unknown node key");
                Err(Error::InvalidCertificate(
                    CertificateError::ApplicationVerificationFailure,
                ))
            }
        }
    }

    fn signature(
        &self,
        message: &[u8],
        spki: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let spki = SubjectPublicKeyInfoDer::from(spki.as_ref());
        verify_tls13_signature_with_raw_key(message, &spki, signed, &self.algorithms)
    }
}

/// TLS 1.2 is never spoken.
fn no_tls12() -> Result<HandshakeSignatureValid, Error> {
    Err(PeerIncompatible::Tls12NotOffered.into())
}

impl ServerCertVerifier for PinnedKeys {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.admit(end_entity)
            .map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for PinnedKeys {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.admit(end_entity)
            .map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [S8-3] one application protocol, and nothing that could be replayed.
    #[test]
    fn one_protocol_no_early_data_no_resumption() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let server = server(&key, Arc::new(|_| true)).unwrap();
        assert_eq!(server.alpn_protocols, [b"hikae/1"]);
        assert_eq!(server.max_early_data_size, 0);
        assert_eq!(server.send_tls13_tickets, 0);
        let id = NodeId(key.verifying_key().to_bytes());
        let client = client(&key, id).unwrap();
        assert_eq!(client.alpn_protocols, [b"hikae/1"]);
        assert!(!client.enable_early_data);
    }

    /// [S8-2] a raw ed25519 key, and no other certificate, is a node.
    #[test]
    fn only_a_raw_ed25519_key_is_a_node() {
        let key = SigningKey::from_bytes(&[1; 32]);
        let spki = certified(&key).unwrap().cert[0].to_vec();
        assert_eq!(spki.len(), 44);
        let id = node_of(&CertificateDer::from(spki.clone())).unwrap();
        assert_eq!(id, NodeId(key.verifying_key().to_bytes()));
        for at in 0..SPKI_PREFIX.len() {
            let mut bad = spki.clone();
            bad[at] ^= 1;
            assert!(node_of(&CertificateDer::from(bad)).is_err(), "byte {at}");
        }
        for length in 0..44 {
            let short = CertificateDer::from(spki[..length].to_vec());
            assert!(node_of(&short).is_err(), "{length} bytes");
        }
    }
}
