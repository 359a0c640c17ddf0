//! `run --affected`: what differs from the base, and nothing else.
