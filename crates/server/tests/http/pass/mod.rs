//! `/pass/refresh`: a new pass from the session at home. Protocol §6.4.

mod refresh;
