//! Is this application right?
