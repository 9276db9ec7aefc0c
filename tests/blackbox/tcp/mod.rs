//! TCP devices and the drivers that serve them.

mod addresses;
mod bytes;
mod devices;
mod several_drivers;
