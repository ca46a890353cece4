#!/bin/sh
# All tests on this machine as on one without AVX-512, and as on one without AVX: the standard library is built with its switch that
# takes features away by an environment variable, so every crate that asks it sees the older processor. Needs the component rust-src
# of the toolchain. The kernels that read the processor themselves (AMX) are not affected.
#
# usage: older_processors.sh OUT
# Writes OUT/avx2.txt and OUT/portable.txt: what `tenfold doctor` says of the processor, one line per test program, and the totals.
set -eu
out=$1
mkdir -p "$out"
export RUSTC_BOOTSTRAP=1 RUSTFLAGS='--cfg feature="std_detect_env_override"'
target=x86_64-unknown-linux-gnu
set -- --target "$target" -Zbuild-std=std,test -Zbuild-std-features=backtrace
cargo test --workspace --no-run "$@"

new="avx512f avx512cd avx512bw avx512dq avx512vl avx512ifma avx512vbmi avx512vbmi2 avx512vnni avx512bitalg avx512vpopcntdq avx512bf16 avx512fp16 avx512vp2intersect"
older() {
    name=$1
    export RUST_STD_DETECT_UNSTABLE="$2"
    "target/$target/debug/tenfold" doctor | grep processor | tee "$out/$name.txt"
    shift 2
    cargo test --workspace --no-fail-fast "$@" 2>&1 | grep -E '^ +(Running|Doc-tests)|^test result|FAILED' | sed 's/-[0-9a-f]\{16\}//; s/; finished in.*//' | tee -a "$out/$name.txt"
    grep 'test result' "$out/$name.txt" | awk '{ passed += $4; failed += $6 } END { print passed " passed, " failed " failed" }' | tee -a "$out/$name.txt"
}
older avx2 "$new" "$@"
older portable "$new avx avx2 fma f16c avxvnni bmi1 bmi2" "$@"
