//! Plain UDP through a link, as fast as it goes: what the laboratory itself
//! can carry. Runs as two more processes of the same program, one in each
//! namespace.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

pub const SEND: &str = "lab-udp-send";
pub const RECEIVE: &str = "lab-udp-receive";
const PORT: u16 = 4400;
const DATAGRAM: usize = 1452;
const LASTS: Duration = Duration::from_millis(1500);
/// At the begin and end of it nothing is counted.
const WARM: Duration = Duration::from_millis(300);

/// Does what the arguments say, if they are for this.
pub fn entered() -> Result<bool> {
    let arguments: Vec<String> = std::env::args().collect();
    let after = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        Some(arguments[at + 1..].to_vec())
    };
    if let Some(rest) = after(SEND) {
        let address = rest.first().context("an address")?;
        send(
            address,
            rest.get(1).and_then(|rate| rate.parse().ok()).unwrap_or(0),
        )?;
        return Ok(true);
    }
    if let Some(rest) = after(RECEIVE) {
        println!("{:.0}", receive(rest.first().context("an address")?)?);
        return Ok(true);
    }
    Ok(false)
}

/// A fifth more than the link's rate, so that it is always full.
fn send(address: &str, rate: u64) -> Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect((address, PORT))?;
    let begun = Instant::now();
    let (datagram, mut sent) = ([1; DATAGRAM], 0_u64);
    while begun.elapsed() < LASTS {
        let due = begun.elapsed().as_secs_f64() * rate as f64 * 1.2 / 8.0;
        if rate > 0 && sent as f64 > due {
            std::thread::sleep(Duration::from_micros(200));
            continue;
        }
        // A full device says so; that is what is looked for.
        let _ = socket.send(&datagram);
        sent += DATAGRAM as u64;
    }
    Ok(())
}

/// Bits per second.
fn receive(address: &str) -> Result<f64> {
    let socket = UdpSocket::bind((address, PORT))?;
    rustix::net::sockopt::set_socket_recv_buffer_size(&socket, 4 << 20)?;
    socket.set_read_timeout(Some(Duration::from_secs(3)))?;
    let mut datagram = [0; 2 * DATAGRAM];
    socket.recv(&mut datagram).context("nothing came through")?;
    let begun = Instant::now();
    socket.set_read_timeout(Some(Duration::from_millis(500)))?;
    let (mut bytes, mut last) = (0_u64, WARM);
    while let Ok(came) = socket.recv(&mut datagram) {
        let now = begun.elapsed();
        if now >= WARM && now <= LASTS - WARM {
            bytes += came as u64;
            last = now;
        }
    }
    Ok(bytes as f64 * 8.0 / (last - WARM).as_secs_f64().max(1e-3))
}
