//! Assembly: configuration to components.
