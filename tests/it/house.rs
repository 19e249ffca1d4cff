//! Lists that must agree.
