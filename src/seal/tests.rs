//! The key file, and what is sealed with the key in it.
