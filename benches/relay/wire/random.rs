//! Numbers that look random and are the same in every run (xorshift).

/// Their source.
pub struct Random(u64);

impl Default for Random {
    fn default() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }
}

impl Random {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 8
    }

    /// A waiting time in units of the mean one, as between events that know nothing of each other.
    pub fn gap(&mut self) -> f64 {
        let uniform = (self.next() % (1 << 30) + 1) as f64 / f64::from(1 << 30);
        -uniform.ln()
    }
}
