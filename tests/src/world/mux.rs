//! Follows with the next change.
