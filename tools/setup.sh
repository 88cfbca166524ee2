#!/usr/bin/env bash
# Set up the environment of swinv2_dense once; later runs take seconds.
# tools/quickstart.sh and tools/run_tests.sh source this file and use $env_python; it also runs alone.

set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
stack=''
use_active=no
rest=()

setup_help='  --stack classic|onedl  the OpenMMLab packages or their maintained forks (default: classic, and onedl
                         where only Python 3.12 or 3.13 is found)
  --active               install into the active environment instead of .venv / .venv-onedl
Environment:
  PYTHON                 the Python of the environment: 3.10 to 3.13, up to 3.11 for classic
  MAX_JOBS               how many files of mmcv are compiled in parallel
  PLAIN_BUILD=1          compile mmcv without a precompiled header'

die() {
  printf '\nSetup failed at: %s\n' "$1" >&2
  printf 'What to do: %s\n' "$2" >&2
  exit 1
}

# Other arguments than those of the setup are left in `rest` for the script that sourced this file.
parse_setup_arguments() {
  while [ $# -gt 0 ]; do
    case "$1" in
      --stack) stack="${2:-}"; shift ;;
      --stack=*) stack="${1#*=}" ;;
      --active) use_active=yes ;;
      *) rest+=("$1") ;;
    esac
    shift || break
  done
  case "${stack:-classic}" in
    classic | onedl) ;;
    *) die "reading --stack '$stack'" "use --stack classic or --stack onedl." ;;
  esac
}

# fits STACK PYTHON: whether the pinned packages of the stack support that Python.
fits() {
  local newest=11
  [ "$1" = classic ] || newest=13
  "$2" -c "import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, $newest))" 2>/dev/null
}

refuse_python() {
  die "choosing a Python" "$1 is $("$1" --version 2>&1), but the classic stack needs Python 3.10 or \
3.11 (its packages predate 3.12), the onedl stack 3.10 to 3.13. $2"
}

# Sets python, and stack unless the command line did.
find_python() {
  local wanted="${stack:-classic}" candidates='python3.11 python3.10 python3 python'
  [ "$stack" != onedl ] || candidates='python3.11 python3.12 python3.13 python3.10 python3 python'
  if [ -n "${PYTHON:-}" ]; then
    command -v "$PYTHON" >/dev/null \
      || die "choosing a Python" "PYTHON=$PYTHON is not a program; set it to a Python 3.10 to 3.13."
    candidates="$PYTHON"
  fi
  for python in $candidates; do
    if fits "$wanted" "$python"; then
      stack="$wanted"
      return
    fi
  done
  [ -n "$stack" ] || for python in ${PYTHON:-python3.12 python3.13 python3 python}; do
    if fits onedl "$python"; then
      stack=onedl
      say "$("$python" --version 2>&1) is too new for the classic stack: setting up the onedl stack."
      return
    fi
  done
  [ -z "${PYTHON:-}" ] || refuse_python "$PYTHON" "Set PYTHON to one of those."
  command -v python3 >/dev/null && refuse_python python3 \
    "Install one of those (for example with conda, pyenv or uv) and set PYTHON to its path."
  die "choosing a Python" "no Python found. Install Python 3.10 to 3.13, or set PYTHON to its path."
}

# The default stack depends on the available Python.
choose_stack() {
  if [ -z "$stack" ] && [ "$use_active" = yes ]; then
    stack=classic
    ! fits onedl python || fits classic python || stack=onedl
  elif [ -z "$stack${PYTHON:-}" ] && fits classic "$root/.venv/bin/python"; then
    stack=classic
  elif [ -z "$stack" ]; then
    find_python
  fi
  requirements="$root/requirements/$stack.txt"
  log="$root/work_dirs/setup/$stack.log"
  mkdir -p "$(dirname "$log")"
}

# Sets env_python, the interpreter of the environment for all packages.
open_environment() {
  if [ "$use_active" = yes ]; then
    [ -n "${VIRTUAL_ENV:-}${CONDA_PREFIX:-}" ] || die "finding the active environment" \
      "--active needs an activated virtual or conda environment; activate one or drop --active."
    env_python="$(command -v python)" || die "finding the active environment" "it has no python."
    fits "$stack" "$env_python" || refuse_python "$env_python" \
      "Activate an environment with one of those."
    environment="$("$env_python" -c 'import sys; print(sys.prefix)')"
    return
  fi
  environment="$root/.venv"
  [ "$stack" = classic ] || environment="$root/.venv-$stack"
  env_python="$environment/bin/python"
  if ! "$env_python" -m pip --version >/dev/null 2>&1; then
    find_python
    say "Creating $environment with $("$python" --version 2>&1)"
    "$python" -m venv --clear "$environment" >>"$log" 2>&1 || die "creating $environment" \
      "Python's venv module is needed (Debian, Ubuntu: apt install python3-venv). Log: $log"
  fi
  fits "$stack" "$env_python" || refuse_python "$env_python" \
    "Remove $environment and set PYTHON to one of those."
}

