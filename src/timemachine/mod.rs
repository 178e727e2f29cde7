//! timemachine
