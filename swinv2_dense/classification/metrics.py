"""Accuracy of a classifier, and its predictions as a table."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmengine.registry import METRICS

from ..atomic_files import replacing
from ..checks.topk import informative_topk, top_classes
from ..tables import text_table


@METRICS.register_module()
class ClassificationAccuracy(BaseMetric):
    """Top-k accuracy, and the mean over classes of their top-1 accuracy, from 0 to 1.

    Reports `acc/top1`, `acc/top5` and so on, and `acc/mean1` over the classes that have images. A k
    that is not below the number of classes is left out. Images without a label do not count; if
    none has one, nothing is reported.

    Args:
        topk: The k.
        classwise: Also print a table with the images and the top-1 accuracy of every class, and
            the class that it is mistaken for most.
        collect_device: As in `BaseMetric`.
        prefix: As in `BaseMetric`.
    """

    default_prefix = 'acc'

    def __init__(
        self,
        topk: Sequence[int] = (1, 5),
        classwise: bool = False,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix)
        self.topk, self.classwise, self.said = tuple(topk), classwise, False

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep label, prediction, rank of the label and number of classes of each sample."""
        for sample in data_samples:
            label, scores = sample.get('gt_label'), sample['pred_score']
            if label is None:
                self.results.append(None)
                continue
            label = int(label)
            # Of equal scores, the lower index comes first, as in argmax.
            ahead = (scores > scores[label]).sum() + (scores[:label] == scores[label]).sum()
            self.results.append((label, int(scores.argmax()), int(ahead), len(scores)))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """The accuracies of labelled images."""
        known = [result for result in results if result is not None]
        if not known:
            print_log('The images have no labels, so there is no accuracy', 'current')
            return {}
        labels, predicted, ranks, counts = np.array(known).T
        topk = informative_topk(self.topk, int(counts[0]))
        self._say_dropped(topk, int(counts[0]))
        metrics = {f'top{k}': float((ranks < k).mean()) for k in topk}
        present = np.unique(labels)
        hits = [(predicted[labels == label] == label).mean() for label in present]
        metrics['mean1'] = float(np.mean(hits))
        if self.classwise:
            print_log(f'Accuracy of classes\n{self._table(labels, predicted)}', 'current')
        return metrics

    def _say_dropped(self, topk: Sequence[int], num_classes: int) -> None:
        dropped = sorted(set(self.topk) - set(topk))
        if dropped and not self.said:
            names = ', '.join(f'top-{k}' for k in dropped)
            print_log(
                f'{names} accuracy is not reported: with {num_classes} classes it is always 1.0',
                'current',
            )
            self.said = True

    def _table(self, labels: np.ndarray, predicted: np.ndarray) -> str:
        rows = []
        for label in np.unique(labels).tolist():
            mine = predicted[labels == label]
            wrong = Counter(mine[mine != label].tolist()).most_common(1)
            mistaken = (
                f'{class_name(self.dataset_meta, wrong[0][0])} ({wrong[0][1]})' if wrong else '-'
            )
            hit = f'{(mine == label).mean():.3f}'
            name = class_name(self.dataset_meta, label)
            rows.append([name, len(mine), hit, mistaken])
        return text_table(rows, ['class', 'images', 'top-1', 'mistaken most for'], left=(0, 3))


@METRICS.register_module()
class PredictionTable(BaseMetric):
    """Write the predictions of a test to FOLDER/predictions.csv; reports nothing.

    Columns: file, truth (empty without a label), and the five best classes with their scores,
    class_1, score_1, class_2, ...

    Args:
        folder: Where to write; it is created.
        collect_device: As in `BaseMetric`.
    """

    default_prefix = 'predictions'

    def __init__(self, folder: str, collect_device: str = 'cpu') -> None:
        super().__init__(collect_device)
        self.folder = folder

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep file, label and best classes of each sample."""
        for sample in data_samples:
            label = sample.get('gt_label')
            label = None if label is None else int(label)
            best = top_classes(sample['pred_score'])
            self.results.append((sample.get('img_path') or '', label, best))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Write the table, in the process that has all results."""
        meta = self.dataset_meta
        count = max(len(best) for _, _, best in results)
        ranks = range(1, count + 1)
        path = Path(self.folder) / 'predictions.csv'
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as draft, draft.open('w', newline='', encoding='utf-8') as file:
            rows = csv.writer(file)
            rows.writerow(
                ['file', 'truth', *(f'{c}_{k}' for k in ranks for c in ('class', 'score'))]
            )
            for name, label, best in results:
                cells = [c for i, value in best for c in (class_name(meta, i), f'{value:.6f}')]
                rows.writerow([name, '' if label is None else class_name(meta, label), *cells])
        print_log(f'Wrote the predictions for {len(results)} images to {path}', 'current')
        return {}


def class_name(metainfo: Mapping[str, Any] | None, label: int) -> str:
    """The name of a class in a dataset's metainfo; its number if it has none."""
    names = (metainfo or {}).get('classes') or ()
    return str(names[label]) if label < len(names) else str(label)
