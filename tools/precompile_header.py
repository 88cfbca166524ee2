"""Precompile the torch headers that all C++ files of mmcv include; called by tools/setup.sh.

    CFLAGS="$(python tools/precompile_header.py mmcv==2.1.0 FOLDER)" pip install mmcv==2.1.0

Compiling mmcv's 77 C++ files takes most of the time to parse torch's headers. GCC reads them from a
precompiled header instead, if that was made with the flags of the build. The printed flags contain
`-Werror=invalid-pch`: without it GCC would silently fall back to the plain header, and the build
would be slow.

Exits with a reason and a status other than 0 where this does not work: other compilers than GCC,
builds with CUDA or another accelerator, an mmcv with a different layout.
"""

import argparse
import os
import shlex
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path

HEADER = 'mmcv/ops/csrc/common/pytorch_cpp_helper.hpp'
# CFLAGS replaces Python's flags, including -DNDEBUG and -fPIC. torch and mmcv default to -O2; debug
# information would make the objects large and slow to write.
CFLAGS = ['-g0', '-O2', '-DNDEBUG', '-fPIC', '-Winvalid-pch', '-Werror=invalid-pch']
# Added by torch's BuildExtension and mmcv's setup.py to the command of each file.
BUILD_FLAGS = ['-DTORCH_API_INCLUDE_EXTENSION_H', '-DTORCH_EXTENSION_NAME=_ext', '-std=c++17']


def main() -> None:
    """Precompile the header, and print the CFLAGS of a build that uses it."""
    parser = argparse.ArgumentParser(description=__doc__.partition(';')[0] + '.')
    parser.add_argument('requirement', help='mmcv==VERSION, or its fork')
    parser.add_argument('folder', help='where the header goes')
    args = parser.parse_args()
    folder = Path(args.folder).resolve()
    compiler = shlex.split(os.environ.get('CXX', 'c++'))
    refuse_other_builds(compiler)
    folder.mkdir(parents=True, exist_ok=True)
    header = folder / Path(HEADER).name
    header.write_bytes(header_of(args.requirement, folder))
    precompile(compiler, header)
    flags = ' '.join([*CFLAGS, '-I' + shlex.quote(str(folder))])
    print(f'{flags} {os.environ.get("CFLAGS", "")}'.strip())


def refuse_other_builds(compiler: list[str]) -> None:
    """Exit if the build would not use the header."""
    import torch

    macros = subprocess.run(  # noqa: S603  the compiler of the build, without a shell
        [*compiler, '-dM', '-E', '-x', 'c++', os.devnull], capture_output=True, text=True
    )
    if macros.returncode or '__clang__' in macros.stdout or '__GNUC__' not in macros.stdout:
        sys.exit(f'{compiler[0]} is not GCC')
    others = [name for name in os.environ if name.startswith('FORCE_')]
    others += [name for name in ('MMCV_WITH_DIOPI', 'CPPFLAGS', 'CXXFLAGS') if name in os.environ]
    if others or torch.cuda.is_available() or torch.version.hip:
        sys.exit(f'a build with an accelerator or custom flags: {", ".join(others) or "CUDA"}')


def header_of(requirement: str, folder: Path) -> bytes:
    """The header in the sdist of mmcv, which pip downloads (and caches for the build)."""
    command = [sys.executable, '-m', 'pip', 'download', '--quiet', '--no-deps']
    command += ['--no-build-isolation', '--no-binary', ':all:', '--dest', str(folder)]
    command.append(requirement)
    subprocess.run(command, check=True, stdout=sys.stderr)  # noqa: S603  pip, without a shell
    sdist = next(iter(folder.glob('*.tar.gz')))
    with tarfile.open(sdist) as archive:
        member = archive.extractfile(f'{sdist.name.removesuffix(".tar.gz")}/{HEADER}')
        content = member.read()
    sdist.unlink()
    return content


def precompile(compiler: list[str], header: Path) -> None:
    """Write HEADER.gch with the flags and include paths of the build."""
    from torch.utils.cpp_extension import include_paths

    command = [*compiler, '-x', 'c++-header', *CFLAGS, *BUILD_FLAGS]
    command += [f'-I{path}' for path in (*include_paths(), sysconfig.get_path('include'))]
    command += shlex.split(os.environ.get('CFLAGS', ''))
    command += [str(header), '-o', f'{header}.gch']
    subprocess.run(command, check=True, stdout=sys.stderr)  # noqa: S603  the compiler of the build


if __name__ == '__main__':
    main()
