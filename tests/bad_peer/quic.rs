//! QUIC with raw ed25519 keys, made here anew from quinn and rustls: a server
//! that admits everybody and says what a script tells it, and a client that
//! believes everybody and says what it likes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use ed25519_dalek::pkcs8::EncodePrivateKey;
use hikae_protocol::frame::{FRAME_HEADER_BYTES, Frame, FrameHeader, FrameKind};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use tokio::runtime::Runtime;

/// SubjectPublicKeyInfo of an ed25519 key, up to the key (RFC 8410).
const SPKI_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
const ALPN: &[u8] = b"hikae/1";

/// What the evil source says on a stream.
pub(crate) enum Say {
    Frame(Frame),
    Bytes(Vec<u8>),
    /// This again and again, until the other side has enough.
    Forever(Frame),
    /// Nothing more, and the stream stays open.
    Silence,
}

/// From a request to what is said.
pub(crate) type Script = Arc<dyn Fn(&Frame) -> Vec<Say> + Send + Sync>;

/// A frame as it travels.
pub(crate) fn written(frame: &Frame) -> Vec<u8> {
    [&frame.header()[..], &frame.payload].concat()
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

fn certified(key: &SigningKey) -> Arc<CertifiedKey> {
    let der = key.to_pkcs8_der().unwrap();
    let der = PrivateKeyDer::Pkcs8(der.as_bytes().to_vec().into());
    let PrivateKeyDer::Pkcs8(der) = &der else {
        unreachable!("it was made as PKCS #8")
    };
    let signer = rustls::crypto::ring::sign::any_eddsa_type(der).unwrap();
    let spki = [&SPKI_PREFIX[..], key.verifying_key().as_bytes()].concat();
    Arc::new(CertifiedKey::new(vec![CertificateDer::from(spki)], signer))
}

fn transport() -> Arc<quinn::TransportConfig> {
    let mut transport = quinn::TransportConfig::default();
    transport.keep_alive_interval(Some(Duration::from_secs(1)));
    Arc::new(transport)
}

/// Believes every key.
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Anybody {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

/// A server in this process, with a key of its choice.
pub(crate) struct Evil {
    runtime: Option<Runtime>,
    endpoint: quinn::Endpoint,
    /// Where it listens on the loopback.
    pub(crate) port: u16,
}

impl Evil {
    pub(crate) fn new(key: &SigningKey, script: Script) -> Evil {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let resolver = rustls::server::AlwaysResolvesServerRawPublicKeys::new(certified(key));
        let mut tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_client_cert_verifier(Arc::new(Anybody))
            .with_cert_resolver(Arc::new(resolver));
        tls.alpn_protocols = vec![ALPN.to_vec()];
        let tls = QuicServerConfig::try_from(tls).unwrap();
        let mut config = quinn::ServerConfig::with_crypto(Arc::new(tls));
        config.transport_config(transport());
        let runtime = runtime();
        let entered = runtime.enter();
        let address = ([127, 0, 0, 1], 0).into();
        let endpoint = quinn::Endpoint::server(config, address).unwrap();
        drop(entered);
        runtime.spawn(accept(endpoint.clone(), script));
        Evil {
            port: endpoint.local_addr().unwrap().port(),
            runtime: Some(runtime),
            endpoint,
        }
    }
}

impl Drop for Evil {
    fn drop(&mut self) {
        self.endpoint.close(0_u32.into(), b"");
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn accept(endpoint: quinn::Endpoint, script: Script) {
    while let Some(incoming) = endpoint.accept().await {
        let script = script.clone();
        tokio::spawn(async move {
            let Ok(connection) = incoming.await else {
                return;
            };
            while let Ok((send, receive)) = connection.accept_bi().await {
                tokio::spawn(answer(send, receive, script.clone()));
            }
        });
    }
}

async fn answer(mut send: quinn::SendStream, mut receive: quinn::RecvStream, script: Script) {
    let Ok(bytes) = receive.read_to_end(4 * 1024 * 1024).await else {
        return;
    };
    let (header, payload) = bytes.split_at(FRAME_HEADER_BYTES);
    let request = Frame {
        kind: FrameHeader::parse(header.try_into().unwrap()).unwrap().kind,
        payload: Bytes::copy_from_slice(payload),
    };
    if matches!(request.kind, FrameKind::Acknowledge | FrameKind::Beyond) {
        let _ = send.finish();
        return;
    }
    for say in script(&request) {
        let done = match say {
            Say::Frame(frame) => send.write_all(&written(&frame)).await,
            Say::Bytes(bytes) => send.write_all(&bytes).await,
            Say::Forever(frame) => {
                let bytes = written(&frame);
                while send.write_all(&bytes).await.is_ok() {}
                return;
            }
            Say::Silence => std::future::pending().await,
        };
        if done.is_err() {
            return;
        }
    }
    let _ = send.finish();
    // The stream is reset when it is dropped before it was read.
    let _ = send.stopped().await;
}

/// A client with a key of its choice that says what it likes.
pub(crate) struct Client {
    runtime: Runtime,
    connection: quinn::Connection,
    _endpoint: quinn::Endpoint,
}

impl Client {
    pub(crate) fn new(key: &SigningKey, port: u16) -> Client {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let resolver = rustls::client::AlwaysResolvesClientRawPublicKeys::new(certified(key));
        let mut tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody))
            .with_client_cert_resolver(Arc::new(resolver));
        tls.alpn_protocols = vec![ALPN.to_vec()];
        let tls = QuicClientConfig::try_from(tls).unwrap();
        let mut config = quinn::ClientConfig::new(Arc::new(tls));
        config.transport_config(transport());
        let runtime = runtime();
        let (endpoint, connection) = runtime.block_on(async {
            let any = ([127, 0, 0, 1], 0).into();
            let endpoint = quinn::Endpoint::client(any).unwrap();
            let address = ([127, 0, 0, 1], port).into();
            let connecting = endpoint.connect_with(config, address, "hikae").unwrap();
            let connection = connecting.await.unwrap();
            (endpoint, connection)
        });
        Client {
            runtime,
            connection,
            _endpoint: endpoint,
        }
    }

    /// Says these bytes on a stream of its own; gives the whole answer.
    pub(crate) fn say(&self, bytes: &[u8]) -> Vec<u8> {
        self.runtime.block_on(async {
            let open = tokio::time::timeout(Duration::from_secs(30), self.connection.open_bi());
            let open = open.await.expect("the center gave no stream");
            let (mut send, mut receive) = open.unwrap();
            // Fails where the center has answered before it heard everything.
            let _ = send.write_all(bytes).await;
            let _ = send.finish();
            let answer = receive.read_to_end(16 * 1024 * 1024);
            let answer = tokio::time::timeout(Duration::from_secs(30), answer).await;
            answer
                .expect("the center did not end its answer")
                .unwrap_or_default()
        })
    }

    /// Begins to speak and goes silent, on many streams.
    pub(crate) fn begin(&self, bytes: &[u8], streams: usize) -> Vec<quinn::SendStream> {
        self.runtime.block_on(async {
            let mut open = Vec::new();
            for _ in 0..streams {
                let more = tokio::time::timeout(Duration::from_secs(30), self.connection.open_bi());
                let more = more
                    .await
                    .unwrap_or_else(|_| panic!("the center gave {} streams", open.len()));
                let (mut send, _) = more.unwrap();
                send.write_all(bytes).await.unwrap();
                open.push(send);
            }
            open
        })
    }
}
