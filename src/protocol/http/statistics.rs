//! The statistics: who listens where, as PlaceOS reads it.

use std::collections::BTreeMap;

/// Who listens where.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Statistics {
    /// Drivers per UDP port.
    pub udp_listeners: BTreeMap<u16, usize>,
    /// Drivers per TCP or TLS port.
    pub tcp_listeners: BTreeMap<u16, usize>,
    /// Devices per TCP or TLS port.
    pub tcp_clients: BTreeMap<u16, usize>,
}

impl Statistics {
    /// The statistics in exactly the shape that PlaceOS reads.
    pub fn to_json(&self) -> String {
        // The order of the names is kept by hand, for serde_json would sort them.
        format!(
            r#"{{"udp_listeners":{},"tcp_listeners":{},"tcp_clients":{}}}"#,
            counts_json(&self.udp_listeners),
            counts_json(&self.tcp_listeners),
            counts_json(&self.tcp_clients),
        )
    }
}

fn counts_json(counts: &BTreeMap<u16, usize>) -> String {
    serde_json::to_string(counts).expect("writing numbers to a string cannot fail")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_have_exactly_the_shape_that_is_read_elsewhere() {
        let statistics = Statistics {
            udp_listeners: BTreeMap::from([(162, 8)]),
            tcp_listeners: BTreeMap::from([(6001, 1), (700, 2)]),
            tcp_clients: BTreeMap::new(),
        };
        assert_eq!(
            statistics.to_json(),
            r#"{"udp_listeners":{"162":8},"tcp_listeners":{"700":2,"6001":1},"tcp_clients":{}}"#
        );
    }
}
