//! `/sign-in`: the page, its form, and what stops people who guess. Protocol §6, §7, §12, §17.

mod form;
pub mod return_to;
mod throttle;
