//! Find what is wrong with a volume.
