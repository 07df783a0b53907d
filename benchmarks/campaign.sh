#!/usr/bin/env bash
# The campaign: what each piece brings, on every bed, three seeds each, with one command.
#
#   benchmarks/campaign.sh DATA WEIGHTS                     # all beds; give the same command again to go on
#   benchmarks/campaign.sh DATA WEIGHTS -n                  # only print what would be done
#   benchmarks/campaign.sh DATA WEIGHTS --bed dusk --seeds 0
#
# DATA      holds camvid/ and carla/ (images/SPLIT, labels/SPLIT, classes.json)
# WEIGHTS   holds mobilenet_v2_imagenet.safetensors and vit_tiny_patch16_imagenet.safetensors
#
#   --bed NAME          dusk, dusk_vit, carla or streets; repeatable; all of them, in this order, without it
#   --seeds 0,1,2
#   --jobs N            runs at once; without it four on every GPU, or one on every core
#   --out DIR           runs and pair files, relative: records name it; runs/campaign
#   --street-steps N    steps of a run on the street scenes; 3200
#   --cpu               stay on the processor
#   -n, --dry-run       print the commands
#
# Whatever was finished before is not run again, and a run that was killed goes on where it stood. A row that fails
# stops only those that need it. At the end of every bed its record is copied to benchmarks/studies, and at the end
# of all docs/results.md is filled from there. SEGUE and PYTHON say what to call: segue and python.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
fail() { echo "campaign.sh: $*" >&2; exit 2; }

folders=() beds=() seeds=0,1,2 jobs="" out=runs/campaign street_steps=3200 cpu=() dry=""
while (($#)); do
  case $1 in
    --bed | --seeds | --jobs | --out | --street-steps)
      (($# > 1)) || fail "$1 needs a value"
      case $1 in
        --bed) beds+=("$2") ;;
        --seeds) seeds=$2 ;;
        --jobs) jobs=$2 ;;
        --out) out=$2 ;;
        --street-steps) street_steps=$2 ;;
      esac
      shift 2 ;;
    --cpu) cpu=(--cpu); shift ;;
    -n | --dry-run) dry=yes; shift ;;
    -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"; exit 0 ;;
    -*) fail "unknown option $1; --help lists them" ;;
    *) folders+=("$1"); shift ;;
  esac
done
((${#folders[@]} == 2)) || fail "give two folders, DATA and WEIGHTS; --help says what they hold"
[[ $out != /* ]] || fail "--out $out: a relative folder, because records that are shared name it"
((${#beds[@]})) || beds=(dusk dusk_vit carla streets)
data=$(realpath -m "${folders[0]}")
weights=$(realpath -m "${folders[1]}")
mobilenet=$weights/mobilenet_v2_imagenet.safetensors
vit=$weights/vit_tiny_patch16_imagenet.safetensors

for bed in "${beds[@]}"; do # what is missing is said before hours are spent
  case $bed in
    dusk | dusk_vit) needed=("$data/camvid" "$mobilenet" "$vit") ;;
    carla) needed=("$data/camvid" "$data/carla" "$mobilenet" "$vit") ;;
    streets) needed=() ;;
    *) fail "--bed $bed: there are dusk, dusk_vit, carla and streets" ;;
  esac
  for path in ${needed[@]+"${needed[@]}"}; do
    [[ $dry || -e $path ]] || fail "bed $bed needs $path, which is not there"
  done
done

cores=$(nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)
gpus=0
((${#cpu[@]})) || gpus=$(nvidia-smi -L 2>/dev/null | grep -c ^GPU || true)
[[ $jobs ]] || jobs=$((gpus ? 4 * gpus : cores))
# Beside a GPU nobody pins processes to cores: without this each would start a thread for every core.
((gpus == 0)) || export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((cores > jobs ? cores / jobs : 1))}

run() {
  if [[ $dry ]]; then printf '%q ' "$@"; echo; else "$@"; fi
}

# A pair file of this machine: a committed one, and where things lie here.
pair_file() {
  local text
  text=$(cat)
  if [[ $dry ]]; then printf "cat > %q <<'END'\n%s\nEND\n" "$1" "$text"; else
    mkdir -p "$(dirname "$1")"
    printf '%s\n' "$text" >"$1"
  fi
}

# What SSR looks at where no weights of SAM are at hand.
ssr="  terms.frozen_regularizer:
    terms: {frozen_regularizer: {encoder: vit_tiny, weights: \"$vit\"}}"

# Rows of any network; those of hybrid attention and of a large teacher ask for a transformer.
any_network=()
for row in "source only" "source only, as long" oracle dacs daformer daformer_mic "no coordination" stct dida ssr dida_ssr \
  cbst crst hrda mic channel majority "mean probability"; do
  any_network+=(--only "$row")
done

failed=()
study() { # bed, pair, further options
  local bed=$1 folder=$out/$1
  run "${SEGUE:-segue}" study campaign --pair "$2" --out "$folder" --seeds "$seeds" --jobs "$jobs" \
    ${cpu[@]+"${cpu[@]}"} "${@:3}" || failed+=("$bed")
  [[ $dry || -f $folder/study.json ]] || return 0
  run mkdir -p "$here/benchmarks/studies"
  run cp "$folder/study.json" "$here/benchmarks/studies/campaign_$bed.json"
}

for bed in "${beds[@]}"; do
  case $bed in
    dusk)
      pair_file "$out/camvid_day_to_dusk.yaml" <<END
extends: "$here/configs/camvid_day_to_dusk_long.yaml"
data: {root: "$data"}
network: {weights: "$mobilenet"}
when:
$ssr
END
      study dusk "$out/camvid_day_to_dusk.yaml" "${any_network[@]}" ;;
    dusk_vit)
      pair_file "$out/camvid_day_to_dusk_vit_tiny.yaml" <<END
extends: "$here/configs/camvid_day_to_dusk_vit_tiny.yaml"
data: {root: "$data"}
network: {weights: "$vit"}
when:
$ssr
END
      study dusk_vit "$out/camvid_day_to_dusk_vit_tiny.yaml" ;;
    carla)
      pair_file "$out/carla_to_camvid.yaml" <<END
extends: "$here/configs/carla_to_camvid.yaml"
data: {root: "$data"}
network: {weights: "$mobilenet"}
when:
$ssr
END
      study carla "$out/carla_to_camvid.yaml" "${any_network[@]}" ;;
    streets)
      study streets street_scenes --steps "$street_steps" ;;
  esac
done

run "${PYTHON:-python}" "$here/benchmarks/results.py"
((${#failed[@]} == 0)) || fail "not every row of ${failed[*]} was finished; the same command tries again"
