"""The options of every command. A new one is a decision: it appears here, in docs and in tests."""

from __future__ import annotations

import argparse

from swinv2_dense.cli.options import PARSERS

RUN = '--amp --cfg-options --launcher --local-rank --local_rank --max-pixels --work-dir CONFIG'
DATASET = '--archives --root --workers'
FROZEN = {
    'analyze': '--cfg-options --count-only --runs --size CONFIG',
    'band_statistics': '--nodata PATH',
    'benchmark': '--against --arch --backend --batch --check --device --dtype --out --phase --runs '
    '--sequential-attention --size --version --weights --window --with-cp',
    'browse_dataset': '--cfg-options --max-pixels --number --output-dir --seed --split CONFIG',
    'claims': '--out --seeds --steps CLAIM',
    'coco_submission': '--image-info --name --out RESULTS',
    'convert_checkpoint': '--detector --inspect --prefix --pretrained-window-sizes SRC DST',
    'demo': '--amp --batch-size --cfg-options --classes --device --host --max-pixels '
    '--max-upload --overlap --port --score-thr --slice --tta CONFIG CHECKPOINT',
    'export': '--cfg-options --dtype --format --image --out-dir --part --raw --size '
    'CONFIG CHECKPOINT',
    'infer': '--amp --batch-size --cfg-options --classes --device --export --max-pixels '
    '--no-pictures --out-dir --overlap --score-thr --slice --tta CONFIG CHECKPOINT INPUT',
    'make_shapes': '--out --seed --size --train --val',
    'plan': '--bandwidth --cfg-options --gpu-memory --gpus --samples --size --tflops '
    '--utilisation --utilization CONFIG',
    'plot_log': '--html --metric --out RUN',
    'prepare_data': '',
    'prepare_data ade20k': f'{DATASET} --convert-full',
    'prepare_data coco': DATASET,
    'prepare_data kinetics': f'{DATASET} --resize',
    'prepare_data objects365': DATASET,
    'prepare_data own': '--annotations --bands --device --format --ignore-groups --max-pixels '
    '--out --seed --skip-broken --target --val --workers SRC',
    'publish_checkpoint': '--license --metrics --private --repo SRC DST',
    'quickstart': '--cfg-options --data-root --seed --target --task --train-samples --val-samples '
    '--work-dir',
    'quickstart_spread': '--capabilities --jobs --seeds --task --work-dir',
    'report': '--cfg-options --max-pixels --out CONFIG PREDICTIONS',
    'test': f'{RUN} --dump --interval --out --overlap --report --show --show-dir '
    '--skip-unreadable --slice --tta --wait-time CHECKPOINT',
    'train': f'{RUN} --auto-batch --auto-scale-lr --deterministic --diff-rank-seed --early-stop '
    '--fit-schedule --keep --log-to --no-validate --resume --save-best --seed --val-loss',
}


def options_of(name: str, parser: argparse.ArgumentParser) -> dict[str, list[str]]:
    """Sorted flags and positional arguments of a command and its subcommands."""
    found, words = {}, []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for choice, subparser in action.choices.items():
                found.update(options_of(f'{name} {choice}', subparser))
        elif not isinstance(action, argparse._HelpAction):
            words += action.option_strings or [action.metavar]
    return {name: sorted(words), **found}


def test_options_are_frozen():
    found = {}
    for name, parser in PARSERS.items():
        found.update(options_of(name, parser()))
    assert found == {name: sorted(words.split()) for name, words in FROZEN.items()}
