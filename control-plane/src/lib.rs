//! Towline's control plane: API, agent endpoint, scheduler and certificate authority.

pub mod config;
pub mod telemetry;
