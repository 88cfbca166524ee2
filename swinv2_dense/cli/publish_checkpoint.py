"""Strip a training checkpoint for release, alone or with a model card, and upload it.

SRC -> NAME-CHECKSUM.pth
SRC -> FOLDER/model.safetensors, config.py, README.md -> hf://OWNER/NAME
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..atomic_files import replacing, write_bytes
from ..checkpoints.hub import hub_client, upload
from ..checkpoints.model_card import SOURCE, UNNAMED, ModelCard
from ..checkpoints.stored_config import parse_config
from ..checkpoints.writing import publish_checkpoint, published_part, write
from ..checks.main_metric import main_metric
from ..checks.paths import check_writable
from ..config_parts import datasets_of, type_name
from ..errors import CheckpointError, ConfigError
from ..tasks import task_of
from ..training.curves import NO_METRICS
from .options import publish_checkpoint_parser

FILES = WEIGHTS, CONFIG, CARD = 'model.safetensors', 'config.py', 'README.md'
# A string of a config that starts with / or C:\, after its quote.
ABSOLUTE = re.compile(r'(?<=[\'"])(?:/|[A-Za-z]:[\\/])[^\'"\n]*')


def main(argv: Sequence[str] | None = None) -> None:
    """`publish_checkpoint SRC DST [flags]` or `publish_checkpoint FOLDER --repo OWNER/NAME`."""
    parser = publish_checkpoint_parser()
    args = parser.parse_args(argv)
    folder = args.dst or Path(args.src)
    if args.dst is not None and args.dst.suffix:
        _refuse_flags(args)
        written = publish_checkpoint(args.src, args.dst)
        print(f'Wrote {written} ({written.stat().st_size / 2**20:.1f} MiB)')
        return
    if args.dst is None and not args.repo:
        parser.error('give DST; or --repo, to upload the folder SRC')
    client = hub_client(args.repo) if args.repo else None
    if args.dst is None:
        name_repo(folder, args.repo)
    else:
        write_release(args)
        print(f'Wrote {folder}: {", ".join(FILES)}')
        if not args.license:
            print(f'Fill in the license, and what the data are, in {folder / CARD}')
    if client is not None:
        address = upload(client, folder, args.repo, args.private)
        print(f'Uploaded to {address}; load it as hf://{args.repo}')


def _refuse_flags(args: argparse.Namespace) -> None:
    for flag in ('repo', 'license', 'metrics'):
        if getattr(args, flag):
            raise ConfigError(
                f'--{flag} is for a model card: DST={str(args.dst)!r} must be a folder, without a '
                'dot in its name'
            )


def name_repo(folder: Path, repo: str) -> None:
    """Fill the name of the repository in the card of a folder that was written without it.

    Raises:
        ConfigError: It is not such a folder.
    """
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise ConfigError(
            f'SRC={str(folder)!r} has no {missing[0]}, so it is not a folder that this command '
            'wrote; give SRC, the checkpoint, and DST, a new folder'
        )
    text = (folder / CARD).read_text(encoding='utf-8')
    write_bytes(folder / CARD, text.replace(SOURCE.format(UNNAMED), SOURCE.format(repo)).encode())


def write_release(args: argparse.Namespace) -> None:
    """Write the folder: weights, config and model card.

    Raises:
        CheckpointError: The source is not a training checkpoint with a config.
        ConfigError: The folder or the metrics cannot be used.
    """
    folder: Path = args.dst
    check_writable('DST', folder)
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f'DST={str(folder)!r} holds {_first(folder)}; name a new folder')
    metrics = read_metrics(args.metrics) if args.metrics else {}
    checkpoint = published_part(args.src)
    meta = checkpoint['meta']
    text = meta.get('cfg')
    if not isinstance(text, str) or not text.strip():
        raise CheckpointError(
            f'{args.src} holds no config, which a model card describes; publish the weights alone: '
            'name a file, such as release.pth'
        )
    meta['cfg'] = without_folders(text)
    cfg = Config(parse_config(meta['cfg'], args.src))
    card = describe(cfg, meta, args, metrics)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with replacing(folder) as draft:
        draft.mkdir()
        write(checkpoint, draft / WEIGHTS)
        (draft / CONFIG).write_text(meta['cfg'], encoding='utf-8')
        (draft / CARD).write_text(str(card), encoding='utf-8')
        if folder.is_dir():
            folder.rmdir()


def describe(
    cfg: Config, meta: Mapping[str, Any], args: argparse.Namespace, metrics: Mapping[str, float]
) -> ModelCard:
    """The card of a model, from its config and the meta of its checkpoint."""
    task = task_of(cfg)
    model = cfg.model.get('module', cfg.model)
    backbone = model.get('backbone') or {}
    dataset = _dataset(cfg)
    length = ', '.join(f'{meta[key]:,} {key}s' for key in ('epoch', 'iter') if meta.get(key))
    facts = dict(
        model=type_name(model),
        backbone=f'{type_name(backbone)}, {_arch(backbone)}',
        window=str(backbone.get('window_size', 'default')),
        dataset=dataset or 'unknown',
        trained=length or 'unknown',
    )
    classes = (meta.get('dataset_meta') or {}).get('classes') or ()
    repo = args.repo
    return ModelCard(
        name=repo.partition('/')[2] if repo else args.dst.name,
        weights=WEIGHTS,
        config=CONFIG,
        kind=task.name,
        repo=repo,
        pipeline_tag=task.pipeline_tag(cfg),
        tags=['swin-transformer-v2', cfg.default_scope, type_name(model)],
        dataset=dataset,
        license=args.license,
        facts=facts,
        classes=list(map(str, classes)),
        metrics=metrics,
    )


def _arch(backbone: Mapping[str, Any]) -> str:
    arch = backbone.get('arch', 't')
    if isinstance(arch, str):
        return f'size {arch.upper()}'
    return ', '.join(f'{key} {value}' for key, value in arch.items())


def _dataset(cfg: Config) -> str | None:
    """The last folder of the root of the test data, or the type of the dataset."""
    dataset = (cfg.get('test_dataloader') or {}).get('dataset')
    for _, part in datasets_of('test', dataset):
        return Path(part.get('data_root') or '').name or type_name(part)
    return None


def read_metrics(path: Path) -> dict[str, float]:
    """Metrics that `test` wrote as JSON, the main one first.

    Raises:
        ConfigError: The file is not a JSON object of numbers.
    """
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f'--metrics={str(path)!r} cannot be read: {error}') from error
    numbers = {
        key: round(value, 4)
        for key, value in (found.items() if isinstance(found, dict) else ())
        if isinstance(value, (int, float)) and value >= 0 and key not in NO_METRICS
    }  # not NaN, nor COCO's -1 for what cannot be evaluated
    if not numbers:
        raise ConfigError(
            f'--metrics={str(path)!r} has no metrics; give the JSON file that the test command '
            'writes, WORK_DIR/TIME/TIME.json'
        )
    first = main_metric(numbers)
    return {key: numbers[key] for key in sorted(numbers, key=lambda key: key != first)}


def without_folders(text: str) -> str:
    """A config with absolute paths cut to their last part: folders are nobody's business."""

    def last_part(match: re.Match) -> str:
        path = match[0].replace('\\', '/')
        end = '/' if path.endswith('/') and len(path) > 1 else ''
        return path.rstrip('/').rpartition('/')[2] + end

    return ABSOLUTE.sub(last_part, text)


def _first(folder: Path) -> str:
    return min(path.name for path in folder.iterdir())
