//! Runs the target `case` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| plasmite_fuzz::case::check(data));
