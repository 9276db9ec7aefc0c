//! What an operator may limit: over it is a refusal with words, what is connected goes on, and there
//! is room again when something leaves.

mod devices;
mod drivers;
mod queued_bytes;
mod rates;
mod settings;

use crate::harness::{Device, Dispatch, Driver};

fn limited(flag: &str, value: &str) -> Dispatch {
    Dispatch::setup().arg(flag).arg(value).start()
}

#[track_caller]
fn expect_exchange(driver: &mut Driver, device: &mut Device, id: u64) {
    device.send(b"question");
    driver.expect_received(id, b"question");
    driver.write("127.0.0.1", id, b"answer");
    device.expect(b"answer");
}
