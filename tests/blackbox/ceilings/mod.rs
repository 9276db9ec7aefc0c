//! What an operator may limit: over it is a refusal with words, what is connected goes on,
//! and there is room again when something leaves.

mod devices;
mod drivers;
mod queued_bytes;
mod rates;
mod settings;

use crate::harness::Dispatch;

fn limited(flag: &str, value: &str) -> Dispatch {
    Dispatch::setup().arg(flag).arg(value).start()
}
