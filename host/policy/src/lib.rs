//! The wasm host: loads, limits and calls allocation policies
