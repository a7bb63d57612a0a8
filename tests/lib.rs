//! End-to-end tests of Parlance through its public APIs only: see `it/`.
