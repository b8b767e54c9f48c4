//! A link: one QUIC connection, frames on its streams. The only file that
//! configures quinn.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use ed25519_dalek::SigningKey;
use hikae_protocol::frame::{FRAME_HEADER_BYTES, Frame, FrameError, FrameHeader, FrameKind};
use hikae_protocol::limits::STREAMS_MAX;
use hikae_protocol::snapshot::NodeId;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{Connection, Endpoint, ReadError, RecvStream, SendStream, TransportConfig, VarInt};
use rustls::pki_types::CertificateDer;
use serde::Serialize;

use super::tls::{self, Admission};
use crate::config::{Listen, Source, SourceLink};

/// A peer that is silent this long is gone.
const IDLE: Duration = Duration::from_secs(10);
/// So that silence means loss.
const KEEP_ALIVE: Duration = Duration::from_secs(2);
/// Bytes in flight on one stream, at most.
const STREAM_WINDOW: u32 = 10 * 1024 * 1024;
/// Bytes in flight on one connection, at most: 1 Gbit/s at 100 ms and a bundle.
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;
/// The path's MTU is searched to within this many bytes: each probe is a
/// whole datagram, and most syncs have little else to say.
const MTU_STEP: u16 = 200;
/// How long a closed connection may take to say so to the peer.
const FAREWELL: Duration = Duration::from_millis(20);
/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// Why a link failed.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// Keys or TLS could not be set up.
    #[error("TLS could not be set up: {0}")]
    Tls(String),
    /// A UDP socket could not be opened.
    #[error("link {link}, address {addr}: {source}")]
    Bind {
        /// The link's name.
        link: String,
        /// The local address.
        addr: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// No connection came about.
    #[error("link {link} to {remote}: {text}")]
    Connect {
        /// The link's name.
        link: String,
        /// The remote address.
        remote: SocketAddr,
        /// Why.
        text: String,
    },
    /// The connection was lost, or the peer closed it.
    #[error("the connection was lost: {0}")]
    Lost(String),
    /// The stream ended inside a frame, or before one that was due.
    #[error("the peer ended a stream too early")]
    Ended,
    /// The peer did not answer in time.
    #[error("the peer did not answer within {} s", .0.as_secs())]
    Silent(Duration),
    /// A frame that breaks the protocol.
    #[error(transparent)]
    Frame(#[from] FrameError),
}

/// What a connection moved so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LinkStats {
    /// UDP payload bytes sent.
    pub bytes_sent: u64,
    /// UDP payload bytes received.
    pub bytes_received: u64,
    /// UDP datagrams sent.
    pub datagrams_sent: u64,
    /// UDP datagrams received.
    pub datagrams_received: u64,
    /// Packets that were lost.
    pub packets_lost: u64,
    /// Round-trip time, microseconds.
    pub rtt_us: u64,
}

impl LinkStats {
    /// Reads a connection's counters.
    pub(super) fn of(connection: &Connection) -> LinkStats {
        let stats = connection.stats();
        LinkStats {
            bytes_sent: stats.udp_tx.bytes,
            bytes_received: stats.udp_rx.bytes,
            datagrams_sent: stats.udp_tx.datagrams,
            datagrams_received: stats.udp_rx.datagrams,
            packets_lost: stats.path.lost_packets,
            rtt_us: connection.rtt().as_micros() as u64,
        }
    }
}

fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    let mut discovery = quinn::MtuDiscoveryConfig::default();
    discovery.minimum_change(MTU_STEP);
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS_MAX))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(u64::from(CONNECTION_WINDOW))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(IDLE.try_into().ok())
        .datagram_receive_buffer_size(None)
        .mtu_discovery_config(Some(discovery));
    transport
}

/// Opens an address that peers reach us by; `admits` says who may connect.
///
/// Errors: `LinkError::Tls`, `LinkError::Bind`.
pub fn listen(
    listen: &Listen,
    key: &SigningKey,
    admits: Arc<Admission>,
) -> Result<Listener, LinkError> {
    let tls = tls::server(key, admits).map_err(|error| LinkError::Tls(error.to_string()))?;
    let tls = QuicServerConfig::try_from(tls).map_err(|error| LinkError::Tls(error.to_string()))?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(tls));
    config.transport_config(Arc::new(transport()));
    config.migration(false);
    let endpoint = Endpoint::server(config, listen.addr).map_err(|source| LinkError::Bind {
        link: listen.link.clone(),
        addr: listen.addr,
        source,
    })?;
    Ok(Listener { endpoint })
}

/// A connection that this side opened.
pub struct Link {
    endpoint: Endpoint,
    connection: Connection,
}

impl Link {
    /// What it moved so far.
    pub fn stats(&self) -> LinkStats {
        LinkStats::of(&self.connection)
    }

    /// The connection.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Says farewell.
    pub async fn close(self) {
        self.connection.close(0_u32.into(), b"done");
        // Waiting until the endpoint is idle means waiting for a lost
        // farewell to be sent again; the peer's idle time covers that.
        let _ = tokio::time::timeout(FAREWELL, self.endpoint.wait_idle()).await;
    }
}

/// An address that peers reach us by, open.
#[derive(Clone)]
pub struct Listener {
    endpoint: Endpoint,
}

