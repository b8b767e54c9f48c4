//! The viewer's own TLS certificate: made once, kept in the vault, shown by
//! its fingerprint so that a person can compare it at the first visit.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, SanType};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};

use super::vault::{Vault, VaultError};

const RECORD: &str = "certificate";
/// Years that a certificate is good for: nobody renews one in a shelter.
const YEARS: i32 = 10;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// The vault failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// It can't be made.
    #[error("the certificate can't be made: {0}")]
    Make(#[from] rcgen::Error),
    /// It can't be used.
    #[error("the certificate can't be used: {0}")]
    Use(#[from] rustls::Error),
}

#[derive(Clone, Serialize, Deserialize)]
struct Kept {
    /// What the certificate is for.
    names: Vec<String>,
    addresses: Vec<IpAddr>,
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// A certificate that browsers are shown.
pub(super) struct Certificate {
    /// What the TLS layer needs.
    pub config: Arc<ServerConfig>,
    /// SHA-256 of the certificate, as browsers show it.
    pub fingerprint: String,
}

/// The kept certificate; another one if there is none for these names and
/// addresses yet.
pub(super) fn load(
    vault: &Vault,
    names: &[String],
    addresses: &[IpAddr],
    now: jiff::Timestamp,
) -> Result<Certificate, CertificateError> {
    let mut names: Vec<String> = names.to_vec();
    names.push("localhost".into());
    let mut addresses = addresses.to_vec();
    addresses.extend([
        Ipv4Addr::LOCALHOST.into(),
        IpAddr::from(Ipv6Addr::LOCALHOST),
    ]);
    let kept = vault.read::<Kept>(RECORD)?.filter(|kept| {
        names.iter().all(|name| kept.names.contains(name))
            && addresses
                .iter()
                .all(|address| kept.addresses.contains(address))
    });
    let kept = match kept {
        Some(kept) => kept,
        None => {
            let made = make(names, addresses, now)?;
            vault.write(RECORD, &made)?;
            made
        }
    };
    let fingerprint = fingerprint(&kept.certificate);
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(kept.key));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(kept.certificate)], key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Certificate {
        config: Arc::new(config),
        fingerprint,
    })
}

fn make(
    names: Vec<String>,
    addresses: Vec<IpAddr>,
    now: jiff::Timestamp,
) -> Result<Kept, CertificateError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names.clone())?;
    let more = addresses.iter().map(|address| SanType::IpAddress(*address));
    params.subject_alt_names.extend(more);
    params
        .distinguished_name
        .push(DnType::CommonName, "hikae viewer");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let today = now.to_zoned(jiff::tz::TimeZone::UTC).date();
    let year = i32::from(today.year());
    // The clock of a laptop that was off for months may be behind.
    params.not_before = rcgen::date_time_ymd(year - 1, 1, 1);
    params.not_after = rcgen::date_time_ymd(year + YEARS, 1, 1);
    let certificate = params.self_signed(&key)?;
    Ok(Kept {
        names,
        addresses,
        certificate: certificate.der().to_vec(),
        key: key.serialize_der(),
    })
}

fn fingerprint(certificate: &[u8]) -> String {
    use rustls::crypto::hash::{Hash, HashAlgorithm};
    let suite = rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
    let hash: Option<&dyn Hash> = suite
        .tls13()
        .map(|suite| suite.common.hash_provider)
        .filter(|hash| hash.algorithm() == HashAlgorithm::SHA256);
    let digest = hash.map(|hash| hash.hash(certificate));
    let bytes = digest.as_ref().map_or(&[][..], AsRef::as_ref);
    let parts: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    parts.join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_kept_until_it_lacks_a_name() {
        let folder = tempfile::tempdir().unwrap();
        let vault = Vault::open(folder.path(), None).unwrap();
        let now = jiff::Timestamp::from_second(1_775_000_000).unwrap();
        let one = load(&vault, &[], &[], now).unwrap().fingerprint;
        assert_eq!(one.len(), 32 * 3 - 1);
        assert_eq!(load(&vault, &[], &[], now).unwrap().fingerprint, one);
        let two = load(&vault, &["laptop.example".into()], &[], now).unwrap();
        assert_ne!(two.fingerprint, one);
        assert_eq!(
            load(&vault, &[], &[], now).unwrap().fingerprint,
            two.fingerprint
        );
    }
}
