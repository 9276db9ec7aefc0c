//! What a driver heard of one device.

/// What a driver heard of a device.
pub struct Heard {
    pub device: usize,
    /// Where in the device's stream it may have begun to hear.
    pub(super) starts: Vec<usize>,
    pub len: usize,
    pub is_open: bool,
}

impl Heard {
    /// Whether it heard the device's stream up to here.
    pub fn reaches(&self, end: usize) -> bool {
        // Who joined late may have begun to hear just there.
        let may_begin_there = self.len == 0 && self.starts != [0];
        may_begin_there || self.starts.iter().any(|start| start + self.len == end)
    }
}
