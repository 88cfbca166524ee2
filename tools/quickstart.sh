#!/usr/bin/env bash
# Set everything up, then run the quickstart: generate data, train, evaluate, draw.

set -euo pipefail
here="$(dirname "${BASH_SOURCE[0]}")"
source "$here/setup.sh"

case " $* " in
  *" -h "* | *" --help "*)
    cat <<TEXT
Usage: bash tools/quickstart.sh [options] [arguments of tools/quickstart.py]

Sets up the environment (once), then trains HTC++, UperNet and a video recognizer with a small Swin
Transformer V2 on generated data, evaluates them and draws their predictions (all three, or those
named by --task detection segmentation video). Downloads nothing but packages.

Options:
$setup_help
TEXT
    exit ;;
esac

parse_setup_arguments "$@"
set_up
exec "$env_python" "$root/tools/quickstart.py" ${rest[@]+"${rest[@]}"}
