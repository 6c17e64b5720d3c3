//! Masking of secrets in log lines.