say() { printf '%s\n' "$*"; }

# The part of the requirements file below `# [NAME]`.
section() { awk -v name="# [$1]" '/^# \[/ { on = index($0, name) == 1; next } on' "$requirements"; }

# step NAME REMEDY COMMAND...: run with output in the log; on failure print its end and the remedy.
step() {
  local name="$1" remedy="$2" started=$SECONDS
  shift 2
  say "- $name"
  printf '\n===== %s: %s\n' "$name" "$*" >>"$log"
  set -m # a process group of its own, so that an interrupt ends its compilers, too
  "$@" >>"$log" 2>&1 </dev/null &
  set +m
  local job=$!
  trap "kill -- -$job 2>/dev/null; exit 130" INT TERM
  show_progress "$job" "$started"
  trap - INT TERM
  if ! wait "$job"; then
    printf '\nThe end of %s:\n' "$log" >&2
    tail -n 15 "$log" | cut -c 1-300 >&2
    die "$name" "$remedy Then run the same command again to continue. Log: $log"
  fi
}

# While a job runs, show its time and how many files it has compiled: one line per minute, or in a
# terminal one line that is updated.
show_progress() {
  local job="$1" started="$2" shown=0 passed objects
  while kill -0 "$job" 2>/dev/null; do
    sleep 1
    passed=$((SECONDS - started))
    if [ -t 1 ] && [ "$passed" -ge 5 ]; then
      objects="$(compiled_objects)"
      printf '\r  %d:%02d %-40s' $((passed / 60)) $((passed % 60)) "$objects"
    elif [ "$passed" -ge $((shown + 60)) ]; then
      shown=$passed
      say "  $((passed / 60)) min $(compiled_objects)"
    fi
  done
  if [ -t 1 ]; then printf '\r%-60s\r' ''; fi
}

# ninja prints `[done/all] command` per object; only the log of the current step counts.
compiled_objects() {
  tail -c 300000 "$log" \
    | awk '/^=====/ { last = "" } match($0, /^ *\[[0-9]+\/[0-9]+\]/) { last = substr($0, 1, RLENGTH) }
        END { gsub(/[] []/, "", last); if (last) print "compiled " last " files" }'
}

pip_install() {
  "$env_python" -m pip install -v --no-build-isolation --disable-pip-version-check \
    -c "$constraints" "$@"
}

# Without importing mmcv, which takes seconds and needs torch.
has_mmcv_ops() {
  "$env_python" - <<'PY'
import importlib.util, pathlib, sys
mmcv = importlib.util.find_spec('mmcv')
sys.exit(mmcv is None or not list(pathlib.Path(mmcv.origin).parent.glob('_ext*')))
PY
}

check_compiler() {
  "${CXX:-c++}" --version >>"$log" 2>&1 || die "compiling mmcv" \
    "no C++ compiler (${CXX:-c++}) found. Install one (Debian, Ubuntu: apt install g++) or set CXX."
  "$env_python" - <<'PY' || die "compiling mmcv" \
    "Python.h is missing. Install Python's headers (Debian, Ubuntu: apt install python3-dev)."
import pathlib, sys, sysconfig
sys.exit(not (pathlib.Path(sysconfig.get_path('include')) / 'Python.h').is_file())
PY
}

# The forks have the import names of the classic packages, so one would overwrite the other.
refuse_other_stack() {
  local other=onedl-mmengine
  [ "$stack" = classic ] || other=mmengine
  if "$env_python" -m pip show -q "$other" >/dev/null 2>&1; then
    die "checking $environment" "it has $other, which is not part of the $stack stack and has the \
same import names. Use another environment, or --stack with the name of the other stack."
  fi
}

# An existing torch in the active environment is kept; mmcv is compiled against it.
write_constraints() {
  constraints="$environment/swinv2_dense-constraints.txt"
  local own_torch=''
  if [ "$use_active" = yes ]; then
    own_torch="$("$env_python" -c \
      'from importlib.metadata import version; print(version("torch"))' 2>/dev/null || true)"
  fi
  sed "s/^torch==.*/torch==${own_torch:-$(section build | sed -n 's/^torch==//p')}/" \
    "$requirements" >"$constraints"
}

install_section() {
  local list="$environment/swinv2_dense-$1.txt" saved="$requirements"
  requirements="$constraints" section "$1" >"$list"
  requirements="$saved"
  shift
  pip_install -r "$list" "$@"
}

has_cached_wheel() {
  "$env_python" -m pip cache list --format=abspath "${1//-/_}-*-$("$env_python" -c \
    'import sys; print("cp%d%d" % sys.version_info[:2])')-*" 2>/dev/null | grep -q '[.]whl$'
}

# Each file of mmcv takes seconds with a precompiled header of torch, half a minute without.
compile_mmcv() {
  local headers="$environment/swinv2_dense-headers" flags=''
  if [ "${PLAIN_BUILD:-0}" != 1 ]; then
    flags="$("$env_python" "$root/tools/precompile_header.py" \
      "$(section ops | grep 'mmcv==')" "$headers")" || flags=''
  fi
  if [ -n "$flags" ] && CFLAGS="$flags" install_section ops; then
    rm -rf "$headers"
    return
  fi
  rm -rf "$headers"
  say "===== without a precompiled header"
  install_section ops
}

