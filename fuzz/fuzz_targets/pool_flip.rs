//! Runs the target `pool_flip` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| plasmite_fuzz::pool_flip::check(data));
