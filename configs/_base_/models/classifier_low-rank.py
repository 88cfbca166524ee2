# Low-rank adapters (LoRA, arXiv 2106.09685): classifier.py with a backbone that keeps its weights.
# Adapters of rank 8 in its attention, its output norm and the head learn. Give the weights with
# `init_cfg` of the backbone, or with --cfg-options load_from=CHECKPOINT.
_base_ = './classifier.py'
model = dict(backbone=dict(type='LowRankSwinTransformerV2', low_rank=8, adapted=['qkv', 'proj']))
