//! What one run found.

/// What one run found.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    /// How long it counted.
    pub seconds: f64,
    /// What was counted: messages, round trips, connections.
    pub count: f64,
    /// CPU seconds of the relay.
    pub relay_cpu: f64,
    /// System calls of the relay, in a run in which they were counted.
    pub system_calls: Option<u64>,
    /// CPU seconds of the loader.
    pub loader_cpu: f64,
    /// The part of the CPUs that other processes took; `None` without spinners.
    pub others: Option<f64>,
    /// The part of what was sent that did not arrive.
    pub lost: f64,
    /// The most memory that the relay had, where somebody asked for it.
    pub peak_bytes: u64,
    /// Times in microseconds, sorted.
    pub times: Vec<f64>,
}

impl Sample {
    /// Counted per second.
    pub fn rate(&self) -> f64 {
        self.count / self.seconds
    }

    /// CPU microseconds of the relay for each that was counted.
    pub fn cost(&self) -> f64 {
        self.relay_cpu * 1e6 / self.count
    }

    /// System calls of the relay for each that was counted.
    pub fn calls(&self) -> f64 {
        self.system_calls.map_or(f64::NAN, |calls| calls as f64) / self.count
    }

    /// The time that this part of all stayed under.
    pub fn percentile(&self, part: f64) -> f64 {
        let last = self.times.len().saturating_sub(1);
        self.times.get((last as f64 * part) as usize).copied().unwrap_or(f64::NAN)
    }

    /// The same sample with the times that were taken in it.
    pub fn with_times(self, mut times: Vec<f64>) -> Self {
        times.sort_by(f64::total_cmp);
        Self { times, ..self }
    }
}
