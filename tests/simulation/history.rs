//! What may happen in a history, as data: so that a history can be cut down and told.

use crate::rng::Rng;

/// One thing that happens. What it happens to is picked by `who` among those there are, so that
/// a history stays one when other operations are left out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Op {
    /// What happens.
    pub what: What,
    /// To whom.
    pub who: usize,
    /// How much of it.
    pub amount: usize,
    /// Decides over all that is random in it.
    pub seed: u64,
}

/// The kinds of things that happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    DriverAsks,
    DriverWrites,
    DriverWritesMuch,
    DriverClosesDevice,
    DriverPings,
    DriverSendsNonsense,
    DriverTrespasses,
    DriverMisbehaves,
    DriverSaysClose,
    DriverHangsUp,
    DriverResets,
    DriverStopsReading,
    DriverReadsAgain,
    DriverReadsSlowly,
    DriverIsFlooded,
    DriverStopsAnswering,
    DeviceConnects,
    DevicesConnectAndVanish,
    DevicesCrowd,
    DeviceSends,
    DeviceFloods,
    DeviceFinishes,
    DeviceMisbehaves,
    DeviceResets,
    DeviceStopsReading,
    DeviceReadsSlowly,
    DeviceReadsAgain,
    PeersSendDatagrams,
    DatagramsBlocked,
    DatagramsFlow,
    DatagramFails,
    ClientAsks,
    ClientsCrowd,
    ClientDawdles,
    ClientLeaves,
    DescriptorsRunOut,
    DescriptorsReturn,
    PortTaken,
    PortFree,
    RoughTimes,
    SmoothTimes,
    Moment,
    Seconds,
    Minutes,
    Settles,
    Shutdown,
}

/// How often each comes, relative to the others.
const WEIGHTS: [(What, usize); 46] = [
    (What::DriverAsks, 10),
    (What::DriverWrites, 14),
    (What::DriverWritesMuch, 2),
    (What::DriverClosesDevice, 4),
    (What::DriverPings, 3),
    (What::DriverSendsNonsense, 3),
    (What::DriverTrespasses, 3),
    (What::DriverMisbehaves, 2),
    (What::DriverSaysClose, 2),
    (What::DriverHangsUp, 2),
    (What::DriverResets, 2),
    (What::DriverStopsReading, 3),
    (What::DriverReadsAgain, 3),
    (What::DriverReadsSlowly, 3),
    (What::DriverIsFlooded, 4),
    (What::DriverStopsAnswering, 1),
    (What::DeviceConnects, 14),
    (What::DevicesConnectAndVanish, 1),
    (What::DevicesCrowd, 1),
    (What::DeviceSends, 16),
    (What::DeviceFloods, 6),
    (What::DeviceFinishes, 4),
    (What::DeviceMisbehaves, 2),
    (What::DeviceResets, 3),
    (What::DeviceStopsReading, 2),
    (What::DeviceReadsSlowly, 2),
    (What::DeviceReadsAgain, 2),
    (What::PeersSendDatagrams, 6),
    (What::DatagramsBlocked, 2),
    (What::DatagramsFlow, 2),
    (What::DatagramFails, 1),
    (What::ClientAsks, 3),
    (What::ClientsCrowd, 1),
    (What::ClientDawdles, 1),
    (What::ClientLeaves, 1),
    (What::DescriptorsRunOut, 2),
    (What::DescriptorsReturn, 2),
    (What::PortTaken, 1),
    (What::PortFree, 1),
    (What::RoughTimes, 3),
    (What::SmoothTimes, 2),
    (What::Moment, 10),
    (What::Seconds, 5),
    (What::Minutes, 1),
    (What::Settles, 8),
    (What::Shutdown, 0),
];

/// In so many of a hundred histories the shutdown comes in the middle.
const EARLY_SHUTDOWN_PERCENT: usize = 15;

/// The history of a seed.
pub fn history(seed: u64, steps: usize) -> Vec<Op> {
    let mut random = Rng::new(seed);
    let mut ops: Vec<Op> = (0..steps).map(|_| any_op(&mut random)).collect();
    // Most things need a driver to happen to.
    for (op, what) in ops.iter_mut().zip([What::DriverAsks, What::DriverAsks, What::Settles]) {
        op.what = what;
    }
    if steps > 0 && random.chance(EARLY_SHUTDOWN_PERCENT) {
        let from = steps / 2;
        ops[from + random.below(steps - from)].what = What::Shutdown;
    }
    ops
}

fn any_op(random: &mut Rng) -> Op {
    let total: usize = WEIGHTS.iter().map(|(_, weight)| weight).sum();
    let mut at = random.below(total);
    let mut what = What::Settles;
    for (candidate, weight) in WEIGHTS {
        if at < weight {
            what = candidate;
            break;
        }
        at -= weight;
    }
    Op { what, who: random.below(1 << 16), amount: random.below(1 << 16), seed: random.number() }
}
