//! A path that misbehaves: a UDP relay in this process with a rate, a delay, a
//! bounded queue and loss for each direction, changed while it works.

#![allow(unreachable_pub, reason = "a test has no outside")]

use std::collections::{HashMap, VecDeque};
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Bytes that wait in a queue, at most; more is dropped at the tail.
const QUEUE_BYTES: usize = 256 * 1024;
/// How often threads look whether they should end.
const LOOK: Duration = Duration::from_millis(20);

/// One direction, as it is now.
#[derive(Default)]
pub struct Direction {
    /// Bytes per second; 0: as fast as it goes.
    pub rate: AtomicU64,
    /// Nothing comes through.
    pub black: AtomicBool,
    /// Datagrams lost of each 10,000.
    pub loss: AtomicU64,
    /// Bytes that came through.
    pub bytes: AtomicU64,
    /// When something came through, milliseconds after the relay began.
    pub last_ms: AtomicU64,
}

struct Shared {
    up: Direction,
    down: Direction,
    delay: Duration,
    ended: AtomicBool,
    begun: Instant,
}

/// A relay; it ends with its owner.
pub struct Relay {
    shared: Arc<Shared>,
    port: u16,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Relay {
    /// To a port of this machine, each way with this rate (bytes per second)
    /// and delay.
    pub fn new(to: u16, rate: u64, delay: Duration) -> Relay {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            up: Direction::default(),
            down: Direction::default(),
            delay,
            ended: AtomicBool::new(false),
            begun: Instant::now(),
        });
        shared.up.rate.store(rate, Ordering::Relaxed);
        shared.down.rate.store(rate, Ordering::Relaxed);
        let working = shared.clone();
        let thread = std::thread::spawn(move || accept(&working, socket, to));
        Relay {
            shared,
            port,
            threads: Mutex::new(vec![thread]),
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// From the replica to the source.
    pub fn up(&self) -> &Direction {
        &self.shared.up
    }

    /// From the source to the replica.
    pub fn down(&self) -> &Direction {
        &self.shared.down
    }

    /// Nothing comes through in both directions, or it does again.
    pub fn black(&self, black: bool) {
        self.up().black.store(black, Ordering::Relaxed);
        self.down().black.store(black, Ordering::Relaxed);
    }

    /// Datagrams lost of each 10,000, both ways.
    pub fn loss(&self, loss: u64) {
        self.up().loss.store(loss, Ordering::Relaxed);
        self.down().loss.store(loss, Ordering::Relaxed);
    }

    /// Bytes that came to the replica.
    pub fn brought(&self) -> u64 {
        self.down().bytes.load(Ordering::Relaxed)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
        for thread in self.threads.lock().unwrap().drain(..) {
            let _ = thread.join();
        }
    }
}

/// One queue: datagrams and when they come out.
struct Queue {
    waiting: VecDeque<(Instant, SocketAddr, Vec<u8>)>,
    bytes: usize,
    free_at: Instant,
    chance: u64,
}

impl Queue {
    fn new(seed: u64) -> Queue {
        Queue {
            waiting: VecDeque::new(),
            bytes: 0,
            free_at: Instant::now(),
            chance: seed | 1,
        }
    }

    fn chance(&mut self) -> u64 {
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        self.chance
    }

    fn push(
        &mut self,
        direction: &Direction,
        delay: Duration,
        sender: SocketAddr,
        datagram: &[u8],
    ) {
        let lost = self.chance() % 10_000 < direction.loss.load(Ordering::Relaxed);
        let black = direction.black.load(Ordering::Relaxed);
        if lost || black || self.bytes + datagram.len() > QUEUE_BYTES {
            return;
        }
        let rate = direction.rate.load(Ordering::Relaxed);
        let takes = match rate {
            0 => Duration::ZERO,
            rate => Duration::from_secs_f64(datagram.len() as f64 / rate as f64),
        };
        self.free_at = self.free_at.max(Instant::now()) + takes;
        self.bytes += datagram.len();
        self.waiting
            .push_back((self.free_at + delay, sender, datagram.to_vec()));
    }

    fn pop(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        let due = self.waiting.front()?.0 <= Instant::now();
        let (_, sender, datagram) = due.then(|| self.waiting.pop_front())??;
        self.bytes -= datagram.len();
        Some((sender, datagram))
    }

    /// How long until the next comes out.
    fn wait(&self) -> Duration {
        let next = self.waiting.front();
        let wait = next.map_or(LOOK, |next| {
            next.0.saturating_duration_since(Instant::now())
        });
        wait.clamp(Duration::from_micros(200), LOOK)
    }
}

/// Moves datagrams of one direction.
fn move_on(
    shared: &Shared,
    direction: &Direction,
    from: &UdpSocket,
    mut send: impl FnMut(SocketAddr, &[u8]),
) {
    let mut queue = Queue::new(from.local_addr().unwrap().port().into());
    let mut buffer = [0; 65_536];
    while !shared.ended.load(Ordering::Relaxed) {
        from.set_read_timeout(Some(queue.wait())).unwrap();
        if let Ok((bytes, sender)) = from.recv_from(&mut buffer) {
            queue.push(direction, shared.delay, sender, &buffer[..bytes]);
        }
        while let Some((sender, datagram)) = queue.pop() {
            // What was under way when the path went dark is lost, too.
            if direction.black.load(Ordering::Relaxed) {
                continue;
            }
            let bytes = datagram.len() as u64;
            direction.bytes.fetch_add(bytes, Ordering::Relaxed);
            let at = shared.begun.elapsed().as_millis() as u64;
            direction.last_ms.store(at, Ordering::Relaxed);
            send(sender, &datagram);
        }
    }
}

/// Every address that sends something gets a socket of its own to the source.
fn accept(shared: &Arc<Shared>, socket: UdpSocket, to: u16) {
    let socket = Arc::new(socket);
    let mut threads = vec![];
    let mut clients: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    move_on(shared, &shared.up, &socket, |client, datagram| {
        let upstream = clients.entry(client).or_insert_with(|| {
            let upstream = UdpSocket::bind("127.0.0.1:0").unwrap();
            upstream.connect(("127.0.0.1", to)).unwrap();
            let upstream = Arc::new(upstream);
            let (shared, socket, from) = (shared.clone(), socket.clone(), upstream.clone());
            threads.push(std::thread::spawn(move || {
                let send = |_, datagram: &[u8]| drop(socket.send_to(datagram, client));
                move_on(&shared, &shared.down, &from, send);
            }));
            upstream
        });
        let _ = upstream.send(datagram);
    });
    for thread in threads {
        let _ = thread.join();
    }
}
