//! What passed, in numbers.

/// Messages, and the bytes of devices in them, without our headers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Reads of a device, or WRITEs of drivers; over UDP datagrams.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Count {
    /// One message more.
    pub fn add(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += bytes as u64;
    }

    /// All of these more.
    pub fn add_all(&mut self, other: Self) {
        self.messages += other.messages;
        self.bytes += other.bytes;
    }
}

#[cfg(feature = "testing")]
impl Count {
    /// What was added to an earlier count.
    pub fn since(self, before: Self) -> Self {
        let (messages, bytes) = (self.messages - before.messages, self.bytes - before.bytes);
        Self { messages, bytes }
    }
}

/// What passed each way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// From devices.
    pub received: Count,
    /// To devices.
    pub sent: Count,
}

#[cfg(feature = "testing")]
impl Traffic {
    /// What passed since.
    pub fn since(self, before: Self) -> Self {
        let received = self.received.since(before.received);
        Self { received, sent: self.sent.since(before.sent) }
    }
}
