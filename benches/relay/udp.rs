//! DatagramBatch.

use std::io;
use std::io::IoSlice;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use super::Bench;
use super::measure::Sample;
use super::pattern::Pattern;
use super::rig::{Link, Rig};
use super::server::Subject;
use super::table::Bar;
use super::uplink::{Arrivals, Schedule};
use super::wire::Event;

/// Devices that send.
const SENDERS: usize = 8;

/// DatagramBatch that a sender hands over at once, for the kernel to take apart (UDP_SEGMENT): one
/// system call for each would let the loader give out long before the relay.
const BURST: u64 = 8;

/// The search for the first loss begins at so many datagrams a second, and grows by this factor.
const FIRST_RATE: f64 = 40_000.0;
const STEP: f64 = 1.35;
const STEPS_MAX: usize = 11;

/// Offers of one rate before a loss counts: a single one may be due to somebody else on the
/// machine.
const TRIES: usize = 4;

/// How long each step of the search offers its rate.
const STEP_TIME: Duration = Duration::from_millis(200);

/// What was sent before has arrived after so long, or never will.
const SETTLE: Duration = Duration::from_millis(50);

/// How long a driver may leave what it gets in the socket.
const LOOK_PAUSE: Duration = Duration::from_micros(100);

/// More than any loader can send: it sends as fast as it can.
const FLOOD: f64 = 5e6;

/// Where the first datagrams are lost, how many beyond, and what each costs.
pub fn datagrams(bench: &Bench) -> io::Result<()> {
    bench.title("udp: 8 senders; the most a second without a loss, and 1.5 times as many");
    for (drivers, name) in [(1, "1 driver"), (8, "8 drivers")] {
        for (size, bytes) in [(64, "64 B"), (1_400, "1,400 B")] {
            let shape = format!("{name}, {bytes}");
            if bench.measures(&shape) {
                measure(bench, &shape, drivers, size)?;
            }
        }
    }
    Ok(())
}

fn measure(bench: &Bench, shape: &str, drivers: usize, size: usize) -> io::Result<()> {
    let subjects = Subject::pair(&bench.options);
    let (mut limits, mut loaders) = (vec![Vec::new(); subjects.len()], 0);
    let found = bench.compare(&subjects, |subject| {
        let limit = Load::start(bench, subject, drivers, size)?.search()?;
        loaders += usize::from(limit.lost == 0.0);
        let nth = subjects.iter().position(|one| one == subject).unwrap_or(0);
        limits[nth].push(limit.below.rate());
        Ok(limit.below)
    })?;
    let whose = if loaders > 0 { " (or loader's limit)" } else { "" };
    let what = format!("{shape}: thousand/s{whose}");
    bench.row(&what, Bar::None, &found, |sample| sample.rate() / 1e3);
    bench.row(&format!("{shape}: CPU µs/datagram"), Bar::None, &found, Sample::cost);
    let limit = |subject: &Subject| {
        let nth = subjects.iter().position(|one| one == subject).unwrap_or(0);
        // Who loses some at the lowest rate already is offered that one, for want of another.
        super::measure::median(&limits[nth]).max(FIRST_RATE)
    };
    let counted = bench.count_calls(&subjects, |subject| {
        let load = Load::start(bench, subject, drivers, size)?;
        load.counting().offer(limit(subject), bench.options.duration())
    })?;
    let what = format!("{shape}: system calls/datagram");
    bench.row_of_calls(&what, counted.as_ref());

    let beyond = bench.compare(&subjects, |subject| {
        let rate = 1.5 * limit(subject);
        let mut load = Load::start(bench, subject, drivers, size)?;
        load.offer(rate.min(FLOOD), bench.options.duration())
    })?;
    let what = format!("{shape}, 1.5 times: % lost");
    bench.row(&what, Bar::None, &beyond, |sample| sample.lost * 100.0);
    let what = format!("{shape}, 1.5 times: thousand/s arrive");
    bench.row(&what, Bar::None, &beyond, |sample| sample.rate() / 1e3);
    let what = format!("{shape}, 1.5 times: CPU µs/datagram");
    bench.row(&what, Bar::None, &beyond, Sample::cost);
    Ok(())
}

/// The end of a search.
struct Limit {
    /// The last step without a loss.
    below: Sample,
    /// The part that was lost in the first step with a loss; zero when the loader gave out first.
    lost: f64,
}

struct Load<'a> {
    rig: Rig<'a>,
    senders: Senders,
    drivers: u64,
    size: usize,
}

/// What was sent from where, and what came of it.
struct Senders {
    sockets: Vec<UdpSocket>,
    /// By local port, the sender's number.
    numbers: Vec<usize>,
    sent: Vec<u64>,
    burst: Vec<u8>,
}

