"""A model card: the README.md of a repository on the Hugging Face hub.

Its front matter (https://huggingface.co/docs/hub/model-cards) is what the hub searches and shows.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from ..errors import truncate

LICENSES = 'https://huggingface.co/docs/hub/repositories-licenses'
PAPER = 'https://arxiv.org/abs/2111.09883'
LIBRARY = 'swinv2_dense'
MOST = 200  # classes that are listed
SOURCE, UNNAMED = 'hf://{}', 'OWNER/NAME'  # of the weights, before the repository has a name


@dataclass
class ModelCard:
    """What a card tells about a model.

    Args:
        name: Title of the card.
        weights, config: Names of the files in its folder.
        kind: What the model is, such as 'detector'.
        repo: OWNER/NAME, if known.
        pipeline_tag: What the hub calls the task.
        tags: What the model is found by.
        dataset: Name of the dataset that it was trained and tested on.
        license: An identifier of the hub's list; None leaves a line to fill in.
        facts: Rows of the table at the top.
        classes: Names of the classes.
        metrics: Results of a test by name.
    """

    name: str
    weights: str
    config: str
    kind: str = 'model'
    repo: str | None = None
    pipeline_tag: str | None = None
    tags: Sequence[str] = ()
    dataset: str | None = None
    license: str | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    classes: Sequence[str] = ()
    metrics: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        parts = [f'---\n{self.front_matter()}---\n\n# {self.name}', self._facts(), self._use()]
        if self.metrics:
            rows = [f'| {name} | {value:g} |' for name, value in self.metrics.items()]
            parts.append('\n'.join(['## Results', '', '| metric | value |', '|---|---|', *rows]))
        if self.classes:
            listed = textwrap.fill(truncate(self.classes, MOST), 100, break_on_hyphens=False)
            parts.append(f'## Classes\n\n{listed}')
        parts.append(
            '## Data and limits\n\nFill in: what the training data are, where they come from, and '
            'what the\nmodel must not be used for.'
        )
        return '\n\n'.join(parts) + '\n'

    def front_matter(self) -> str:
        """The YAML at the top, one key per line."""
        known: dict[str, Any] = dict(
            library_name=LIBRARY,
            pipeline_tag=self.pipeline_tag,
            tags=list(self.tags),
            datasets=[self.dataset] if self.dataset else [],
            metrics=[name.rpartition('/')[2] for name in self.metrics],
        )
        if self.metrics:
            known['model-index'] = [dict(name=self.name, results=[self._result()])]
        lines = yaml.safe_dump({k: v for k, v in known.items() if v}, sort_keys=False)
        if self.license:
            return yaml.safe_dump(dict(license=self.license)) + lines
        return f'license: unknown  # fill in, see {LICENSES}\n{lines}'

    def _result(self) -> dict[str, Any]:
        metrics = [
            dict(type=name.rpartition('/')[2], name=name, value=value)
            for name, value in self.metrics.items()
        ]
        dataset = self.dataset or 'unknown'
        return dict(
            task=dict(type=self.pipeline_tag or 'other'),
            dataset=dict(name=dataset, type=dataset),
            metrics=metrics,
        )

    def _facts(self) -> str:
        rows = [f'| {name} | {value} |' for name, value in self.facts.items()]
        first = (
            f'A {self.kind} with a [Swin Transformer V2]({PAPER}) backbone, trained with\n'
            f'{LIBRARY}. `{self.weights}` holds weights, class names and config; '
            f'`{self.config}` is\nthe config as text.'
        )
        return '\n'.join([first, '', '| | |', '|---|---|', *rows])

    def _use(self) -> str:
        source = SOURCE.format(self.repo or UNNAMED)
        return f"""## Use it

```python
from {LIBRARY} import load

predict = load({source!r})
result = predict('FILE')
```

```
swinv2-dense infer {source} FILES
swinv2-dense test {self.config} {source}
```"""
