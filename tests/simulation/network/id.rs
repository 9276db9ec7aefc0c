//! Names of connections and sockets.

/// Names a socket of either kind, forever.
pub type Id = u64;