impl<'a> Load<'a> {
    fn start(bench: &'a Bench, subject: &Subject, drivers: usize, size: usize) -> io::Result<Self> {
        let mut rig = Rig::start(bench, subject)?;
        for _ in 0..drivers {
            rig.join("udp", rig.server.device_port)?;
        }
        let senders = Senders::open(rig.server.device_port, size)?;
        rig.drivers.iter_mut().for_each(|driver| driver.received = vec![0; SENDERS]);
        Ok(Self { rig, senders, drivers: drivers as u64, size })
    }

    fn counting(self) -> Self {
        Self { rig: self.rig.counting(), ..self }
    }

    /// Offers more and more until something is lost in every try.
    fn search(&mut self) -> io::Result<Limit> {
        let (mut below, mut rate) = (Sample { seconds: 1.0, ..Sample::default() }, FIRST_RATE);
        for _ in 0..STEPS_MAX {
            let mut sample = self.offer(rate, STEP_TIME)?;
            for _ in 1..TRIES {
                if sample.lost > 0.0 {
                    sample = self.offer(rate, STEP_TIME)?;
                }
            }
            if sample.lost > 0.0 {
                return Ok(Limit { below, lost: sample.lost });
            }
            // Past what the loader can send, more does not become more.
            if sample.rate() > below.rate() {
                below = sample;
            }
            rate *= STEP;
        }
        Ok(Limit { below, lost: 0.0 })
    }

    /// Sends at a rate, if it can.
    fn offer(&mut self, rate: f64, time: Duration) -> io::Result<Sample> {
        let bursts = rate / BURST as f64;
        let (mut schedule, started) =
            (Schedule::new(Arrivals::Independent, bursts), Instant::now());
        let mut window = self.rig.window_lasting(time);
        let (mut sent, mut arrived, mut looked) = (0_u64, 0_u64, started);
        let mut sample = loop {
            if let Some(sample) = self.rig.step(&mut window, arrived / self.drivers)? {
                break sample;
            }
            let now = Instant::now();
            if schedule.due(now).is_some() {
                self.senders.send(&self.rig.bench.pattern, sent / BURST, self.size)?;
                sent += BURST;
            }
            if now - looked > LOOK_PAUSE {
                looked = now;
                arrived += self.receive()?;
            }
        };
        let mut last = Instant::now();
        while last.elapsed() < SETTLE {
            let more = self.receive()?;
            arrived += more;
            if more > 0 {
                last = Instant::now();
            }
        }
        sample.lost = 1.0 - arrived as f64 / (sent * self.drivers) as f64;
        Ok(sample)
    }

    /// DatagramBatch that drivers have got since, each checked; some may be missing, none may come
    /// twice or late.
    fn receive(&mut self) -> io::Result<u64> {
        let (pattern, senders, size) = (&self.rig.bench.pattern, &self.senders, self.size);
        let mut arrived = 0;
        self.rig.receive(|link, event| {
            arrived += 1;
            senders.check(pattern, link, event, size)
        })?;
        Ok(arrived)
    }
}

impl Senders {
    fn open(port: u16, size: usize) -> io::Result<Self> {
        let (mut sockets, mut numbers) = (Vec::new(), vec![usize::MAX; 1 << 16]);
        for number in 0..SENDERS {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            socket.connect((Ipv4Addr::LOCALHOST, port))?;
            numbers[usize::from(socket.local_addr()?.port())] = number;
            sockets.push(socket);
        }
        Ok(Self { sockets, numbers, sent: vec![0; SENDERS], burst: vec![0; BURST as usize * size] })
    }

    /// One burst; each datagram begins with the sender's count, which is also its place in the
    /// sender's pattern.
    fn send(&mut self, pattern: &Pattern, nth: u64, size: usize) -> io::Result<()> {
        let sender = nth as usize % SENDERS;
        for datagram in self.burst.chunks_exact_mut(size) {
            self.sent[sender] += 1;
            let number = self.sent[sender];
            datagram[..8].copy_from_slice(&number.to_be_bytes());
            datagram[8..].copy_from_slice(pattern.slice(sender as u64, number, size - 8));
        }
        let each = [ControlMessage::UdpGsoSegments(&(size as u16))];
        let (socket, burst) = (self.sockets[sender].as_raw_fd(), [IoSlice::new(&self.burst)]);
        sendmsg::<()>(socket, &burst, &each, MsgFlags::empty(), None)?;
        Ok(())
    }

    fn check(
        &self,
        pattern: &Pattern,
        link: &mut Link<'_>,
        event: Event<'_>,
        size: usize,
    ) -> io::Result<()> {
        let Event::Received(port, data) = event else {
            return Err(io::Error::other("a datagram port told of a connection"));
        };
        let sender = self.numbers.get(port as usize).copied().unwrap_or(usize::MAX);
        let known = link.received.get_mut(sender);
        let (Some(last), Some((number, rest))) = (known, data.split_first_chunk()) else {
            return Err(io::Error::other("a datagram that nobody sent"));
        };
        let number = u64::from_be_bytes(*number);
        if number <= *last || data.len() != size {
            return Err(io::Error::other("a datagram came twice, late or cut"));
        }
        *last = number;
        pattern.check(sender as u64, number, rest)
    }
}
