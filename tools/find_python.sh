# Sourced by the scripts that start several processes: sets `python` for the checkout at $root.

if [ -n "${PYTHON:-}" ]; then
  python="$PYTHON"
elif [ -x "$root/.venv/bin/python" ]; then
  python="$root/.venv/bin/python"
elif [ -x "$root/.venv-onedl/bin/python" ]; then
  python="$root/.venv-onedl/bin/python"
else
  python=python
fi
