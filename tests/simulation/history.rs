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
    Driver(DriverAction),
    Device(DeviceAction),
    Datagrams(DatagramAction),
    Client(ClientAction),
    Monitor(MonitorAction),
    System(SystemAction),
    Passes(Time),
    Shutdown,
}

/// What drivers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DriverAction {
    Asks,
    Writes,
    WritesMuch,
    WritesHuge,
    WritesTiny,
    ClosesDevice,
    Pings,
    SendsNonsense,
    Trespasses,
    Misbehaves,
    SaysClose,
    HangsUp,
    Resets,
    StopsReading,
    ReadsAgain,
    ReadsSlowly,
    IsFlooded,
    ResetsWithMuchSaid,
    StopsAnswering,
}

/// What devices do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceAction {
    Connects,
    ManyConnectAndVanish,
    ManyConnect,
    Sends,
    SendsUrgent,
    Floods,
    Finishes,
    Misbehaves,
    Resets,
    ResetsInLine,
    StopsReading,
    ReadsSlowly,
    ReadsAgain,
}

/// What happens on UDP ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatagramAction {
    Come,
    AreBlocked,
    Flow,
    Fail,
}

/// What HTTP clients do that are no drivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAction {
    Asks,
    ManyAsk,
    Dawdles,
    Leaves,
}

/// What those do who watch a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MonitorAction {
    Watches,
    StopsReading,
    ReadsSlowly,
    ReadsAgain,
    Talks,
    Leaves,
}

/// What the system does to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SystemAction {
    DescriptorsRunOut,
    DescriptorsReturn,
    PortIsTaken,
    PortIsFree,
    WatchingFails,
    WatchingWorks,
    GetsRough,
    GetsSmooth,
    TokensChange,
}

/// Time that passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Time {
    Moment,
    Seconds,
    Minutes,
    /// As much as it takes until nothing happens any more: none.
    UntilRest,
}

/// How often each comes, relative to the others.
const WEIGHTS: [(What, usize); 59] = [
    (What::Driver(DriverAction::Asks), 10),
    (What::Driver(DriverAction::Writes), 14),
    (What::Driver(DriverAction::WritesMuch), 2),
    (What::Driver(DriverAction::WritesHuge), 1),
    (What::Driver(DriverAction::WritesTiny), 1),
    (What::Driver(DriverAction::ClosesDevice), 4),
    (What::Driver(DriverAction::Pings), 3),
    (What::Driver(DriverAction::SendsNonsense), 3),
    (What::Driver(DriverAction::Trespasses), 3),
    (What::Driver(DriverAction::Misbehaves), 2),
    (What::Driver(DriverAction::SaysClose), 2),
    (What::Driver(DriverAction::HangsUp), 2),
    (What::Driver(DriverAction::Resets), 2),
    (What::Driver(DriverAction::StopsReading), 3),
    (What::Driver(DriverAction::ReadsAgain), 3),
    (What::Driver(DriverAction::ReadsSlowly), 3),
    (What::Driver(DriverAction::IsFlooded), 4),
    (What::Driver(DriverAction::ResetsWithMuchSaid), 1),
    (What::Driver(DriverAction::StopsAnswering), 1),
    (What::Device(DeviceAction::Connects), 14),
    (What::Device(DeviceAction::ManyConnectAndVanish), 1),
    (What::Device(DeviceAction::ManyConnect), 1),
    (What::Device(DeviceAction::Sends), 16),
    (What::Device(DeviceAction::SendsUrgent), 3),
    (What::Device(DeviceAction::Floods), 6),
    (What::Device(DeviceAction::Finishes), 4),
    (What::Device(DeviceAction::Misbehaves), 2),
    (What::Device(DeviceAction::Resets), 3),
    (What::Device(DeviceAction::ResetsInLine), 1),
    (What::Device(DeviceAction::StopsReading), 2),
    (What::Device(DeviceAction::ReadsSlowly), 2),
    (What::Device(DeviceAction::ReadsAgain), 2),
    (What::Datagrams(DatagramAction::Come), 6),
    (What::Datagrams(DatagramAction::AreBlocked), 2),
    (What::Datagrams(DatagramAction::Flow), 2),
    (What::Datagrams(DatagramAction::Fail), 1),
    (What::Client(ClientAction::Asks), 3),
    (What::Client(ClientAction::ManyAsk), 1),
    (What::Client(ClientAction::Dawdles), 1),
    (What::Client(ClientAction::Leaves), 1),
    (What::Monitor(MonitorAction::Watches), 5),
    (What::Monitor(MonitorAction::StopsReading), 1),
    (What::Monitor(MonitorAction::ReadsSlowly), 1),
    (What::Monitor(MonitorAction::ReadsAgain), 1),
    (What::Monitor(MonitorAction::Talks), 1),
    (What::Monitor(MonitorAction::Leaves), 1),
    (What::System(SystemAction::DescriptorsRunOut), 2),
    (What::System(SystemAction::DescriptorsReturn), 2),
    (What::System(SystemAction::PortIsTaken), 1),
    (What::System(SystemAction::PortIsFree), 1),
    (What::System(SystemAction::WatchingFails), 2),
    (What::System(SystemAction::WatchingWorks), 3),
    (What::System(SystemAction::GetsRough), 3),
    (What::System(SystemAction::GetsSmooth), 2),
    (What::System(SystemAction::TokensChange), 3),
    (What::Passes(Time::Moment), 10),
    (What::Passes(Time::Seconds), 5),
    (What::Passes(Time::Minutes), 1),
    (What::Passes(Time::UntilRest), 8),
];

/// What a history begins with: most things need a driver to happen to.
const BEGINNING: [What; 3] = [
    What::Driver(DriverAction::Asks),
    What::Driver(DriverAction::Asks),
    What::Passes(Time::UntilRest),
];

/// In so many of a hundred histories the shutdown comes in the middle.
const EARLY_SHUTDOWN_PERCENT: usize = 15;

/// The history of a seed.
pub fn history(seed: u64, steps: usize) -> Vec<Op> {
    let mut rng = Rng::new(seed);
    let mut ops: Vec<Op> = (0..steps).map(|_| any_op(&mut rng)).collect();
    for (op, what) in ops.iter_mut().zip(BEGINNING) {
        op.what = what;
    }
    if steps > 0 && rng.chance(EARLY_SHUTDOWN_PERCENT) {
        let from = steps / 2;
        ops[from + rng.below(steps - from)].what = What::Shutdown;
    }
    ops
}

fn any_op(rng: &mut Rng) -> Op {
    let total: usize = WEIGHTS.iter().map(|(_, weight)| weight).sum();
    let mut at = rng.below(total);
    let mut what = What::Passes(Time::UntilRest);
    for (candidate, weight) in WEIGHTS {
        if at < weight {
            what = candidate;
            break;
        }
        at -= weight;
    }
    Op { what, who: rng.below(1 << 16), amount: rng.below(1 << 16), seed: rng.number() }
}
