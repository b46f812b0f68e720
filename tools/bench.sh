#!/bin/sh
# SPDX-License-Identifier: MIT
#
# bench.sh [FOLDER]: whole training steps, ours (`slimclr bench step`) and PyTorch's
# (bench/peers/torch_step.py), and the machine's ceiling for both. Every variant of PyTorch is
# run right after ours, in turns, ROUNDS times, so that both see the same machine; the table at the
# end (tools/bench_table.py) compares each variant with the runs of ours beside it. Lines stay in
# FOLDER (runs/bench): step.jsonl and ops.jsonl. Compare only numbers of one machine; nothing here
# is a test. Without PyTorch only our own lines are made. In the environment:
#
#   ROUNDS (3), STEPS (3)       a step is timed STEPS times in each run, after one to warm up
#   CASES                       "arch,pixels,batch,queue …"
#   PRECISIONS (fp32 bf16)
#   VARIANTS                    of PyTorch: ORDER[-cl][-compile][@SETTING] …, where ORDER is
#                               official (all widths forward, one backward) or sequential; cl is
#                               channels-last memory; compile is torch.compile, in the first round
#                               alone, as it takes minutes. SETTING is how its threads wait, or its
#                               allocator: active, passive (OMP_WAIT_POLICY), iomp (Intel's or
#                               LLVM's OpenMP library in place of GNU's), jemalloc
#   LIMIT (900)                 seconds after which a run is given up
#   OPS (no)                    yes: also the standing list of `slimclr bench ops`
#   PROGRAM (build/slimclr), PYTHON (python3)
set -eu
cd "$(dirname "$0")/.."

program=${PROGRAM:-build/slimclr}
python=${PYTHON:-python3}
rounds=${ROUNDS:-3}
steps=${STEPS:-3}
limit=${LIMIT:-900}
precisions=${PRECISIONS:-fp32 bf16}
cases=${CASES:-resnet18,32,64,4096 resnet20,32,256,4096 resnet20x4,32,128,4096
    resnet50,224,16,4096 resnet18,32,64,65536 resnet20,32,256,65536}
variants=${VARIANTS:-official official-cl sequential-cl sequential-cl@active sequential-cl@iomp
    sequential-cl-compile}
out=${1:-runs/bench}

if ! "$python" -c 'import torch' 2> /dev/null; then
    echo "bench: $python has no PyTorch: only our own lines" >&2
    variants=
fi

mkdir -p "$out"
: > "$out/step.jsonl"
: > "$out/ops.jsonl"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# take FILE WORDS COMMAND…: the JSON lines that COMMAND prints go to FILE with WORDS (members of an
# object) in front, and are shown; a command that fails leaves a line that says so, and we go on.
take() {
    file=$1 words=$2
    shift 2
    code=0
    timeout --foreground "$limit" "$@" > "$scratch/out" 2> "$scratch/err" || code=$?
    if [ "$code" -ne 0 ]; then
        why=$(tail -n 1 "$scratch/err" | tr -d '\042\134' | tr -cd '[:print:]' | cut -c 1-200)
        [ "$code" -ne 124 ] || why="not done after $limit s"
        echo "{\"failed\":\"exit $code: $why\"}" > "$scratch/out"
    fi
    sed "s/^{/{$words,/" "$scratch/out" | tee -a "$out/$file"
}

# setting_of NAME: words for env(1) that make the setting, or nothing and status 1.
setting_of() {
    case $1 in
        default) ;;
        active | passive) echo "OMP_WAIT_POLICY=$1" ;;
        iomp)
            has_library libiomp5.so || return 1
            echo "LD_PRELOAD=libiomp5.so KMP_BLOCKTIME=infinite KMP_AFFINITY=granularity=fine,compact,1,0"
            ;;
        jemalloc)
            has_library libjemalloc.so.2 || return 1
            echo "LD_PRELOAD=libjemalloc.so.2"
            ;;
        *)
            echo "bench: VARIANTS: no setting '$1'; there are active, passive, iomp, jemalloc" >&2
            exit 2
            ;;
    esac
}

# has_library NAME: whether the loader finds it; it complains where not, and goes on without.
has_library() {
    [ -z "$(env "LD_PRELOAD=$1" true 2>&1)" ]
}

# peer VARIANT PRECISION: one run of PyTorch.
peer() {
    name=${1%%@*}
    setting=${1#"$name"}
    setting=${setting#@}
    if ! words=$(setting_of "${setting:-default}"); then
        echo "{\"who\":\"torch $1\",$where,\"failed\":\"its library is not installed\"}" |
            tee -a "$out/step.jsonl"
        return 0
    fi
    flags=
    case $name in sequential*) flags="--sequential" ;; esac
    case $name in *-cl*) flags="$flags --channels-last" ;; esac
    case $name in *-compile*) flags="$flags --compile" ;; esac
    [ "$2" = fp32 ] || flags="$flags --bf16"
    # shellcheck disable=SC2086
    take step.jsonl "\"who\":\"torch $1\",$where" \
        env $words "$python" bench/peers/torch_step.py $options $flags
}

ours() {
    # shellcheck disable=SC2086
    take step.jsonl "\"who\":\"slimclr\",$where" \
        "$program" bench step $options --method mocov2 --precision "$1" -q
}

for precision in $precisions; do
    take ops.jsonl "\"who\":\"slimclr\",\"asked\":\"$precision\"" \
        "$program" bench ops --case peak --precision "$precision" --seconds 1
    [ -z "$variants" ] || take ops.jsonl "\"who\":\"torch\",\"asked\":\"$precision\"" \
        "$python" bench/peers/torch_peak.py --precision "$precision" --seconds 1
    [ "${OPS:-no}" != yes ] || take ops.jsonl "\"who\":\"slimclr\",\"asked\":\"$precision\"" \
        "$program" bench ops --precision "$precision"
done

round=1
while [ "$round" -le "$rounds" ]; do
    for case in $cases; do
        IFS=, read -r arch pixels batch queue << END
$case
END
        options="--arch $arch --image-size $pixels --batch-size $batch --moco-k $queue
            --widths 1,0.75,0.5,0.25 --steps $steps"
        for precision in $precisions; do
            where="\"of\":\"$case\",\"asked\":\"$precision\",\"round\":$round"
            [ -n "$variants" ] || ours "$precision"
            for variant in $variants; do
                case $variant in *-compile*) [ "$round" -eq 1 ] || continue ;; esac
                where="\"of\":\"$case\",\"asked\":\"$precision\",\"round\":$round,\"beside\":\"$variant\""
                ours "$precision"
                peer "$variant" "$precision"
            done
        done
    done
    round=$((round + 1))
done

if ! command -v "$python" > /dev/null; then
    echo "bench: no $python: no table; the lines are in $out" >&2
    exit 0
fi
"$python" tools/bench_table.py "$out"
