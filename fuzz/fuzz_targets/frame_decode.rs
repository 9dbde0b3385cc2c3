//! Runs the target `frame_decode` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| plasmite_fuzz::frame_decode::check(data));
