#!/usr/bin/env bash
# Everything that is measured on one GPU, within 25 minutes, into one JSON file.
#
#   benchmarks/gpu.sh                      # all parts
#   benchmarks/gpu.sh waits equal          # some parts, which are added to those in the file
#   benchmarks/gpu.sh --cpu-small          # everything tiny on a processor, to try the script out
#   benchmarks/gpu.sh -n                   # only print the commands
#
#   --json FILE     benchmarks/gpu.json by default
#
# Parts: waits (synchronisations of a step), equal (CPU and CUDA), steps (speed, memory, share of the peak), phases
# (of DAFormer's step), data (waiting for pictures), layouts (depth-wise convolutions), resume (deterministic, bit-equal)
# and predict. Each has a process of its own and at most ten minutes: one that fails costs no other. PYTHON says what to
# call: python3. Where calls are short, give a few parts in each: "waits equal resume", "steps", "phases data layouts predict".
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
fail() { echo "gpu.sh: $*" >&2; exit 2; }

python=${PYTHON:-python3} parts=() options=() json=$here/benchmarks/gpu.json dry=""
while (($#)); do
  case $1 in
    --json) (($# > 1)) || fail "$1 needs a value"; json=$(realpath -m "$2"); shift 2 ;;
    --cpu-small) options+=(--small); shift ;;
    -n | --dry-run) dry=yes; shift ;;
    -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    -*) fail "unknown option $1; --help lists them" ;;
    *) parts+=("$1"); shift ;;
  esac
done
all=(waits equal steps phases data layouts resume predict)
((${#parts[@]})) || parts=("${all[@]}")
for part in "${parts[@]}"; do
  [[ " ${all[*]} " == *" $part "* ]] || fail "unknown part $part; there are ${all[*]}"
done

cd "$here" || exit
export PYTHONPATH=$here/src:$here${PYTHONPATH:+:$PYTHONPATH} PYTHONUNBUFFERED=1 CUBLAS_WORKSPACE_CONFIG=:4096:8
failed=()
for part in "${parts[@]}"; do
  command=(timeout 600 "$python" benchmarks/gpu.py "$part" --json "$json" ${options[@]+"${options[@]}"})
  if [[ $dry ]]; then echo "${command[*]}"; continue; fi
  "${command[@]}" || failed+=("$part")
done
((${#failed[@]} == 0)) || { echo "gpu.sh: did not end well: ${failed[*]}" >&2; exit 1; }
