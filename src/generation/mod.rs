//! Room: generation.
