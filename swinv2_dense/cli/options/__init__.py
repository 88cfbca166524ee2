"""The options of all commands, each declared once.

Keep these files and their imports light, without torch, mmengine or NumPy: `--help` imports
nothing else of the package.
"""

from __future__ import annotations

from .data import band_statistics_parser, coco_submission_parser, prepare_data_parser
from .measuring import (
    analyze_parser,
    benchmark_parser,
    claims_parser,
    plan_parser,
    plot_log_parser,
)
from .models import (
    browse_dataset_parser,
    convert_checkpoint_parser,
    publish_checkpoint_parser,
    report_parser,
    test_parser,
    train_parser,
)
from .predicting import demo_parser, export_parser, infer_parser
from .quickstart import make_shapes_parser, quickstart_parser, quickstart_spread_parser

PARSERS = {  # by command
    'analyze': analyze_parser,
    'band_statistics': band_statistics_parser,
    'benchmark': benchmark_parser,
    'browse_dataset': browse_dataset_parser,
    'claims': claims_parser,
    'coco_submission': coco_submission_parser,
    'convert_checkpoint': convert_checkpoint_parser,
    'demo': demo_parser,
    'export': export_parser,
    'infer': infer_parser,
    'make_shapes': make_shapes_parser,
    'plan': plan_parser,
    'plot_log': plot_log_parser,
    'prepare_data': prepare_data_parser,
    'publish_checkpoint': publish_checkpoint_parser,
    'quickstart': quickstart_parser,
    'quickstart_spread': quickstart_spread_parser,
    'report': report_parser,
    'test': test_parser,
    'train': train_parser,
}
__all__ = ['PARSERS', *(parser.__name__ for parser in PARSERS.values())]
