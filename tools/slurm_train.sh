#!/usr/bin/env bash
# Train on a Slurm cluster, with one process per GPU.

set -euo pipefail

usage='Usage: [VARIABLE=VALUE ...] bash tools/slurm_train.sh PARTITION JOB_NAME CONFIG [WORK_DIR]
       [arguments of tools/train.py]

Environment:
  GPUS           number of processes, one per GPU (8)
  GPUS_PER_NODE  processes per machine (8, or GPUS if that is less)
  CPUS_PER_TASK  CPU cores per process (5)
  SRUN_ARGS      further arguments of srun, split at spaces
  PY_ARGS        further arguments of tools/train.py, split at spaces
  MASTER_PORT    a free port of the first machine (29500)
PYTHON is the Python to run (default: that of .venv or .venv-onedl, else python).'
if [ $# -lt 3 ]; then
  printf '%s\n' "$usage" >&2
  exit 2
fi
partition="$1" job_name="$2" config="$3"
shift 3
arguments=()
if [ $# -gt 0 ] && [[ "$1" != -* ]]; then
  arguments=(--work-dir "$1")
  shift
fi
gpus="${GPUS:-8}"
per_node="${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}"
read -r -a srun_arguments <<<"${SRUN_ARGS:-}"
read -r -a further <<<"${PY_ARGS:-}"
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
source "$root/tools/find_python.sh"
# If one process fails, all end.
exec srun \
  --partition="$partition" \
  --job-name="$job_name" \
  --gres="gpu:$per_node" \
  --ntasks="$gpus" \
  --ntasks-per-node="$per_node" \
  --cpus-per-task="${CPUS_PER_TASK:-5}" \
  --kill-on-bad-exit=1 \
  ${srun_arguments[@]+"${srun_arguments[@]}"} \
  "$python" -u "$root/tools/train.py" "$config" --launcher slurm \
  ${arguments[@]+"${arguments[@]}"} "$@" ${further[@]+"${further[@]}"}
