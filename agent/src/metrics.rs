//! Measuring the host and its containers.
