"""Packaging. The configs ship inside the package, as `swinv2_dense/configs`."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(r"__version__ = '(.+)'", (ROOT / 'swinv2_dense/__init__.py').read_text())[1]

# Lower bounds; requirements/*.txt pin what is tested. The onedl forks have the import names of the
# classic packages, so installing one of them over the other breaks both: no mm package, not even
# mmengine, is required without an extra.
CLASSIC = ['mmengine>=0.10', 'mmcv>=2.0,<2.2', 'numpy<2', 'opencv-python<4.12']
ONEDL = ['onedl-mmengine>=0.10.12', 'onedl-mmcv>=2.3.6', 'numpy>=2']
VIDEO = ['av', 'decord; platform_system == "Linux" and platform_machine == "x86_64"', 'einops']
EXTRAS = {
    'det': [*CLASSIC, 'mmdet>=3.3', 'pycocotools'],
    'seg': [*CLASSIC, 'mmsegmentation>=1.2', 'ftfy', 'regex'],
    'video': [*CLASSIC, *VIDEO, 'mmaction2>=1.2', 'opencv-contrib-python<4.12'],
    'onedl-det': [*ONEDL, 'onedl-mmdetection>=3.5.1', 'pycocotools'],
    'onedl-seg': [*ONEDL, 'onedl-mmsegmentation>=1.4.2', 'ftfy', 'regex'],
    'onedl-video': [*ONEDL, *VIDEO, 'importlib_metadata'],  # and mmaction2 with --no-deps
    'report': ['hotcoco>=1.3'],
    'bands': ['tifffile>=2023.7'],
    'triton': ['triton>=3.4; platform_system == "Linux"'],
    'export': ['onnx>=1.18', 'onnxruntime>=1.20', 'onnxscript>=0.5.4'],
    'hub': ['huggingface_hub>=0.25'],
    'fast-eval': ['faster-coco-eval>=1.8'],
    'demo': ['gradio>=6.31,<7'],
    'docs': ['mkdocs-material>=9.7', 'mkdocstrings-python>=2.0'],
    'test': ['pytest>=8', 'pytest-timeout', 'pytest-xdist', 'ruff', 'transformers>=5'],
}

setup(
    name='swinv2_dense',
    version=VERSION,
    description='Swin Transformer V2 for detection, segmentation and video with OpenMMLab',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    license_files=['LICENSE'],
    python_requires='>=3.10',
    packages=[*find_packages(include=['swinv2_dense', 'swinv2_dense.*']), 'swinv2_dense.configs'],
    package_dir={'swinv2_dense.configs': 'configs'},
    package_data={
        'swinv2_dense.configs': ['**/*.py', '**/*.md', '**/*.yml'],
        'swinv2_dense.reports': ['page.*', '*.js'],
        'swinv2_dense.classification': ['*.txt'],
    },
    install_requires=['torch>=2.6', 'safetensors>=0.4'],
    extras_require=EXTRAS,
    entry_points={'console_scripts': ['swinv2-dense = swinv2_dense.cli.main:main']},
    zip_safe=False,
)
