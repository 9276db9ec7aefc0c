//! A real browser: what web pages can reach of us, and what our own page shows.

mod chromium;
mod foreign_pages;
mod real_figures;
mod stand_in;
mod status_page;
mod tab;
