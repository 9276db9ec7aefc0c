//! How a figure comes about, and how it is printed: runs in turns, medians, one table.
//!
//! Deliberately absent: what is measured.

pub mod comparison;
pub mod statistics;
pub mod table;
