//! A link: one QUIC connection, frames on its streams. The only file that
//! configures quinn.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use ed25519_dalek::SigningKey;
use hikae_protocol::frame::{FRAME_HEADER_BYTES, Frame, FrameError, FrameHeader};
use hikae_protocol::limits::{REQUEST_BYTES_MAX, STREAMS_MAX};
use hikae_protocol::snapshot::NodeId;
use quinn::congestion::BbrConfig;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    Connection, Endpoint, EndpointConfig, ReadError, RecvStream, SendStream, TokioRuntime,
    TransportConfig, VarInt, WriteError,
};
use rustix::net::sockopt;
use rustls::pki_types::CertificateDer;
use serde::Serialize;

use super::meter::Meter;
use super::route;
use super::tls::{self, Admission};
use crate::config::{Listen, Rate, SourceLink};

/// A peer that is silent this long is gone: the other link carries on.
const IDLE: Duration = Duration::from_secs(3);
/// So that silence means loss.
const KEEP_ALIVE: Duration = Duration::from_millis(500);
/// Bytes of answers in flight on one stream, at most.
const STREAM_WINDOW: u64 = 10 * 1024 * 1024;
/// Bytes of answers in flight on one connection, at most: the
/// bandwidth-delay product of 1 Gbit/s at 100 ms, and a bundle.
const CONNECTION_WINDOW: u64 = 16 * 1024 * 1024;
/// Bytes of requests in flight on one connection, at most: two of the largest.
const REQUEST_WINDOW: u32 = 2 * REQUEST_BYTES_MAX as u32;
/// What a link with a limit may have in flight: so much time at its rate.
const LIMITED_WINDOW: Duration = Duration::from_millis(250);
/// And never less.
const LIMITED_WINDOW_MIN: u64 = 64 * 1024;
/// Bytes that the kernel is asked to keep for a UDP socket in each direction.
const SOCKET_BYTES: usize = 4 * 1024 * 1024;
/// The path's MTU is searched to within this many bytes: each probe is a
/// whole datagram, and most syncs have little else to say.
const MTU_STEP: u16 = 200;
/// Said where the kernel gives a socket less than it is asked for.
pub(super) const SMALL_BUFFERS: &str = "the kernel keeps little for UDP sockets: bursts of a fast \
    link may be lost (sysctl net.core.rmem_max and wmem_max: 4194304)";
/// How long a closed connection may take to say so to the peer.
const FAREWELL: Duration = Duration::from_millis(20);
/// How long a handshake may take.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(10);

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
    /// No link of a source can be used.
    #[error("{0}")]
    NoLink(String),
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
    /// Packets sent.
    pub packets_sent: u64,
    /// Those of them that were lost.
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
            packets_sent: stats.path.sent_packets,
            packets_lost: stats.path.lost_packets,
            rtt_us: connection.rtt().as_micros() as u64,
        }
    }

    /// Both together; the round-trip time is the other's.
    pub(super) fn and(self, other: &LinkStats) -> LinkStats {
        LinkStats {
            bytes_sent: self.bytes_sent + other.bytes_sent,
            bytes_received: self.bytes_received + other.bytes_received,
            datagrams_sent: self.datagrams_sent + other.datagrams_sent,
            datagrams_received: self.datagrams_received + other.datagrams_received,
            packets_sent: self.packets_sent + other.packets_sent,
            packets_lost: self.packets_lost + other.packets_lost,
            rtt_us: other.rtt_us,
        }
    }
}

/// What both sides have in common.
fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    let mut discovery = quinn::MtuDiscoveryConfig::default();
    discovery.minimum_change(MTU_STEP);
    transport
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .send_window(CONNECTION_WINDOW)
        // Cubic takes every lost packet for a full queue: at 5 % of random
        // loss it was twelve times slower.
        .congestion_controller_factory(Arc::new(BbrConfig::default()))
        // An answer is finished before the next one begins: what was asked
        // for first is there first.
        .send_fairness(false)
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(IDLE.try_into().ok())
        .datagram_receive_buffer_size(None)
        .mtu_discovery_config(Some(discovery));
    transport
}

/// A source receives requests.
fn source_transport() -> TransportConfig {
    let mut transport = transport();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(STREAMS_MAX))
        .stream_receive_window(VarInt::from_u32(REQUEST_WINDOW))
        .receive_window(VarInt::from_u32(REQUEST_WINDOW));
    transport
}

