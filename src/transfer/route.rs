//! By which way packets leave: asked of the kernel, so that two links that
//! are one are named.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};

/// rtnetlink(7): ask for one route, be asked for it, the answer.
const RTM_NEWROUTE: u16 = 24;
const RTM_GETROUTE: u16 = 26;
const NLM_F_REQUEST: u16 = 1;
/// Attributes: destination, source, outgoing interface, gateway.
const RTA_DST: u16 = 1;
const RTA_SRC: u16 = 2;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
/// Bytes of the two headers before the attributes.
const HEADERS: usize = 16 + 12;

/// The way of packets from one address to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    /// Index of the interface that they leave by.
    interface: u32,
    /// The next hop; none where the peer is a neighbour.
    gateway: Option<Vec<u8>>,
}

/// The address that the kernel leaves by for `remote` where it may choose.
pub(super) fn source_of(remote: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = match remote {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // Connecting a UDP socket sends nothing.
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(remote).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// The route from `local` to `remote`; none if the kernel does not say.
pub(super) fn between(local: IpAddr, remote: IpAddr) -> Option<Route> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        // NETLINK_ROUTE is protocol 0.
        None,
    )
    .ok()?;
    let request = question(local, remote)?;
    send(&socket, &request, SendFlags::empty()).ok()?;
    let mut answer = [0; 4096];
    let (bytes, _) = recv(&socket, &mut answer[..], RecvFlags::empty()).ok()?;
    answer.get(..bytes).and_then(route_of)
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn question(local: IpAddr, remote: IpAddr) -> Option<Vec<u8>> {
    let family: u8 = match (local, remote) {
        (IpAddr::V4(_), IpAddr::V4(_)) => 2,
        (IpAddr::V6(_), IpAddr::V6(_)) => 10,
        _ => return None,
    };
    let (source, destination) = (octets(local), octets(remote));
    let bits = (destination.len() * 8) as u8;
    let mut message = vec![0; 16];
    message.extend([family, bits, bits, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    for (kind, value) in [(RTA_DST, &destination), (RTA_SRC, &source)] {
        message.extend((4 + value.len() as u16).to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend(value);
    }
    let length = message.len() as u32;
    message[..4].copy_from_slice(&length.to_ne_bytes());
    message[4..6].copy_from_slice(&RTM_GETROUTE.to_ne_bytes());
    message[6..8].copy_from_slice(&NLM_F_REQUEST.to_ne_bytes());
    Some(message)
}

fn route_of(answer: &[u8]) -> Option<Route> {
    let short = |at: usize, from: &[u8]| -> Option<u16> {
        Some(u16::from_ne_bytes(from.get(at..at + 2)?.try_into().ok()?))
    };
    if short(4, answer)? != RTM_NEWROUTE {
        return None;
    }
    let mut rest = answer.get(HEADERS..)?;
    let (mut interface, mut gateway) = (None, None);
    while rest.len() >= 4 {
        let (length, kind) = (usize::from(short(0, rest)?), short(2, rest)?);
        let value = rest.get(4..length)?;
        match kind {
            RTA_OIF => interface = Some(u32::from_ne_bytes(value.try_into().ok()?)),
            RTA_GATEWAY => gateway = Some(value.to_vec()),
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some(Route {
        interface: interface?,
        gateway,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_a_route_of_its_own() {
        let address = |last| IpAddr::from([127, 0, 0, last]);
        let remote = SocketAddr::new(address(1), 4433);
        assert_eq!(source_of(remote), Some(address(1)));
        let route = between(address(1), address(1)).unwrap();
        assert_eq!(route.gateway, None);
        assert_eq!(between(address(2), address(3)), Some(route));
        // No address of this machine.
        assert_eq!(between([192, 0, 2, 7].into(), address(1)), None);
        assert_eq!(between("::1".parse().unwrap(), address(1)), None);
    }

    #[test]
    fn answers_that_are_none_are_no_route() {
        assert_eq!(route_of(&[]), None);
        assert_eq!(route_of(&[0; 40]), None);
        let mut answer = vec![0; HEADERS];
        answer[4..6].copy_from_slice(&RTM_NEWROUTE.to_ne_bytes());
        assert_eq!(route_of(&answer), None);
        for length in [0_u16, 3, 5, 200] {
            let mut cut = answer.clone();
            cut.extend(length.to_ne_bytes());
            cut.extend(RTA_OIF.to_ne_bytes());
            assert_eq!(route_of(&cut), None, "{length}");
        }
    }
}
