"""Compile a backbone on CUDA without a GPU, and print what its graphs hold as one line of JSON.

Run as a program: TRITON_INTERPRET must not be set. Prints

- `graphs`: for each compilation, the attention operators in its graph;
- `compilations`: their number after each input;
- with `--aot`, `kernels`: for each call of a Triton kernel in the graphs of the forward and of the
  backward pass, its pointers and those that it writes.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import torch
from fake_cuda import fake_tensors, to_fake_cuda
from functorch.compile import make_boxed_func
from torch._dynamo.backends.common import aot_autograd

from swinv2_dense import SwinTransformerV2

ARCH = dict(embed_dims=32, depths=(2,), num_heads=(2,))
ATTENTION = ('attention', 'triton_kernel_wrapper')


class Driver:
    """What Triton asks of a GPU when its kernels are analyzed."""

    def get_current_target(self) -> Any:
        from triton.backends.compiler import GPUTarget

        return GPUTarget('cuda', 90, 32)

    def get_current_device(self) -> int:
        return 0


def attention_nodes(graph: torch.fx.GraphModule) -> list[torch.fx.Node]:
    nodes = [node for node in graph.graph.nodes if node.op.startswith('call')]
    return [node for node in nodes if any(name in str(node.target) for name in ATTENTION)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument('backend')
    parser.add_argument('--sizes', nargs='+', default=['67x45'], help='HxW')
    parser.add_argument('--aot', action='store_true')
    args = parser.parse_args()
    graphs: list[list[str]] = []
    kernels: list[dict] = []

    def keep(graph: torch.fx.GraphModule, _: Any) -> Any:
        graphs.append([str(node.target) for node in attention_nodes(graph)])
        return graph.forward

    def keep_kernels(graph: torch.fx.GraphModule, _: Any) -> Any:
        for node in attention_nodes(graph):
            given = node.kwargs['kwargs']
            pointers = [name for name, value in given.items() if isinstance(value, torch.fx.Node)]
            kernels.append(dict(reads=pointers, writes=list(node.kwargs['tensors_to_clone'])))
        return make_boxed_func(graph.forward)

    backend = keep
    if args.aot:
        import triton

        triton.runtime.driver.set_active(Driver())
        backend = aot_autograd(fw_compiler=keep_kernels, bw_compiler=keep_kernels)
    model = SwinTransformerV2(
        arch=ARCH, window_size=7, out_indices=(0,), attention_backend=args.backend
    )
    for name, param in model.named_parameters():
        param.requires_grad_(args.backend != 'sdpa' or 'cpb_mlp' not in name)
    compilations = []
    with fake_tensors():
        compiled = torch.compile(to_fake_cuda(model), backend=backend, fullgraph=True, dynamic=True)
        for size in args.sizes:
            (out,) = compiled(torch.empty(1, 3, *map(int, size.split('x')), device='cuda'))
            assert out.device.type == 'cuda'
            out.sum().backward()
            compilations.append(len(graphs))
    print(json.dumps(dict(graphs=graphs, compilations=compilations, kernels=kernels)))


if __name__ == '__main__':
    main()
