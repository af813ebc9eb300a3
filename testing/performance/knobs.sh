#!/usr/bin/env bash
# What turning each knob does: the data of docs/performance/knobs.md. Under five minutes.
#
#   testing/performance/knobs.sh [OUT]        # default: target/knobs
#   python3 testing/performance/knobs_plot.py OUT docs/performance/knobs.svg
#
# Each setting is a node of its own, started for one short load; all settings take turns, twice, so
# that a machine that gets busy meanwhile spoils a round and not a setting. Results are one JSON
# file each, named ROUND.KNOB.SETTING.json. GWSMOKE and NODE name other binaries; ROUNDS and SECONDS_EACH
# say how often and for how long.
set -euo pipefail
cd "$(dirname "$0")/../.."

out=${1:-target/knobs}
target=${CARGO_TARGET_DIR:-target}
gwsmoke=${GWSMOKE:-$target/release/gwsmoke}
node=${NODE:-$target/release/micronode}
rounds=${ROUNDS:-2}
seconds=${SECONDS_EACH:-3}
kept=$(mktemp -d)
trap 'rm -rf "$kept"' EXIT

for binary in "$gwsmoke" "$node"; do
    if [ ! -x "$binary" ]; then
        echo "no $binary: cargo build --release -p micronode -p gwsmoke" >&2
        exit 2
    fi
done
rm -rf "$out"
mkdir -p "$out"

# measure KNOB SETTING [VARIABLE=VALUE…] -- FLAGS OF LOAD
measure() {
    local name=$round.$1.$2 environment=()
    shift 2
    while [ "$1" != -- ]; do
        environment+=("$1")
        shift
    done
    shift
    # A node that refuses is what some settings are about: then the exit code says so, and the
    # result is there.
    env "${environment[@]}" "$gwsmoke" load --node "$node" --warm-up 500ms \
        --duration "${seconds}s" --json "$out/$name.json" "$@" >"$out/$name.log" 2>&1 ||
        [ -s "$out/$name.json" ] || { cat "$out/$name.log" >&2; exit 1; }
    echo "$name"
}

lifted=(--node-flag=--rps=0)
for round in $(seq "$rounds"); do
    # Threads that serve and hash.
    for workers in 1 2 4; do
        measure workers "$workers" TOKIO_WORKERS=$workers -- --closed --connections 32 --size 64KiB \
            "${lifted[@]}"
    done
    for pin in false true; do
        measure pin_workers "$pin" MICRO_PIN_WORKERS=$pin -- --closed --connections 32 --size 64KiB \
            "${lifted[@]}"
    done

    # The request rate: 1000 are due per second.
    for rps in 250 500 0; do
        measure rps "$rps" -- --rate 1000 --connections 16 --node-flag=--rps=$rps
    done
    # Requests in flight: 64 come at once. The facet's permits are the same for one kind of request.
    for cap in 8 32 512; do
        measure in_flight "$cap" -- --closed --connections 64 --size 64KiB "${lifted[@]}" \
            --node-flag=--in-flight=$cap
    done
    for cap in 8 32 512; do
        measure facet_write "$cap" MICRO_LIMITS__FACETS__STORAGE_WRITE=$cap \
            MICRO_MEMORY__BUDGET=1GiB MICRO_MEMORY__EVICTION=lru -- --closed --connections 64 \
            --read-ratio 0 --size 64KiB "${lifted[@]}"
    done

    # What is asked at once on one connection.
    for streams in 1 8 64; do
        measure oap_streams "$streams" -- --closed --proto oap --connections 1 --streams "$streams" \
            "${lifted[@]}"
        measure h2_streams "$streams" -- --closed --proto http2 --connections 1 \
            --streams "$streams" "${lifted[@]}"
    done

    # Sizes, which nobody configures: how an object's groups add up.
    for size in 1KiB 64KiB 1MiB; do
        measure object_size "$size" -- --closed --connections 8 --size "$size" "${lifted[@]}"
    done

    # Memory: a budget that is full, and who makes room.
    for eviction in refuse lru; do
        measure eviction "$eviction" MICRO_MEMORY__BUDGET=256MiB MICRO_MEMORY__EVICTION=$eviction \
            -- --closed --connections 8 --read-ratio 0 --size 64KiB "${lifted[@]}"
    done
    for lock in false true; do
        measure memory_lock "$lock" MICRO_MEMORY__LOCK=$lock MICRO_MEMORY__BUDGET=256MiB \
            MICRO_MEMORY__EVICTION=lru -- --closed --connections 8 --read-ratio 0 --size 64KiB \
            "${lifted[@]}"
    done

    # TLS, on connections that stay.
    measure tls plain -- --closed --connections 8 --size 64KiB "${lifted[@]}"
    measure tls prefer MICRO_TLS__PQ=prefer -- --tls --closed --connections 8 --size 64KiB \
        "${lifted[@]}"
    measure tls off MICRO_TLS__PQ=off -- --tls --closed --connections 8 --size 64KiB "${lifted[@]}"

    # Keeping: in memory, on disk before the answer, on disk soon.
    measure persist memory -- --closed --connections 32 --read-ratio 0 "${lifted[@]}"
    for sync in always interval; do
        measure persist "$sync" MICRO_PERSIST__DIR="$kept/$round.$sync" MICRO_PERSIST__SYNC=$sync \
            -- --closed --connections 32 --read-ratio 0 "${lifted[@]}"
    done
done
