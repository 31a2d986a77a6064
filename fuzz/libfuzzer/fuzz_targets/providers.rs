//! `providers` by libFuzzer; what it does is in `hallpass_fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hallpass_fuzz::run("providers", input));
