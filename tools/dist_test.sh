#!/usr/bin/env bash
# Test with several processes on this machine, or on each of NNODES machines, by torchrun.

set -euo pipefail

usage='Usage: bash tools/dist_test.sh CONFIG CHECKPOINT GPUS [arguments of tools/test.py]

GPUS is the number of processes on this machine: one per GPU, or any number on the CPU.
Environment for several machines (run the script on each of them):
  NNODES       number of machines (1)
  NODE_RANK    number of this one, from 0 (0)
  MASTER_ADDR  address of machine 0 (127.0.0.1)
  PORT         a free port of machine 0 (29500)
PYTHON is the Python to run (default: that of .venv or .venv-onedl, else python).'
if [ $# -lt 3 ] || ! [[ "$3" =~ ^[1-9][0-9]*$ ]]; then
  printf '%s\n' "$usage" >&2
  exit 2
fi
config="$1" checkpoint="$2" gpus="$3"
shift 3
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
source "$root/tools/find_python.sh"
exec "$python" -m torch.distributed.run \
  --nnodes="${NNODES:-1}" \
  --node-rank="${NODE_RANK:-0}" \
  --master-addr="${MASTER_ADDR:-127.0.0.1}" \
  --master-port="${PORT:-29500}" \
  --nproc-per-node="$gpus" \
  "$root/tools/test.py" "$config" "$checkpoint" --launcher pytorch "$@"