/// A replica receives answers; by a link with a limit, what the limit lets
/// through within `LIMITED_WINDOW`.
fn replica_transport(limit: Option<Rate>) -> TransportConfig {
    let limited = limit.map_or(u64::MAX, |rate| {
        let millis = LIMITED_WINDOW.as_millis() as u64;
        let bytes = rate.bytes_per_second.saturating_mul(millis) / 1000;
        bytes.max(LIMITED_WINDOW_MIN)
    });
    let window = |most: u64| VarInt::from_u64(most.min(limited)).unwrap_or(VarInt::MAX);
    let mut transport = transport();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .stream_receive_window(window(STREAM_WINDOW))
        .receive_window(window(CONNECTION_WINDOW));
    transport
}

/// A UDP socket with room for bursts.
fn socket(addr: SocketAddr) -> std::io::Result<UdpSocket> {
    let socket = UdpSocket::bind(addr)?;
    // The kernel gives what its limits allow; that is reported, no error.
    let _ = sockopt::set_socket_recv_buffer_size(&socket, SOCKET_BYTES);
    let _ = sockopt::set_socket_send_buffer_size(&socket, SOCKET_BYTES);
    Ok(socket)
}

/// Bytes that the kernel keeps for a socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct SocketBuffers {
    /// Of what was received.
    pub receive: usize,
    /// Of what is to be sent.
    pub send: usize,
}

impl SocketBuffers {
    fn of(socket: &UdpSocket) -> SocketBuffers {
        // Linux reports twice what is usable.
        let usable = |got: rustix::io::Result<usize>| got.unwrap_or(0) / 2;
        SocketBuffers {
            receive: usable(sockopt::socket_recv_buffer_size(socket)),
            send: usable(sockopt::socket_send_buffer_size(socket)),
        }
    }

    /// Whether the kernel gave less than it was asked for.
    pub fn is_small(&self) -> bool {
        self.receive.min(self.send) < SOCKET_BYTES
    }
}

fn endpoint(
    link: &str,
    addr: SocketAddr,
    server: Option<quinn::ServerConfig>,
) -> Result<(Endpoint, SocketBuffers), LinkError> {
    let failed = |source| LinkError::Bind {
        link: link.into(),
        addr,
        source,
    };
    let socket = socket(addr).map_err(failed)?;
    let buffers = SocketBuffers::of(&socket);
    let (config, runtime) = (EndpointConfig::default(), Arc::new(TokioRuntime));
    let endpoint = Endpoint::new(config, server, socket, runtime).map_err(failed)?;
    Ok((endpoint, buffers))
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
    config.transport_config(Arc::new(source_transport()));
    config.migration(false);
    let (endpoint, buffers) = endpoint(&listen.link, listen.addr, Some(config))?;
    if buffers.is_small() {
        tracing::info!(link = listen.link, ?buffers, "{SMALL_BUFFERS}");
    }
    Ok(Listener { endpoint })
}

/// A connection that this side opened.
pub(super) struct Link {
    endpoint: Endpoint,
    connection: Connection,
    buffers: SocketBuffers,
    local: Option<IpAddr>,
}

impl Link {
    /// What it moved so far.
    pub(super) fn stats(&self) -> LinkStats {
        LinkStats::of(&self.connection)
    }

    /// The connection.
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The address that it leaves by.
    pub(super) fn local(&self) -> Option<IpAddr> {
        self.local
    }

    /// What the kernel gave its socket.
    pub(super) fn buffers(&self) -> SocketBuffers {
        self.buffers
    }

