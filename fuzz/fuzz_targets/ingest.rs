//! Runs the target `ingest` under libFuzzer.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| plasmite_fuzz::ingest::check(data));
