"""Images that the loader of a pipeline would misread, detected from their headers before a run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mmengine.dist import all_gather_object, get_dist_info
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from ..checks.image_files import PAGES, SIXTEEN, dark_problem, header_kind, largest_value
from ..config_parts import is_local, leaf_datasets, transforms_within
from ..errors import ConfigError

DECODED = 32  # 16-bit images per dataset whose values are inspected


@HOOKS.register_module()
class CheckImagesHook(Hook):
    """Check the image files of the datasets before the first iteration.

    Raises:
        ConfigError: See `check_images`.
    """

    def before_train(self, runner: Any) -> None:
        log = runner.logger.warning
        check_images('train_dataloader', runner.train_loop.dataloader.dataset, log)
        if runner.val_loop is not None:
            check_images('val_dataloader', runner.val_loop.dataloader.dataset, log)

    def before_test(self, runner: Any) -> None:
        dataset = runner.test_loop.dataloader.dataset
        check_images('test_dataloader', dataset, runner.logger.warning)


def check_images(name: str, dataset: Any, log: Callable[[str], None]) -> None:
    """Find images that mmcv's default loader misreads, see `checks.image_files.loader_problem`.

    Pipelines with another loader or backend, or that load images unchanged, are not checked. JPEG
    files are not opened. The processes of a distributed run share the work. Some of the 16-bit
    images are decoded: a dark image alone does not tell whether the dataset uses the full range.

    Raises:
        ConfigError: Names each problem, the number of images with it, and the first of them.
    """
    paths = sorted({path for part in leaf_datasets(dataset) for path in _paths(part)})
    rank, world_size = get_dist_info()
    own = paths[rank::world_size]
    with ThreadPoolExecutor() as pool:
        kinds = list(pool.map(header_kind, own))
    problems: dict[str, list[str]] = defaultdict(list)
    for part in all_gather_object([(k, path) for k, path in zip(kinds, own) if k]):
        for kind, path in part:
            problems[kind].append(path)
    pages = sorted(problems.pop(PAGES, []))
    if pages:
        log(
            f'{name}: {len(pages)} of {len(paths)} images have several pages, such as {pages[0]}; '
            'only the first page of each is read'
        )
    sixteen = sorted(problems.pop(SIXTEEN, []))
    if sixteen:
        with ThreadPoolExecutor() as pool:
            values = list(pool.map(largest_value, sixteen[:: -(-len(sixteen) // DECODED)]))
        problem = dark_problem(max((v for v in values if v is not None), default=None))
        if problem:
            problems[problem] = sixteen
        else:
            log(
                f'{name}: {len(sixteen)} of {len(paths)} images have 16 bits, such as '
                f'{sixteen[0]}; the loader keeps the upper 8'
            )
    if problems:
        parts = [
            f'{len(files)} of {len(paths)} images: each {kind}; the first is {min(files)}'
            for kind, files in problems.items()
        ]
        raise ConfigError(f'{name}: ' + '. '.join(parts))


def _paths(dataset: Any) -> list[str]:
    """The local images of a dataset that the default loader reads."""
    steps = transforms_within(getattr(dataset, 'pipeline', None))
    if not any(map(is_default_loader, steps)) or not hasattr(dataset, 'get_data_info'):
        return []
    if not is_local(getattr(dataset, 'backend_args', None)):
        return []
    infos = (dataset.get_data_info(i) for i in range(len(dataset)))
    paths = (info.get('img_path') for info in infos)
    return [path for path in paths if isinstance(path, str) and '://' not in path]


def is_default_loader(step: Any) -> bool:
    """Whether a transform reads images with OpenCV's defaults: 8 bits, three channels or one."""
    from mmcv.transforms import LoadImageFromFile

    return (
        type(step) is LoadImageFromFile
        and step.imdecode_backend == 'cv2'
        and step.color_type.startswith(('color', 'grayscale'))
        and is_local(getattr(step, 'backend_args', None))
    )
