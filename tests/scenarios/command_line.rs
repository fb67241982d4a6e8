//! `plan`, `policy inspect`, `crds`, `demo`: the surface for people and scripts.
