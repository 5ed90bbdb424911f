//! Faces callers, decides nothing: gRPC and REST on one mutual-TLS port. Depends on everything above it but dispatch.
mod json;
mod problem;
