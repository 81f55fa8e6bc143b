#!/usr/bin/env bash
# Trains and measures SmolLM2-135M on a CUDA device, every task that each data folder allows; within ten minutes.
#
#   benchmarks/gpu/run.sh --out build/gpu data/hm data/beauty
#   benchmarks/gpu/run.sh --out build/gpu --tiny     # on a CPU, to the end: the embedded shop, a model of random weights
#
# Every folder gets DATA.json (with the device's name) and DATA.TASK.parquet (ranks) in --out. `make
# setup-pretrained` first; with PYTHON=… another interpreter. MINUTES=10 is the limit for all folders together.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-$here/../../.venv/bin/python}
minutes=${MINUTES:-10}
out='' tiny='' data=()
while [ $# -gt 0 ]; do
  case $1 in
    --out) out=${2:?--out: names no folder} && shift 2 ;;
    --tiny) tiny=1 && shift ;;
    -*) echo "$1: unknown option; give --out DIR, --tiny, and data folders" >&2 && exit 2 ;;
    *) data+=("$1") && shift ;;
  esac
done
[ -n "$out" ] || { echo "--out: missing; give the folder of the result files" >&2; exit 2; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
settings=()
if [ -n "$tiny" ]; then
  export UNIMP_CACHE=$work/cache
  "$python" "$here/tiny.py" "$work"
  data=("$work/shop") minutes=${MINUTES:-0.2} settings=(--recipe "$work/tiny.toml" --device cpu --users 6)
elif [ ${#data[@]} = 0 ]; then
  echo "data: no folder; give those that \`unimp data import\` wrote, such as data/hm" >&2
  exit 2
elif ! "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
  echo "device: no CUDA device; --tiny runs the same steps on a CPU" >&2
  exit 2
fi
for folder in "${data[@]}"; do
  share=$("$python" -c 'import sys; print(float(sys.argv[1]) / int(sys.argv[2]))' "$minutes" ${#data[@]})
  "$python" "$here/train_and_measure.py" --data "$folder" --out "$out" --minutes "$share" --work "$work" "${settings[@]}"
done
