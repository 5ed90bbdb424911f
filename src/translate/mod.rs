//! One translation engine between party formats and the canonical model; no province, no business is named in it. Depends on model and config.
