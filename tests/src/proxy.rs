//! A TCP proxy inside the test: the link of an agent that can be cut, halved, frozen and healed, without root.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use crate::ports::free_address;
/// What the proxy does with bytes and connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// All passes.
    Fine,
    /// Connections are closed and new ones refused, as by a server that is gone.
    Refused,
    /// Nothing passes and nothing is closed, as with a pulled cable. New connections are accepted and stay silent.
    Silent,
    /// Only what the client sends is held back.
    UpwardsHeld,
    /// Only what the server sends is held back.
    DownwardsHeld,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}

#[derive(Debug)]
struct Sky {
    weather: Weather,
    /// Connections of an older generation are frozen for ever.
    generation: u64,
    sockets: Vec<(u64, TcpStream)>,
    ended: bool,
}

#[derive(Debug)]
struct Shared {
    sky: Mutex<Sky>,
    changed: Condvar,
    upstream: SocketAddr,
    accepted: AtomicU64,
    delay_millis: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
}

/// The proxy. It ends, with its connections, when dropped.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
}

impl Proxy {
    /// Listens on a free port of 127.0.0.1 and passes everything to `upstream`.
    pub fn start(upstream: SocketAddr) -> Self {
        Self::start_on(free_address(Ipv4Addr::LOCALHOST.into()), upstream)
    }

    /// Listens on `address`.
    pub fn start_on(address: SocketAddr, upstream: SocketAddr) -> Self {
        Self::serve(
            TcpListener::bind(address).expect("the proxy's address is free"),
            upstream,
        )
    }

    fn serve(listener: TcpListener, upstream: SocketAddr) -> Self {
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let sky = Sky {
            weather: Weather::Fine,
            generation: 0,
            sockets: Vec::new(),
            ended: false,
        };
        let zero = || AtomicU64::new(0);
        let shared = Shared {
            sky: Mutex::new(sky),
            changed: Condvar::new(),
            upstream,
            accepted: zero(),
            delay_millis: zero(),
            up: zero(),
            down: zero(),
        };
        let shared = Arc::new(shared);
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &accepting));
        Self { shared, address }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many connections it has accepted.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// How many bytes clients have sent through it, and servers.
    pub fn passed(&self) -> (u64, u64) {
        let shared = &self.shared;
        (
            shared.up.load(Ordering::Relaxed),
            shared.down.load(Ordering::Relaxed),
        )
    }

    /// Changes the weather; what was held back goes on when it is fine again.
    pub fn set(&self, weather: Weather) {
        let mut sky = self.shared.sky();
        sky.weather = weather;
        if weather == Weather::Refused {
            sky.close();
        }
        self.shared.changed.notify_all();
    }

    /// Fine weather again.
    pub fn heal(&self) {
        self.set(Weather::Fine);
    }

    /// Closes every connection of now, and says how many there were; new ones pass.
    pub fn break_connections(&self) -> usize {
        self.shared.sky().close()
    }

    /// Every connection of now stays open and silent for ever, as when a router forgot it; new ones pass.
    pub fn freeze_connections(&self) {
        self.shared.sky().generation += 1;
        self.shared.changed.notify_all();
    }

    /// Delays each piece that passes, in both ways.
    pub fn delay(&self, delay: Duration) {
        let millis = u64::try_from(delay.as_millis()).expect("a short delay");
        self.shared.delay_millis.store(millis, Ordering::Relaxed);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let mut sky = self.shared.sky();
        sky.ended = true;
        sky.close();
        drop(sky);
        self.shared.changed.notify_all();
        // Wakes the accepting thread, which then sees the end.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn sky(&self) -> MutexGuard<'_, Sky> {
        self.sky.lock().expect("no thread of the proxy panics")
    }

    /// Waits until bytes of a connection may pass; false when the proxy has ended.
    fn wait_to_pass(&self, way: Way, generation: u64) -> bool {
        let held = |sky: &mut Sky| !sky.ended && (sky.generation != generation || sky.holds(way));
        let sky = self
            .changed
            .wait_while(self.sky(), held)
            .expect("no thread of the proxy panics");
        !sky.ended
    }
}

impl Sky {
    fn holds(&self, way: Way) -> bool {
        match self.weather {
            Weather::Fine | Weather::Refused => false,
            Weather::Silent => true,
            Weather::UpwardsHeld => way == Way::Up,
            Weather::DownwardsHeld => way == Way::Down,
        }
    }

    /// How many connections it closed: each has two sockets.
    fn close(&mut self) -> usize {
        let sockets = self.sockets.drain(..);
        let count = sockets.len() / 2;
        for (_, socket) in sockets {
            let _ = socket.shutdown(Shutdown::Both);
        }
        count
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming().flatten() {
        let (ended, refused) = {
            let sky = shared.sky();
            (sky.ended, sky.weather == Weather::Refused)
        };
        if ended {
            return;
        }
        if !refused {
            let number = shared.accepted.fetch_add(1, Ordering::Relaxed);
            let shared = Arc::clone(shared);
            thread::spawn(move || relay(&client, number, &shared));
        }
    }
}

fn relay(client: &TcpStream, number: u64, shared: &Arc<Shared>) {
    let generation = shared.sky().generation;
    if !shared.wait_to_pass(Way::Up, generation) {
        return;
    }
    let Ok(server) = TcpStream::connect(shared.upstream) else {
        return;
    };
    let _ = pair(client, &server, number, generation, shared);
    shared.sky().sockets.retain(|(owner, _)| *owner != number);
}

fn pair(
    client: &TcpStream,
    server: &TcpStream,
    number: u64,
    generation: u64,
    shared: &Arc<Shared>,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    shared
        .sky()
        .sockets
        .extend([(number, client.try_clone()?), (number, server.try_clone()?)]);
    let (upper_client, upper_server) = (client.try_clone()?, server.try_clone()?);
    let upper = Arc::clone(shared);
    let up = thread::spawn(move || pass(upper_client, upper_server, Way::Up, generation, &upper));
    pass(
        server.try_clone()?,
        client.try_clone()?,
        Way::Down,
        generation,
        shared,
    );
    let _ = up.join();
    Ok(())
}

/// Passes bytes until one side ends. A frozen connection stays here, open.
fn pass(mut from: TcpStream, mut to: TcpStream, way: Way, generation: u64, shared: &Shared) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(size @ 1..) = from.read(&mut buffer) {
        let delay = shared.delay_millis.load(Ordering::Relaxed);
        if delay > 0 {
            thread::sleep(Duration::from_millis(delay));
        }
        if !shared.wait_to_pass(way, generation) || to.write_all(&buffer[..size]).is_err() {
            break;
        }
        let passed = match way {
            Way::Up => &shared.up,
            Way::Down => &shared.down,
        };
        passed.fetch_add(size as u64, Ordering::Relaxed);
    }
    // The end of one side is held back like its bytes.
    if shared.wait_to_pass(way, generation) {
        let _ = to.shutdown(Shutdown::Write);
    }
}
