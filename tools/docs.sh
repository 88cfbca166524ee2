#!/usr/bin/env bash
# Build the documentation site, strictly: a broken link or a page without a place is an error.

set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"

if [ "${1:-}" = -h ] || [ "${1:-}" = --help ]; then
  printf 'Usage: bash tools/docs.sh [--serve]

Build the documentation site in work_dirs/site; open work_dirs/site/index.html in a browser to read
it. --serve serves it at http://127.0.0.1:8000, with a search, and rebuilds it when a page changes.

Set up .venv-docs once, with requirements/docs.txt. Python 3.11 or newer; set PYTHON to choose one.\n'
  exit 0
fi
cd "$root"
export NO_MKDOCS_2_WARNING=1
if ! .venv-docs/bin/python -c 'import material, mkdocstrings_handlers.python' 2>/dev/null; then
  python="${PYTHON:-python3}"
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "docs.sh: $python is older than Python 3.11; set PYTHON to a newer one." >&2
    exit 1
  }
  "$python" -m venv .venv-docs
  .venv-docs/bin/python -m pip install --quiet -r requirements/docs.txt
fi
if [ "${1:-}" = --serve ]; then
  exec .venv-docs/bin/python -m mkdocs serve --dev-addr 127.0.0.1:8000
fi
.venv-docs/bin/python -m mkdocs build --strict --clean
echo "Wrote work_dirs/site/index.html"
