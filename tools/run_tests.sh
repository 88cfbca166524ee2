#!/usr/bin/env bash
# Set everything up, then run the tests.

set -euo pipefail
here="$(dirname "${BASH_SOURCE[0]}")"
source "$here/setup.sh"

case " $* " in
  *" -h "* | *" --help "*)
    cat <<TEXT
Usage: bash tools/run_tests.sh [options] [arguments of pytest]

Sets up the environment (once), then runs the test suite.

Options:
  --slow                 also run the long tests: trainings to a target, large inputs
$setup_help
TEXT
    exit ;;
esac

parse_setup_arguments "$@"
set_up
report="$root/work_dirs/tests/$stack.xml"
cd "$root"
status=0
# Two files at a time; a test that hangs or crashes its process ends the run and is named.
"$env_python" -m pytest --numprocesses 2 --dist loadfile --max-worker-restart 0 --timeout 900 \
  --junitxml="$report" ${rest[@]+"${rest[@]}"} || status=$?
if [ "$status" -eq 0 ]; then
  say "Tests passed on the $stack stack. Report: $report"
else
  say "Tests failed on the $stack stack (pytest ended with $status). Report: $report" >&2
fi
exit "$status"
