//! Runs the target `header_open` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| plasmite_fuzz::header_open::check(data));
