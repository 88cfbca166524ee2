"""Check and normalize the arguments of the backbones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple


class Arch(NamedTuple):
    """Channels after patch embedding, blocks and heads per stage, blocks between extra norms."""

    embed_dims: int
    depths: tuple[int, ...]
    num_heads: tuple[int, ...]
    extra_norm_every: int = 0


# Section 3.6. The paper gives no heads for H and G; 32 channels per head, as in all other rows, is
# an assumption. Their extra norms are "every 6 layers", counted here within each stage.
ARCHS = {
    't': Arch(96, (2, 2, 6, 2), (3, 6, 12, 24)),
    's': Arch(96, (2, 2, 18, 2), (3, 6, 12, 24)),
    'b': Arch(128, (2, 2, 18, 2), (4, 8, 16, 32)),
    'l': Arch(192, (2, 2, 18, 2), (6, 12, 24, 48)),
    'h': Arch(352, (2, 2, 18, 2), (11, 22, 44, 88), 6),
    'g': Arch(512, (2, 2, 42, 4), (16, 32, 64, 128), 6),
}


class Parts(NamedTuple):
    """The parts that Swin Transformers differ in, under the names of the backbone's arguments."""

    position_bias: str  # 'log', 'linear', 'table'
    similarity: str  # 'cosine', 'dot'
    block: str  # 'res-post-norm', 'pre-norm', 'post-norm', 'sandwich'
    patch_merging: str  # 'post-norm', 'pre-norm'


V1 = Parts('table', 'dot', 'pre-norm', 'pre-norm')
V2 = Parts('log', 'cosine', 'res-post-norm', 'post-norm')


def parts_name(parts: Parts) -> str:
    """'Swin Transformer V2', or that with the arguments that differ from it."""
    if parts == V1:
        return 'Swin Transformer V1'
    changes = [f'{k}={v!r}' for k, v in parts._asdict().items() if v != getattr(V2, k)]
    return f'Swin Transformer V2{" with " if changes else ""}{", ".join(changes)}'


def arch_settings(arch: str | dict) -> Arch:
    """A row of `ARCHS` by name, or one made from a dict with the fields of `Arch`.

    Raises:
        ValueError: The name or a field is unknown, a field is missing, or heads do not divide the
            channels.
    """
    if isinstance(arch, str):
        if arch not in ARCHS:
            raise ValueError(f'arch={arch!r} is unknown; choose one of {", ".join(ARCHS)}')
        return ARCHS[arch]
    fields = set(arch) if isinstance(arch, Mapping) else set()
    required = {'embed_dims', 'depths', 'num_heads'}
    if not required <= fields <= set(Arch._fields):
        raise ValueError(
            f'arch={arch!r} must be a name or a dict, which needs embed_dims, depths and num_heads '
            'and may have extra_norm_every'
        )
    stages = {key: _tuple(f'arch.{key}', arch[key]) for key in ('depths', 'num_heads')}
    row = Arch(**{**arch, **stages})
    if len(row.depths) != len(row.num_heads):
        raise ValueError(
            f'arch has {len(row.depths)} depths {row.depths} but '
            f'{len(row.num_heads)} num_heads {row.num_heads}; give one of each per stage'
        )
    if not _is_size(row.embed_dims) or not all(map(_is_size, row.depths + row.num_heads)):
        raise ValueError(f'embed_dims, depths and num_heads of {row} must be integers >= 1')
    if row.extra_norm_every != 0 and not _is_size(row.extra_norm_every):
        raise ValueError(f'extra_norm_every of {row} must be an integer >= 0')
    for stage, heads in enumerate(row.num_heads):
        if row.embed_dims * 2**stage % heads:
            raise ValueError(
                f'arch has {row.embed_dims * 2**stage} channels in stage {stage}, which '
                f'num_heads[{stage}]={heads} does not divide'
            )
    return row


