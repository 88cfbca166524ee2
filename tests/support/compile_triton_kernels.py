"""Compile the kernels of window attention for GPUs that are not there, and print what they need.

Run as a program: TRITON_INTERPRET must not be set. Prints one line of JSON for each kernel.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import tempfile
from pathlib import Path

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from swinv2_dense.models import triton_kernels
from swinv2_dense.models.similarity import SIMILARITIES
from swinv2_dense.models.triton_attention import PRODUCTS
from swinv2_dense.models.triton_tiles import TILES
from swinv2_dense.models.triton_windows import GEOMETRY

KERNELS = ('forward', 'query', 'key', 'table')
# Pointers that have the dtype of the map; the others are fp32.
LOW = {'qkv', 'pad', 'out', 'grad', 'qkv_grad'}
NAMES = {'fp32': torch.float32, 'bf16': torch.bfloat16, 'fp16': torch.float16}
TOOLS = Path(triton.__file__).parent / 'backends/nvidia/bin'


def compile_kernel(
    name: str, dtype: str, head: int, capability: int, precision: str, similarity: str, eps: float
) -> dict:
    """Resources of a kernel: registers, bytes of stack (spills) and of shared memory, and
    instructions in its loop and outside of it.
    """
    kernel = getattr(triton_kernels, f'{name}_kernel')
    tiles = TILES[NAMES[dtype]][name]
    values = dict(
        HEAD=head,
        TILE_Q=tiles.queries,
        TILE_K=tiles.keys,
        PRODUCT=PRODUCTS[NAMES[dtype]],
        PRECISION=precision,
        COSINE=similarity == 'cosine',
        EPS=eps,
    )
    numbers = {*GEOMETRY, 'num_windows', 'windows_each'}
    types = {
        key: 'constexpr'
        if key in values
        else ('i32' if key in numbers else f'*{dtype if key in LOW else "fp32"}')
        for key in kernel.arg_names
    }
    places = {key: (i,) for i, key in enumerate(kernel.arg_names)}
    source = ASTSource(
        fn=kernel,
        signature=types,
        constexprs={places[key]: value for key, value in values.items()},
        attrs={places[k]: [['tt.divisibility', 16]] for k, t in types.items() if t[0] == '*'},
    )
    compiled = triton.compile(
        source,
        target=GPUTarget('cuda', capability, 32),
        options=dict(num_warps=tiles.warps, num_stages=1),
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, 'kernel.cubin')
        path.write_bytes(compiled.asm['cubin'])
        text = run('cuobjdump', '-res-usage', path)
        loop, outside = instructions(run('nvdisasm', '-c', path))
    usage = dict(re.findall(r'(REG|STACK|LOCAL):(\d+)', text))
    return dict(
        kernel=name,
        registers=int(usage['REG']),
        spills=int(usage['STACK']) + int(usage['LOCAL']),
        shared=compiled.metadata.shared,
        loop=loop,
        outside=outside,
    )


def run(name: str, *arguments: object) -> str:
    """Output of a program that comes with Triton."""
    command = [str(TOOLS / name), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def instructions(assembly: str) -> tuple[int, int]:
    """Instructions in the only long loop of a kernel, and outside of it up to the last EXIT.

    Branches that are seldom taken count as if they always were.
    """
    labels, found = {}, []
    for line in assembly.splitlines():
        if label := re.match(r'(\.L_x_\d+):', line):
            labels[label[1]] = len(found)
        elif code := re.match(r'\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\d+ )?(\w[\w.]*)(.*)', line):
            found.append(code.groups())
    loop, last = 0, 0
    for place, (name, rest) in enumerate(found):
        if name == 'EXIT':
            last = place
        target = re.search(r'\.L_x_\d+', rest) if name.startswith('BRA') else None
        if target and labels[target[0]] <= place:
            loop = max(loop, place - labels[target[0]] + 1)
    return loop, last + 1 - loop


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
    parser.add_argument('capability', type=int, help='80 for A100, 90 for H100, 100 for B200')
    parser.add_argument('dtype', choices=NAMES)
    parser.add_argument('head', type=int, help='channels per head')
    parser.add_argument('--precision', default='ieee', choices=['ieee', 'tf32'])
    parser.add_argument('--similarity', default='cosine', choices=SIMILARITIES)
    parser.add_argument('--eps', type=float, default=0.0)
    args = parser.parse_args()
    for name in KERNELS:
        settings = args.precision, args.similarity, args.eps
        found = compile_kernel(name, args.dtype, args.head, args.capability, *settings)
        print(json.dumps(found), flush=True)


if __name__ == '__main__':
    main()
