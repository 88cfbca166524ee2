"""Convert a Swin backbone and its head from any known format, or a whole Plain-DETR, to ours."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..checkpoints.formats import HEAD, arch_name
from ..checkpoints.loading import load_weights
from ..checkpoints.reading import HEADER
from ..checkpoints.writing import check_target, inspect, write
from ..checks.result_cache import file_digest
from ..errors import CheckpointError
from ..models.backbone import SwinBackbone, VideoSwinBackbone
from .options import convert_checkpoint_parser


def main(argv: Sequence[str] | None = None) -> None:
    """`convert_checkpoint SRC DST [flags]` or `convert_checkpoint SRC --inspect`."""
    parser = convert_checkpoint_parser()
    args = parser.parse_args(argv)
    if args.inspect == (args.dst is not None):
        parser.error('give either DST or --inspect')
    if args.detector and (args.inspect or args.prefix or args.pretrained_window_sizes):
        parser.error('--detector takes no other options')
    try:
        if args.inspect:
            print(inspect(args.src, args.prefix))
            return
        if args.detector:
            from ..det.plain_detr.checkpoint import convert_plain_detr  # imports mmdet

            meta = convert_plain_detr(args.src, args.dst)
        else:
            meta = convert_checkpoint(args.src, args.dst, args.prefix, args.pretrained_window_sizes)
    except ValueError as error:  # CheckpointError, or invalid windows
        parser.exit(2, f'error: {error}\n')
    print(f'Wrote {args.dst}')
    for key, value in meta.items():
        print(f'  {key:<23} {value}')
    if args.detector:
        print(f'Test it with the config of its row, or train on from load_from={str(args.dst)!r}')
    else:
        print(f"Load it with init_cfg=dict(type='Pretrained', checkpoint={str(args.dst)!r})")


def convert_checkpoint(
    source: str, target: Path, prefix: str | None = None, pretrained_windows: list | None = None
) -> dict[str, Any]:
    """Write backbone and head of a checkpoint of any known format to `target`, in our format.

    Args:
        source: Path, URL or `hf://owner/name`.
        target: A file that does not exist, .safetensors or .pth.
        prefix: See `load_pretrained`.
        pretrained_windows: `pretrained_window_sizes`, if the checkpoint does not store them.

    Returns:
        The metadata in the written file.

    Raises:
        CheckpointError: The source is not a complete Swin backbone, or the target cannot be
            written.
    """
    check_target(target)
    found = inspect(source, prefix)
    kind = VideoSwinBackbone if found.weights.rank == 3 else SwinBackbone
    arch = {key: value for key, value in found.arch._asdict().items() if value}
    proj = found.weights.state.get('patch_embed.proj.weight')
    if proj is None:
        raise CheckpointError(f'checkpoint {source} lacks patch_embed.proj.weight')
    parts = found.parts
    if parts.position_bias == 'table' and found.pretrained:
        windows = dict(window_size=found.pretrained.windows)
    else:
        windows = dict(pretrained_window_sizes=pretrained_windows)
    model = kind(
        arch,
        patch_size=tuple(proj.shape[2:]),
        out_indices=tuple(range(len(found.arch.depths))),
        in_channels=proj.shape[1],
        **windows,
        **parts._asdict(),
    )
    report = load_weights(model, found.weights, found.file)
    state = model.state_dict()
    for key in report.reinitialized:
        del state[key]
    for key, value in found.weights.head.items():
        state[HEAD + key] = value
    for key, value in state.items():
        state[key] = value.to(proj.dtype)
    name = arch_name(found.arch, parts)
    meta = dict(
        source=source if '://' in source else Path(source).name,
        format=found.weights.format,
        arch=name if name.startswith('Swin') else json.dumps(arch),
        pretrained_window_sizes=[list(window) for window in report.pretrained_window_sizes],
        num_classes=found.weights.num_classes,
        sha256=file_digest(found.file.path) if found.file.path.is_file() else None,
    )
    write(dict(state_dict=state, meta={HEADER: meta}), target)
    return meta
