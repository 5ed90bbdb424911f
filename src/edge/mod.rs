//! Faces callers, decides nothing: gRPC and REST on one mutual-TLS port. Depends on everything above it but dispatch.
mod json;
mod problem;
pub mod monitor;
/// stub
pub async fn serve(_l: tokio::net::TcpListener, _t: std::sync::Arc<rustls::ServerConfig>, _a: std::sync::Arc<crate::auth::Auth>, _i: std::sync::Arc<crate::intake::Intake>, _c: crate::config::Limits, _s: tokio_util::sync::CancellationToken) -> std::io::Result<()> { Ok(()) }