impl Listener {
    /// The address; the port is a real one where 0 was configured.
    pub fn address(&self) -> Option<SocketAddr> {
        self.endpoint.local_addr().ok()
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Closes every connection, and waits until the peers could hear it.
    pub async fn close(self) {
        self.endpoint.close(0_u32.into(), b"the node ends");
        let _ = tokio::time::timeout(FAREWELL, self.endpoint.wait_idle()).await;
    }
}

/// Connects to a source by one link.
///
/// Errors: `LinkError`.
pub async fn connect(
    source: &Source,
    link: &SourceLink,
    key: &SigningKey,
) -> Result<Link, LinkError> {
    let tls = tls::client(key, source.id).map_err(|error| LinkError::Tls(error.to_string()))?;
    let tls = QuicClientConfig::try_from(tls).map_err(|error| LinkError::Tls(error.to_string()))?;
    let mut config = quinn::ClientConfig::new(Arc::new(tls));
    config.transport_config(Arc::new(transport()));
    let any = match link.remote {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
    };
    let addr = SocketAddr::new(link.local.unwrap_or(any), 0);
    let endpoint = Endpoint::client(addr).map_err(|source| LinkError::Bind {
        link: link.name.clone(),
        addr,
        source,
    })?;
    let failed = |text: String| LinkError::Connect {
        link: link.name.clone(),
        remote: link.remote,
        text,
    };
    let connecting = endpoint
        .connect_with(config, link.remote, "hikae")
        .map_err(|error| failed(error.to_string()))?;
    let connection = tokio::time::timeout(HANDSHAKE, connecting)
        .await
        .map_err(|_| failed(format!("no answer within {} s", HANDSHAKE.as_secs())))?
        .map_err(|error| failed(explained(&error)))?;
    Ok(Link {
        endpoint,
        connection,
    })
}

/// TLS alerts of a peer that does not know our key, in words.
fn explained(error: &quinn::ConnectionError) -> String {
    let text = error.to_string();
    let is_refusal = text.contains("certificate")
        || text.contains("CertificateUnknown")
        || text.contains("access");
    match is_refusal {
        true => format!(
            "the peer's key is not the pinned one, or it does not know ours ([[peer]] there): {text}"
        ),
        false => text,
    }
}

/// The node at the other end.
pub(super) fn peer_of(connection: &Connection) -> Option<NodeId> {
    let identity = connection.peer_identity()?;
    let certificates = identity.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    tls::node_of(certificates.first()?).ok()
}

fn lost(error: &dyn std::fmt::Display) -> LinkError {
    LinkError::Lost(error.to_string())
}

/// Opens a stream for one request.
///
/// Errors: `LinkError::Lost`.
pub(super) async fn open(connection: &Connection) -> Result<(SendStream, RecvStream), LinkError> {
    connection
        .open_bi()
        .await
        .map_err(|error| LinkError::Lost(explained(&error)))
}

/// Sends a frame.
///
/// Errors: `LinkError::Lost`.
pub(super) async fn send(stream: &mut SendStream, frame: &Frame) -> Result<(), LinkError> {
    let header = bytes::Bytes::copy_from_slice(&frame.header());
    stream
        .write_all_chunks(&mut [header, frame.payload.clone()])
        .await
        .map_err(|error| lost(&error))
}

/// Receives a frame, or none at the end of the stream. Memory is taken as
/// bytes arrive, after the header was checked; `deadline` is how long the peer
/// may be silent.
///
/// Errors: `LinkError`.
pub(super) async fn receive(
    stream: &mut RecvStream,
    deadline: Duration,
) -> Result<Option<Frame>, LinkError> {
    receive_frame(stream, deadline, |_| true).await
}

/// Receives a frame of a kind that a replica sends: others are refused on
/// their header.
///
/// Errors: `LinkError`.
pub(super) async fn receive_request(
    stream: &mut RecvStream,
    deadline: Duration,
) -> Result<Option<Frame>, LinkError> {
    receive_frame(stream, deadline, FrameKind::is_request).await
}

async fn receive_frame(
    stream: &mut RecvStream,
    deadline: Duration,
    wanted: fn(FrameKind) -> bool,
) -> Result<Option<Frame>, LinkError> {
    let silent = |_| LinkError::Silent(deadline);
    let mut header = [0; FRAME_HEADER_BYTES];
    match tokio::time::timeout(deadline, stream.read_exact(&mut header))
        .await
        .map_err(silent)?
    {
        Ok(()) => {}
        Err(quinn::ReadExactError::FinishedEarly(0)) => return Ok(None),
        Err(quinn::ReadExactError::FinishedEarly(_)) => return Err(LinkError::Ended),
        Err(quinn::ReadExactError::ReadError(error)) => return Err(read_error(&error)),
    }
    let header = FrameHeader::parse(header)?;
    if !wanted(header.kind) {
        return Err(FrameError::Kind(header.kind.byte()).into());
    }
    let mut payload = BytesMut::new();
    while payload.len() < header.length {
        let missing = header.length - payload.len();
        let chunk = tokio::time::timeout(deadline, stream.read_chunk(missing, true))
            .await
            .map_err(silent)?
            .map_err(|error| read_error(&error))?;
        payload.extend_from_slice(&chunk.ok_or(LinkError::Ended)?.bytes);
    }
    Ok(Some(Frame {
        kind: header.kind,
        payload: payload.freeze(),
    }))
}

fn read_error(error: &ReadError) -> LinkError {
    match error {
        ReadError::ConnectionLost(error) => LinkError::Lost(explained(error)),
        other => lost(other),
    }
}