install_mmcv() {
  local name
  name="$(section ops | sed -n 's/^\(.*mmcv\)==.*/\1/p')"
  export MMCV_WITH_OPS=1
  if "$env_python" -m pip show -q "$name" 2>/dev/null && ! has_mmcv_ops; then
    [ "$use_active" = no ] || die "checking mmcv" "the installed $name lacks its compiled ops \
(mmcv._ext), without which mmdet cannot be imported. Remove it (python -m pip uninstall $name)."
    say "Removing the installed $name, which lacks its compiled ops (mmcv._ext)."
    "$env_python" -m pip uninstall -y "$name" >>"$log" 2>&1
  fi
  local remedy="See the first line with 'error:' in the log. Out of memory: set MAX_JOBS=1. A CUDA \
toolkit that does not match torch: see README, supported versions."
  if ! has_mmcv_ops && ! has_cached_wheel "$name"; then
    check_compiler
    say "mmcv's operators are compiled next, once: about three minutes on 2 cores, ten without a \
precompiled header of torch."
    step "mmcv with its operators" "$remedy" compile_mmcv
  fi
  step "mmcv" "$remedy" install_section ops
  if ! has_mmcv_ops; then
    say "pip's cache has a $name without ops (mmcv._ext); compiling it again."
    step "mmcv with its operators, without the cache" "$remedy" \
      install_section ops --no-cache-dir --force-reinstall --no-deps --no-binary "$name"
    has_mmcv_ops || die "compiling mmcv" "the build ended without ops (mmcv._ext). Log: $log"
  fi
}

fingerprint() {
  "$env_python" - "$root" "$requirements" "$root/setup.py" "$root/pyproject.toml" <<'PY'
import hashlib, pathlib, sys
files = b''.join(pathlib.Path(path).read_bytes() for path in sys.argv[2:])
print(hashlib.sha256(sys.argv[1].encode() + files).hexdigest())
PY
}

describe_environment() {
  "$env_python" - <<'PY'
import importlib.metadata as metadata
import platform
import torch
import mmcv.ops
names = ('mmengine', 'mmcv', 'mmdet', 'mmdetection', 'mmsegmentation', 'mmaction2')
versions = [f'Python {platform.python_version()}', f'torch {torch.__version__}']
for name in [*names, *('onedl-' + name for name in names)]:
    try:
        versions.append(f'{name} {metadata.version(name)}')
    except metadata.PackageNotFoundError:
        pass
print(', '.join(versions))
cuda = mmcv.ops.get_compiling_cuda_version()
print('mmcv operators: CPU' + ('' if cuda == 'not available' else f' and CUDA {cuda}'))
if torch.cuda.is_available() and cuda == 'not available':
    print('Warning: torch sees a GPU, but mmcv was compiled without CUDA, so detectors cannot train '
          f'on it. Install the CUDA toolkit {torch.version.cuda} (nvcc), then uninstall mmcv from '
          'this environment, empty its wheels with `pip cache remove "*mmcv*"`, and run again.')
PY
}

set_up() {
  choose_stack
  open_environment
  local stamp="$environment/swinv2_dense-setup" wanted started=$SECONDS
  wanted="$(fingerprint)"
  if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && has_mmcv_ops; then
    say "The $stack stack is set up in $environment."
    return
  fi
  rm -f "$stamp"
  : >"$log"
  say "Setting up the $stack stack in $environment. Log: $log"
  local network="Check the network and the package index pip uses (python -m pip config list)."
  refuse_other_stack
  write_constraints
  step "torch and the build requirements of mmcv" "$network" install_section build
  install_mmcv
  step "the OpenMMLab packages" "$network" install_section stack
  step "mmaction2" "$network" install_section no-deps --no-deps
  step "the packages for the tests" "$network" install_section test
  step "other SwinV2 packages for comparisons, in a separate folder" "$network" \
    install_section peers --no-deps --upgrade --target "$environment/peers"
  step "swinv2_dense itself" "See the log." pip_install --no-deps -e "$root"
  step "importing the stack" "Packages may be incompatible: start with a fresh environment." \
    describe_environment
  tail -n 3 "$log" | grep -E '^(Python|mmcv|Warning)' || true
  printf '%s\n' "$wanted" >"$stamp"
  say "The $stack stack was set up in $(((SECONDS - started) / 60)) min \
$(((SECONDS - started) % 60)) s: $environment"
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
  case " $* " in
    *" -h "* | *" --help "*)
      printf 'Usage: bash tools/setup.sh [--stack classic|onedl] [--active]\n%s\n' "$setup_help"
      exit ;;
  esac
  parse_setup_arguments "$@"
  [ ${#rest[@]} -eq 0 ] || die "reading the arguments" "unknown: ${rest[*]}. See --help."
  set_up
fi
