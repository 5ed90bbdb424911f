//! Peer certificate plus certificate-bound JWT (RFC 8705) to [`Caller`]; the only maker of it. Depends on model, config and tls.
