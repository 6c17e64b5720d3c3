#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| towline_properties::terminal(input));