    /// Says farewell.
    pub(super) async fn close(self) {
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
pub(super) async fn connect(
    source: NodeId,
    link: &SourceLink,
    key: &SigningKey,
    within: Duration,
) -> Result<Link, LinkError> {
    let tls = tls::client(key, source).map_err(|error| LinkError::Tls(error.to_string()))?;
    let tls = QuicClientConfig::try_from(tls).map_err(|error| LinkError::Tls(error.to_string()))?;
    let mut config = quinn::ClientConfig::new(Arc::new(tls));
    config.transport_config(Arc::new(replica_transport(link.rate)));
    let any = match link.remote {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
    };
    let addr = SocketAddr::new(link.local.unwrap_or(any), 0);
    let (endpoint, buffers) = endpoint(&link.name, addr, None)?;
    let failed = |text: String| LinkError::Connect {
        link: link.name.clone(),
        remote: link.remote,
        text,
    };
    let connecting = endpoint
        .connect_with(config, link.remote, "hikae")
        .map_err(|error| failed(error.to_string()))?;
    let connection = tokio::time::timeout(within, connecting)
        .await
        .map_err(|_| failed(format!("no answer within {} s", within.as_secs())))?
        .map_err(|error| failed(explained(&error)))?;
    Ok(Link {
        endpoint,
        connection,
        buffers,
        local: link.local.or_else(|| route::source_of(link.remote)),
    })
}

/// Whether a peer does not know our key, or has another one than the pinned:
/// asking again changes nothing.
pub(super) fn is_refusal(error: &quinn::ConnectionError) -> bool {
    let text = error.to_string();
    text.contains("certificate") || text.contains("CertificateUnknown") || text.contains("access")
}

/// TLS alerts of a peer that does not know our key, in words.
pub(super) fn explained(error: &quinn::ConnectionError) -> String {
    let text = error.to_string();
    match is_refusal(error) {
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
        .map_err(|error| match error {
            WriteError::ConnectionLost(error) => LinkError::Lost(explained(&error)),
            other => lost(&other),
        })
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
    let Some(header) = receive_header(stream, deadline).await? else {
        return Ok(None);
    };
    receive_payload(stream, deadline, header, None)
        .await
        .map(Some)
}

/// Receives a frame of a kind that a replica sends: others are refused on
/// their header.
///
/// Errors: `LinkError`.
pub(super) async fn receive_request(
    stream: &mut RecvStream,
    deadline: Duration,
) -> Result<Option<Frame>, LinkError> {
    let Some(header) = receive_header(stream, deadline).await? else {
        return Ok(None);
    };
    match header.kind.is_request() {
        true => receive_payload(stream, deadline, header, None)
            .await
            .map(Some),
        false => Err(FrameError::Kind(header.kind.byte()).into()),
    }
}

/// Receives an answer of one frame; `begun` hears that it begins, `meter` what
/// of it has come.
///
/// Errors: `LinkError`.
pub(super) async fn receive_answer(
    stream: &mut RecvStream,
    deadline: Duration,
    meter: &Meter,
    begun: impl FnOnce(),
) -> Result<Frame, LinkError> {
    let header = receive_header(stream, deadline)
        .await?
        .ok_or(LinkError::Ended)?;
    begun();
    meter.took(FRAME_HEADER_BYTES).await;
    receive_payload(stream, deadline, header, Some(meter)).await
}

async fn receive_header(
    stream: &mut RecvStream,
    deadline: Duration,
) -> Result<Option<FrameHeader>, LinkError> {
    let mut header = [0; FRAME_HEADER_BYTES];
    match tokio::time::timeout(deadline, stream.read_exact(&mut header))
        .await
        .map_err(|_| LinkError::Silent(deadline))?
    {
        Ok(()) => Ok(Some(FrameHeader::parse(header)?)),
        Err(quinn::ReadExactError::FinishedEarly(0)) => Ok(None),
        Err(quinn::ReadExactError::FinishedEarly(_)) => Err(LinkError::Ended),
        Err(quinn::ReadExactError::ReadError(error)) => Err(read_error(&error)),
    }
}

async fn receive_payload(
    stream: &mut RecvStream,
    deadline: Duration,
    header: FrameHeader,
    meter: Option<&Meter>,
) -> Result<Frame, LinkError> {
    let mut payload = BytesMut::new();
    while payload.len() < header.length {
        let missing = header.length - payload.len();
        let chunk = tokio::time::timeout(deadline, stream.read_chunk(missing, true))
            .await
            .map_err(|_| LinkError::Silent(deadline))?
            .map_err(|error| read_error(&error))?;
        let chunk = chunk.ok_or(LinkError::Ended)?.bytes;
        payload.extend_from_slice(&chunk);
        if let Some(meter) = meter {
            meter.took(chunk.len()).await;
        }
    }
    Ok(Frame {
        kind: header.kind,
        payload: payload.freeze(),
    })
}

fn read_error(error: &ReadError) -> LinkError {
    match error {
        ReadError::ConnectionLost(error) => LinkError::Lost(explained(error)),
        other => lost(other),
    }
}
