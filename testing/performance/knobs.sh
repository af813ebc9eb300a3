#!/usr/bin/env bash
# What turning each knob does: the data of docs/performance/knobs.md. Under five minutes.
#
#   cargo build --release -p micronode && cargo build --release -p gwsmoke
#   testing/performance/knobs.sh [OUT]        # default: target/knobs
#   python3 testing/performance/knobs_plot.py target/knobs docs/performance/knobs.svg
#
# Each setting is a node of its own, started for one short load; all settings take turns, twice, so
# that a machine that gets busy meanwhile spoils a round and not a setting. Results are one JSON
# file each, named ROUND.KNOB.SETTING.json. GWSMOKE and NODE name other binaries; ROUNDS and
# SECONDS_EACH say how often and for how long.
set -euo pipefail
cd "$(dirname "$0")/../.."

out=${1:-target/knobs}
target=${CARGO_TARGET_DIR:-target}
gwsmoke=${GWSMOKE:-$target/release/gwsmoke}
node=${NODE:-$target/release/micronode}
rounds=${ROUNDS:-2}
seconds=${SECONDS_EACH:-3}
files=$(mktemp -d)
trap 'rm -rf "$files"' EXIT

for binary in "$gwsmoke" "$node"; do
    if [ ! -x "$binary" ]; then
        echo "no $binary: cargo build --release -p micronode && cargo build --release -p gwsmoke" >&2
        exit 2
    fi
done
rm -rf "$out"
mkdir -p "$out"

# measure KNOB SETTING CONFIGURATION FLAGS…: a load with these flags on a node with this
# configuration. The request rate is lifted unless the configuration says otherwise.
measure() {
    local name=$round.$1.$2 configuration=$3
    shift 3
    case $configuration in
    *limits.rps*) ;;
    *) configuration+=$'\nlimits.rps = 0' ;;
    esac
    echo "$configuration" >"$files/$name.toml"
    # A node that refuses is what some settings are about: then the exit code says so, and the
    # result is there.
    "$gwsmoke" load --node "$node" --node-flag=--config="$files/$name.toml" --warm-up 500ms \
        --duration "${seconds}s" --json "$out/$name.json" "$@" >"$out/$name.log" 2>&1 ||
        [ -s "$out/$name.json" ] || { cat "$out/$name.log" >&2; exit 1; }
    echo "$name"
}

for round in $(seq "$rounds"); do
    # Threads that serve and hash.
    for workers in 1 2 4; do
        measure workers "$workers" "workers = $workers" --closed --connections 32 --size 64KiB
    done
    for pin in false true; do
        measure pin_workers "$pin" "pin_workers = $pin" --closed --connections 32 --size 64KiB
    done

    # The request rate: 1000 are due per second.
    for rps in 250 500 0; do
        measure rps "$rps" "limits.rps = $rps" --rate 1000 --connections 16
    done
    # Requests in flight: 64 come at once, with answers that take a while to be taken, and bodies that
    # take a while to come. The facet's permits are the same for one kind of request.
    for cap in 8 32 512; do
        measure in_flight "$cap" "limits.in_flight = $cap" --closed --connections 64 --size 4MiB \
            --objects 8
    done
    for cap in 8 32 512; do
        measure facet_write "$cap" "limits.facets.storage_write = $cap
memory = { budget = '1GiB', eviction = 'lru' }" --closed --connections 64 --read-ratio 0 --size 1MiB
    done

    # What is asked at once on one connection.
    for streams in 1 8 64; do
        measure oap_streams "$streams" "" --closed --proto oap --connections 1 --streams "$streams"
        measure h2_streams "$streams" "" --closed --proto http2 --connections 1 --streams "$streams"
    done

    # Sizes, which nobody configures: how an object's groups add up.
    for size in 1KiB 64KiB 1MiB; do
        measure object_size "$size" "" --closed --connections 8 --size "$size"
    done

    # Memory: a budget that is full, and who makes room.
    for eviction in refuse lru; do
        measure eviction "$eviction" "memory = { budget = '64MiB', eviction = '$eviction' }" \
            --closed --connections 8 --read-ratio 0 --size 64KiB
    done
    for lock in false true; do
        measure memory_lock "$lock" "memory = { budget = '64MiB', eviction = 'lru', lock = $lock }" \
            --closed --connections 8 --read-ratio 0 --size 64KiB
    done

    # TLS, on connections that stay.
    measure tls plain "" --closed --connections 8 --size 64KiB
    for pq in prefer off; do
        measure tls "$pq" "tls.pq = '$pq'" --tls --closed --connections 8 --size 64KiB
    done

    # Keeping: in memory, on disk before the answer, on disk soon.
    measure persist memory "" --closed --connections 32 --read-ratio 0
    for sync in always interval; do
        measure persist "$sync" "persist = { dir = '$files/$round.$sync', sync = '$sync' }" \
            --closed --connections 32 --read-ratio 0
    done
done
