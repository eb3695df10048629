#!/usr/bin/env bash
# Checks that the workspace builds with the oldest Rust that its Cargo.toml names:
# what a newer one accepts may be too new. Exit status 125: that Rust is not here.
set -euo pipefail
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.."

version=$(sed -n 's/^rust-version *= *"\([0-9.]*\)".*/\1/p' Cargo.toml)
[[ $version ]] || exit 0
# Then it is the one that builds everything else.
[[ $(rustc --version) != "rustc $version."* ]] || exit 0
if ! rustup run "$version" rustc --version; then
    echo "oldest-rust: Rust $version is not here: rustup toolchain install $version --profile minimal" >&2
    exit 125
fi
# Apart: the newer one would begin anew with what this one leaves.
CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/oldest-rust \
    rustup run "$version" cargo check --workspace --all-targets --locked --quiet
