//! What is said of devices that did not get in: whoever waits for a device's data must be told
//! why it does not come, and how to let it in.

use crate::protocol::accept_list::AcceptList;
use crate::reactor::RefusedDevice;

/// A line about the device.
pub fn words(device: &RefusedDevice, accept: &AcceptList) -> String {
    let RefusedDevice { address, why, count } = device;
    let often = match count {
        1 => String::new(),
        count => format!(" {count} times"),
    };
    match accept.covers(*address) {
        true => format!("a device at {address} was refused{often}: {why}"),
        false => {
            format!("a device at {address} was refused{often}; add --accept {address} to let it in")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(address: &str, count: u64) -> String {
        let accept = AcceptList::parse("10.0.0.0/8").unwrap();
        let device = RefusedDevice {
            address: address.parse().unwrap(),
            why: "too many devices".to_owned(),
            count,
        };
        words(&device, &accept)
    }

    #[test]
    fn who_is_not_accepted_can_be_let_in() {
        let hint = "a device at 192.168.0.1 was refused; add --accept 192.168.0.1 to let it in";
        assert_eq!(said("192.168.0.1", 1), hint);
        assert!(said("192.168.0.1", 17).contains("was refused 17 times; add"));
    }

    #[test]
    fn who_is_accepted_is_refused_for_another_reason() {
        assert_eq!(said("10.0.0.1", 1), "a device at 10.0.0.1 was refused: too many devices");
    }
}
