//! How drivers break the protocol.

use crate::actors::behaviour::Behaviour;
use crate::actors::driver::DriverActor;
use crate::rng::Rng;

/// Breaks the protocol in one of many ways, each of which has its code.
pub(super) fn misbehave(driver: &mut DriverActor, rng: &mut Rng) {
    (driver.behaviour, driver.is_leaving) = (Behaviour::Faulty, true);
    driver.expected_code = Some(match rng.below(9) {
        0 => {
            driver.say(0x81, b"text");
            1003
        }
        1 => {
            driver.say(0x82, b"\x03no end");
            1007
        }
        2 => {
            driver.say(0x82, b"\x09\0\0\0\0\0\0\0\0\0\0\0\0\0");
            1007
        }
        3 => {
            driver.say(0x82, b"");
            1007
        }
        4 => {
            driver.say_raw(b"\x82\x03abc");
            1002
        }
        5 => {
            driver.say(0xc2, b"reserved");
            1002
        }
        6 => {
            driver.say(0x80, b"a continuation of nothing");
            1002
        }
        7 => {
            driver.say_raw(b"\x82\xff\0\0\0\0\x01\0\0\x01mask");
            1009
        }
        _ => {
            driver.say(0x02, b"a fragment");
            driver.say(0x82, b"and something new");
            1002
        }
    });
}