def stage_windows(
    name: str, value: int | Sequence, num_stages: int | None, rank: int
) -> tuple[tuple[int, ...], ...]:
    """One window of `rank` ints per stage, from an int, a tuple over axes or a list over stages.

    With `num_stages=None`, a list may have any length.

    Raises:
        ValueError: Names the argument, its value and what is allowed.
    """
    per_stage = value if isinstance(value, list) else [value] * (num_stages or 1)
    windows = tuple((w,) * rank if _is_size(w) else w for w in per_stage)
    if num_stages is not None and len(windows) != num_stages:
        raise ValueError(
            f'{name}={value} has {len(windows)} entries for {num_stages} stages. A list has one '
            f'entry per stage; for one window in all stages write an int or a tuple of {rank}.'
        )
    for window in windows:
        is_window = isinstance(window, Sequence) and not isinstance(window, str)
        if not is_window or len(window) != rank or not all(map(_is_size, window)):
            raise ValueError(
                f'{name}={value}: {window!r} is not a window. Write an int >= 1, a tuple with one '
                f'int for each of the {rank} axes, or a list of these with one entry per stage.'
            )
    return tuple(tuple(window) for window in windows)


def block_positions(
    name: str, value: Mapping[int, Sequence[int]] | None, depths: Sequence[int]
) -> set[tuple[int, int]]:
    """(stage, block) of every block in `{stage: [block, ...]}`.

    Raises:
        ValueError: A stage or block does not exist.
    """
    if not isinstance(value or {}, Mapping):
        raise ValueError(
            f'{name}={value!r} must be a dict from stages to lists of blocks, such as {{3: [0, 1]}}'
        )
    found = {(s, b) for s, blocks in (value or {}).items() for b in _tuple(name, blocks)}
    for stage, block in found:
        known = is_int(stage) and 0 <= stage < len(depths)
        if not known or not is_int(block) or not 0 <= block < depths[stage]:
            raise ValueError(
                f'{name}={value}: there is no block {block!r} in stage {stage!r}; stages '
                f'have {tuple(depths)} blocks, all counted from 0'
            )
    return found


def out_stages(out_indices: Sequence[int], num_stages: int) -> tuple[int, ...]:
    """`out_indices` as a tuple.

    Raises:
        ValueError: It is empty, not in ascending order, or names a stage that does not exist.
    """
    stages = (out_indices,) if is_int(out_indices) else _tuple('out_indices', out_indices)
    are_ints = bool(stages) and all(map(is_int, stages))
    ascending = are_ints and all(a < b for a, b in zip(stages, stages[1:]))
    if not ascending or stages[0] < 0 or stages[-1] >= num_stages:
        raise ValueError(
            f'out_indices={out_indices} must name stages in ascending order, '
            f'each in 0..{num_stages - 1}'
        )
    return stages


class Pretrained(NamedTuple):
    """The settings in `init_cfg=dict(type='Pretrained', ...)`; see `load_pretrained`."""

    checkpoint: str
    prefix: str | None = None
    allow_missing: bool = False
    new_bands: str | None = None


def pretrained(init_cfg: object) -> Pretrained | None:
    """The settings of an `init_cfg` of type Pretrained (a name or mmengine's class), else None.

    Raises:
        ValueError: It is in a list with other initializers, which would overwrite each other, or
            has an unknown key.
    """
    entries = init_cfg if isinstance(init_cfg, (list, tuple)) else [init_cfg]
    kinds = [entry.get('type') if isinstance(entry, dict) else None for entry in entries]
    found = [getattr(k, '__name__', k) in ('Pretrained', 'PretrainedInit') for k in kinds]
    if any(found) and len(entries) > 1:
        raise ValueError(
            f'init_cfg={init_cfg}: Pretrained cannot be combined with other initializers'
        )
    if not any(found):
        return None
    settings = {k: v for k, v in entries[0].items() if k not in ('type', 'map_location', '_scope_')}
    if not {'checkpoint'} <= set(settings) <= set(Pretrained._fields):
        raise ValueError(
            f'init_cfg={dict(entries[0])}: Pretrained needs checkpoint and may have prefix, '
            'allow_missing and new_bands'
        )
    return Pretrained(**settings)


def is_int(value: object) -> bool:
    """Whether a value is an integer; in Python, bools are integers too, but not here."""
    return isinstance(value, int) and not isinstance(value, bool)


def _is_size(value: object) -> bool:
    return is_int(value) and value >= 1


def _tuple(name: str, value: object) -> tuple:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ValueError(f'{name}={value!r} must be a list or a tuple')
    return tuple(value)
