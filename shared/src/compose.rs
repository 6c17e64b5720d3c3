//! Reading compose files with their line numbers.
