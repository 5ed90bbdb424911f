//! rustls server and client configurations from PEM files; verified certificate to peer identity. Depends on model and config only.
